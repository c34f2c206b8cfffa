//! Links that are lost, silent, or about to end.

use std::time::Duration;

use bus::engine::{Engine, Health, Role};

use crate::servers::{Happened, Node, Server, eventually, free_port, stream};

#[tokio::test]
async fn an_engine_waits_for_a_server_that_starts_later() {
    let mut server = Server::prepared("jetstream {}");
    let node = Node::start(server.config());
    node.received
        .wait("the server is away", |all| {
            all.iter().find_map(|one| match one {
                Happened::Health(Health::Away {
                    is_configuration: false,
                    ..
                }) => Some(()),
                _ => None,
            })
        })
        .await;
    server.restart();
    node.is_live().await;
    node.publish_for_certain(&stream("orders"), "x").await;
}

#[tokio::test]
async fn a_stopped_server_is_noticed_and_used_again() {
    let server = Server::start();
    let mut config = server.config();
    config.times.ping_after = Duration::from_millis(300);
    config.times.answer = Duration::from_secs(1);
    config.times.connect = Duration::from_secs(1);
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.stop();
    for role in Role::ALL {
        eventually("each role is away", || {
            matches!(node.engine.health().of(role), Health::Away { .. })
        })
        .await;
    }
    server.go_on();
    node.is_live().await;
    node.publish_for_certain(&orders, "x").await;
    node.received.event(&orders, "x").await;
}

#[tokio::test]
async fn a_server_that_is_about_to_end_is_left_before() {
    let port = free_port();
    let cluster = |name: &str| {
        format!(
            "server_name: {name}\nlame_duck_duration: \"60s\"\nlame_duck_grace_period: \"10s\"\n\
             cluster {{ name: c\n listen: \"127.0.0.1:{}\"\n routes: [\"nats://127.0.0.1:{port}\"] }}",
            if name == "one" { port } else { free_port() }
        )
    };
    let (one, two) = (Server::with(&cluster("one")), Server::with(&cluster("two")));
    let mut config = one.config_of("?history=off");
    config.times.settled_after = Duration::ZERO;
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    // The other server is known by the first.
    eventually("the servers are joined", || two.port > 0).await;
    let client = one.client().await;
    loop {
        if client.server_info().connect_urls.len() > 1 {
            break;
        }
        client.force_reconnect().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut both = one.config_of("?history=off");
    both.servers.push(two.config().servers.remove(0));
    let node = Node::live(both).await;
    node.want(&orders).await;
    node.received.clear();
    one.signal("-USR2");
    two.client().await;
    // It either was on the other server, or moves there.
    node.is_live().await;
    node.publish_for_certain(&orders, "x").await;
    eventually("the event arrives, or a doubt is told", || {
        let all = node.received.all();
        all.iter()
            .any(|one| matches!(one, Happened::Event(..) | Happened::Doubt(_)))
    })
    .await;
    eventually("all links are on the other server", || {
        node.engine.health().is_live()
    })
    .await;
    node.publish_for_certain(&orders, "y").await;
}

#[tokio::test]
async fn an_engine_that_is_dropped_or_closed_leaves_no_connection() {
    let server = Server::start();
    let closed = Node::live(server.config()).await;
    let dropped = Node::live(server.config()).await;
    closed.want(&stream("orders")).await;
    closed.engine.close(Duration::from_secs(1)).await;
    assert_eq!(*closed.engine.health().worst(), Health::Closed);
    drop(dropped);
    let connections = || {
        let hex = format!(":{:04X}", server.port);
        let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
        text.lines()
            .filter(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let local = fields.next().is_some_and(|at| at.ends_with(&hex));
                local && fields.nth(1) == Some("01")
            })
            .count()
    };
    eventually("no connection is left", || connections() == 0).await;
}
