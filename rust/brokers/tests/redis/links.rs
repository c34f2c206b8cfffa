//! Links: a server that is away, stopped or replaced, and the health that is reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brokers::redis::{Config, Times};
use bus::engine::{AttemptError, Engine, Health};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::servers::{Happened, Node, Server, eventually, free_port, quick, stream};

fn impatient() -> Times {
    Times {
        connect: Duration::from_secs(2),
        ping_after: Duration::from_millis(300),
        dead_after: Duration::from_secs(1),
        ..quick()
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away_until_it_comes() {
    let port = free_port();
    let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    config.times = quick();
    let node = Node::start(config);
    assert_eq!(*node.engine.health().worst(), Health::Starting);
    let reason = node.received.wait("it is away", away).await;
    assert!(reason.contains(&port.to_string()), "{reason}");
    let orders = stream("orders");
    let answer = node.publish(&orders, &["x"]).await.remove(0);
    assert!(
        matches!(answer, Err(AttemptError::NotSent(_))),
        "{answer:?}"
    );
    let error = node
        .engine
        .heads(Arc::new([orders.clone()]))
        .await
        .remove(0)
        .unwrap_err();
    assert!(matches!(error, bus::engine::ReadError::Unavailable(_)));
    node.engine.want(&orders);
    let text = port.to_string();
    let _server = Server::with(&["--port", &text]);
    node.received.ready(&orders).await;
    node.is_live().await;
    node.publish(&orders, &["x"]).await;
    node.received.event(&orders, "x").await;
}

fn away(all: &[Happened]) -> Option<String> {
    all.iter().find_map(|one| match one {
        Happened::Health(Health::Away { reason, .. }) => Some(reason.clone()),
        _ => None,
    })
}

#[tokio::test]
async fn a_stopped_server_is_away_within_the_bound_and_comes_back() {
    let server = Server::start();
    let node = Node::live(server.config_of("", impatient())).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.received.clear();
    server.stop();
    let stopped = Instant::now();
    let reason = node.received.wait("it is away", away).await;
    assert!(
        stopped.elapsed() < Duration::from_secs(20),
        "away after {:?}",
        stopped.elapsed()
    );
    assert!(
        reason.contains("silent") || reason.contains("answered"),
        "{reason}"
    );
    let answer = node.publish(&orders, &["lost"]).await.remove(0);
    assert!(matches!(
        answer,
        Err(AttemptError::NotSent(_) | AttemptError::Unknown(_))
    ));
    server.go_on();
    node.is_live().await;
    node.publish_for_certain(&orders, "after").await;
    node.received.event(&orders, "after").await;
}

#[tokio::test]
async fn an_idle_link_stays() {
    let server = Server::start();
    let times = Times {
        ping_after: Duration::from_millis(20),
        dead_after: Duration::from_secs(10),
        probe_after: Duration::from_millis(20),
        ..quick()
    };
    let node = Node::live(server.config_of("", times)).await;
    let connections = || server.command(&["INFO", "stats"]);
    let received = |text: &str| field(text, "total_connections_received");
    let before = received(&connections());
    let commands = field(&connections(), "total_commands_processed");
    eventually("pings and probes are exchanged", || {
        field(&connections(), "total_commands_processed") > commands + 500
    })
    .await;
    let queries = field(&connections(), "total_connections_received") - before;
    let own = field(&server.command(&["INFO", "clients"]), "connected_clients");
    assert_eq!(own, 4, "three links, and the one that asks; {queries} came");
    assert!(node.engine.health().is_live());
    let changes = node.received.all();
    assert!(away(&changes).is_none(), "{changes:?}");
}

fn field(info: &str, name: &str) -> u64 {
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_killed_server_is_away_and_comes_back() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let before = node.want(&orders).await;
    node.received.clear();
    server.kill();
    node.received.wait("it is away", away).await;
    server.restart();
    let after = node.received.ready(&orders).await;
    assert_ne!(after.epoch, before.epoch);
    node.is_live().await;
    node.publish_for_certain(&orders, "after").await;
    node.received.event(&orders, "after").await;
}

/// Passes bytes to the first server, and to the second after `is_switched` is set.
async fn switch(ports: [u16; 2], is_switched: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let is_switched = is_switched.clone();
            tokio::spawn(async move {
                let port = ports[usize::from(is_switched.load(Ordering::Relaxed))];
                let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                let _ = (from.shutdown().await, to.shutdown().await);
            });
        }
    });
    port
}

#[tokio::test]
async fn a_subscriber_on_another_server_than_the_publisher_is_detected() {
    let (one, other) = (Server::on_a_port(&[]), Server::on_a_port(&[]));
    let is_switched = Arc::new(AtomicBool::new(false));
    let port = switch([one.port, other.port], is_switched.clone()).await;
    let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    config.times = Times {
        probe_after: Duration::from_millis(200),
        probe_answer: Duration::from_secs(1),
        probe_limit: Duration::from_secs(1),
        ..quick()
    };
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    // Only the subscriber is connected to the other server.
    is_switched.store(true, Ordering::Relaxed);
    node.received.clear();
    one.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    eventually("it is on the other server", || {
        other.command(&["PUBSUB", "CHANNELS"]).contains("orders")
    })
    .await;
    is_switched.store(false, Ordering::Relaxed);
    node.received
        .wait("it is silent", |all| {
            all.iter()
                .find(|one| matches!(one, Happened::Health(Health::Silent { .. })))
                .map(|_| ())
        })
        .await;
    eventually("it is on the first server again", || {
        one.command(&["PUBSUB", "CHANNELS"]).contains("orders")
    })
    .await;
    node.is_live().await;
    node.publish_for_certain(&orders, "after").await;
    node.received.event(&orders, "after").await;
}

#[tokio::test]
async fn a_link_whose_buffer_overran_is_made_again() {
    let server = Server::with(&["--client-output-buffer-limit", "pubsub 256kb 256kb 1"]);
    let node = Node::live(server.config()).await;
    let publisher = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.received.clear();
    // Larger than the output buffer: Redis closes the link before it has sent it.
    let text = "x".repeat(900_000);
    let position = publisher.publish_for_certain(&orders, &text).await;
    let head = node.received.ready(&orders).await;
    assert_eq!(head, position);
    publisher.publish_for_certain(&orders, "after").await;
    node.received.event(&orders, "after").await;
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_away() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    config.times = impatient();
    let node = Node::start(config);
    let reason = node.received.wait("it is away", away).await;
    assert!(reason.contains("2 seconds"), "{reason}");
}

#[tokio::test]
async fn a_server_of_another_kind_is_refused() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let url = format!("redis://:s3cret@127.0.0.1:{port}");
    let mut config = Config::from_url(&url).unwrap();
    config.times = impatient();
    let node = Node::start(config);
    let reason = node.received.wait("it is away", away).await;
    assert!(!reason.contains("s3cret"), "{reason}");
}
