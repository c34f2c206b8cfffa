//! Links that are lost, and made again.

use bus::engine::{AttemptError, Engine, Health, Role};
use serde_json::json;

use crate::servers::{Happened, Node, Server, events, eventually, stream};

async fn arrives(server: &Server, node: &Node, n: u64) {
    server.sql(&format!(
        "SELECT fraiseql_subs.publish('orders', '{{\"n\": {n}}}')"
    ));
    let text = format!("{{\"n\": {n}}}");
    node.received
        .wait("the event arrives", |all| {
            all.iter()
                .any(|one| matches!(one, Happened::Event(_, _, of) if of.ends_with(&text)))
                .then_some(())
        })
        .await;
}

#[tokio::test]
async fn after_a_crash_of_the_server_a_stream_goes_on_at_a_later_head() {
    let mut server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let before = node.want(&orders).await;
    arrives(&server, &node, 1).await;
    node.received.clear();
    server.kill();
    eventually("the links are away", || {
        Role::ALL
            .iter()
            .all(|role| matches!(node.engine.health().of(*role), Health::Away { .. }))
    })
    .await;
    let answers = node
        .engine
        .publish(events(&orders, [json!({"lost": 1})]))
        .await;
    assert!(
        matches!(&answers[..], [Err(AttemptError::NotSent(_))]),
        "{answers:?}"
    );
    server.launch();
    let after = node.received.ready(&orders).await;
    assert_eq!(after.epoch, before.epoch);
    assert!(after.offset > before.offset);
    arrives(&server, &node, 2).await;
    node.is_live().await;
}

#[tokio::test]
async fn a_walsender_that_is_ended_again_and_again_loses_nothing_silently() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let mut head = node.want(&orders).await;
    let mut published = 0;
    for _ in 0..6 {
        for _ in 0..5 {
            published += 1;
            server.sql(&format!(
                "SELECT fraiseql_subs.publish('orders', '{{\"n\": {published}}}')"
            ));
        }
        node.received.clear();
        server
            .sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active");
        let later = node.received.ready(&orders).await;
        assert!(later.offset > head.offset && later.epoch == head.epoch);
        head = later;
    }
    node.received.clear();
    arrives(&server, &node, 1000).await;
    eventually("old slots are gone", || {
        server.sql("SELECT count(*) FROM pg_replication_slots") == "1"
    })
    .await;
}

#[tokio::test]
async fn a_publisher_whose_connection_is_ended_connects_again() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = \
         'fraiseql-subs' AND backend_type = 'client backend'",
    );
    let batch = events(&orders, [json!({"n": 1})]);
    loop {
        match node.engine.publish(batch.clone()).await.remove(0) {
            Ok(_) => break,
            Err(AttemptError::NotSent(_) | AttemptError::Unknown(_)) => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(node.data(&orders, 1).await, [json!({"n": 1})]);
    node.is_live().await;
}

#[tokio::test]
async fn a_server_that_starts_later_is_found() {
    let mut server = Server::start().await;
    let config = server.config();
    server.kill();
    let node = Node::start(config);
    let orders = stream("orders");
    node.engine.want(&orders);
    eventually("the server is away", || {
        matches!(
            node.engine.health().of(Role::Publisher),
            Health::Away {
                is_configuration: false,
                ..
            }
        )
    })
    .await;
    server.launch();
    node.received.ready(&orders).await;
    arrives(&server, &node, 1).await;
}

#[tokio::test]
async fn a_server_that_shuts_down_does_not_wait_for_a_node() {
    // Without a timeout it would wait for ever for a node that does not confirm what it has read.
    let mut server = Server::bare(&["wal_sender_timeout=0"]);
    server
        .install(&brokers::postgres::Installation::default())
        .await
        .unwrap();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    arrives(&server, &node, 1).await;
    server.shut_down().await;
    server.launch();
    node.received.clear();
    node.received.ready(&orders).await;
    arrives(&server, &node, 2).await;
}

#[tokio::test]
async fn a_host_that_refuses_and_one_that_is_silent_are_passed_over() {
    let server = Server::start().await;
    let refusing = crate::servers::free_port();
    // Accepts connections, and answers nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    let hosts = [refusing, silent, server.port].map(|port| format!("127.0.0.1:{port}"));
    let hosts = hosts.join(",");
    let url = format!("postgresql://postgres@{hosts}/postgres");
    let mut config = brokers::postgres::Config::from_url(&url).unwrap();
    config.times = crate::servers::quick();
    let node = Node::live(config).await;
    node.want(&stream("orders")).await;
    arrives(&server, &node, 1).await;
}

/// P8.
#[tokio::test]
async fn a_replica_that_takes_over_has_another_epoch() {
    let mut server = Server::start().await;
    let replica = server.replica();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", server.port, replica.port);
    let url = format!("postgresql://postgres@{hosts}/postgres");
    let mut config = brokers::postgres::Config::from_url(&url).unwrap();
    config.times = crate::servers::quick();
    let node = Node::live(config).await;
    let orders = stream("orders");
    let before = node.want(&orders).await;
    arrives(&server, &node, 1).await;
    server.kill();
    node.received.clear();
    // As long as there is no primary, the node waits for one.
    replica.sql("SELECT pg_promote()");
    let after = node.received.ready(&orders).await;
    assert_ne!(
        after.epoch, before.epoch,
        "places of another timeline are other places"
    );
    arrives(&replica, &node, 2).await;
    node.is_live().await;
}
