//! Order and atomicity: events are those of committed transactions, in the order of their commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use brokers::postgres::Postgres;
use bus::engine::{Arrival, Arrivals, Engine, Health, Role, Scope};
use bus::{Position, StreamKey};
use serde_json::{Value, json};

use crate::servers::{Node, Server, events, eventually, stream};

fn publish(n: usize) -> String {
    format!("SELECT fraiseql_subs.publish('orders', '{{\"n\": {n}}}')")
}

fn numbers(data: &[Value]) -> Vec<u64> {
    data.iter()
        .map(|data| data["n"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn events_arrive_in_the_order_of_commits() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let (one, other) = (server.session().await, server.session().await);
    one.batch_execute(&format!("BEGIN; {}", publish(1)))
        .await
        .unwrap();
    other
        .batch_execute(&format!("BEGIN; {}; COMMIT", publish(2)))
        .await
        .unwrap();
    one.batch_execute(&format!("{}; COMMIT", publish(3)))
        .await
        .unwrap();
    let events = node.received.events(&orders, 3).await;
    assert_eq!(numbers(&node.data(&orders, 3).await), [2, 1, 3]);
    assert!(events.is_sorted_by_key(|(at, _)| at.offset));
    // The events of one transaction have its position.
    assert_eq!(events[1].0.offset.major, events[2].0.offset.major);
}

#[tokio::test]
async fn what_is_rolled_back_is_never_seen() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let session = server.session().await;
    session
        .batch_execute(&format!("BEGIN; {}; ROLLBACK", publish(1)))
        .await
        .unwrap();
    let steps = [
        "BEGIN".to_owned(),
        publish(2),
        "SAVEPOINT a".to_owned(),
        publish(3),
        "ROLLBACK TO a".to_owned(),
        publish(4),
        "SAVEPOINT b".to_owned(),
        publish(5),
        "RELEASE b".to_owned(),
        "COMMIT".to_owned(),
    ];
    session.batch_execute(&steps.join(";")).await.unwrap();
    assert_eq!(numbers(&node.data(&orders, 3).await), [2, 4, 5]);
    assert_eq!(node.received.events(&orders, 3).await.len(), 3);
}

#[tokio::test]
async fn a_large_transaction_arrives_whole_and_others_after_it() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql(
        "SELECT count(fraiseql_subs.publish('orders', jsonb_build_object('n', n))) \
         FROM generate_series(0, 29999) AS n",
    );
    server.sql(&publish(30_000));
    let data = node.data(&orders, 30_001).await;
    assert_eq!(numbers(&data), (0..=30_000).collect::<Vec<_>>());
    let events = node.received.events(&orders, 30_001).await;
    assert!(
        events
            .windows(2)
            .all(|pair| pair[0].0.offset < pair[1].0.offset)
    );
}

#[tokio::test]
async fn an_open_transaction_delays_no_others() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let open = server.session().await;
    open.batch_execute(&format!("BEGIN; {}", publish(1)))
        .await
        .unwrap();
    let answers = node
        .engine
        .publish(events(&orders, [json!({"n": 2})]))
        .await;
    assert!(answers[0].is_ok());
    assert_eq!(numbers(&node.data(&orders, 1).await), [2]);
    open.batch_execute("COMMIT").await.unwrap();
    assert_eq!(numbers(&node.data(&orders, 2).await), [2, 1]);
}

#[tokio::test]
async fn a_slot_waits_for_open_transactions_and_says_so() {
    let server = Server::start().await;
    let open = server.session().await;
    open.batch_execute("BEGIN; CREATE TABLE later (id int)")
        .await
        .unwrap();
    let node = Node::start(server.config());
    let orders = stream("orders");
    node.engine.want(&orders);
    node.received
        .wait("the reason is reported", |all| {
            all.iter()
                .any(|one| format!("{one:?}").contains("pg_stat_activity"))
                .then_some(())
        })
        .await;
    open.batch_execute("COMMIT").await.unwrap();
    node.received.ready(&orders).await;
    server.sql(&publish(1));
    assert_eq!(numbers(&node.data(&orders, 1).await), [1]);
}

#[tokio::test]
async fn heads_come_after_what_was_committed_before() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let first = node.want(&orders).await;
    assert_eq!(node.head(&orders).await, first);
    for n in 0..20 {
        server.sql(&publish(n));
        let head = node.head(&orders).await;
        let events = node.received.events(&orders, n + 1).await;
        assert_eq!(events.len(), n + 1);
        assert_eq!(events[n].0, head);
    }
    // Other work in the log does not move the head of a stream.
    let head = node.head(&orders).await;
    server.sql("CREATE TABLE other AS SELECT generate_series(1, 1000)");
    assert_eq!(node.head(&orders).await, head);
}

#[tokio::test]
async fn the_server_is_told_how_far_the_log_was_read() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    node.want(&stream("orders")).await;
    server.sql("CREATE TABLE other AS SELECT generate_series(1, 1000)");
    let end = server.sql("SELECT pg_current_wal_lsn()");
    let query = format!(
        "SELECT bool_and(confirmed_flush_lsn >= '{end}') FROM pg_replication_slots WHERE active"
    );
    eventually("the log is confirmed", || server.sql(&query) == "t").await;
}

/// A receiver that has no room at times.
#[derive(Default)]
struct Narrow {
    is_full: AtomicBool,
    is_ready: AtomicBool,
    events: AtomicUsize,
    doubts: AtomicUsize,
}

impl Arrivals for Narrow {
    fn ready(&self, _: &StreamKey, _: Position) {
        self.is_ready.store(true, SeqCst);
    }

    fn event(&self, _: Arrival) {
        self.events.fetch_add(1, SeqCst);
    }

    fn doubt(&self, _: Scope) {
        self.doubts.fetch_add(1, SeqCst);
    }

    fn health(&self, _: Role, _: Health) {}

    fn is_full(&self) -> bool {
        self.is_full.load(SeqCst)
    }
}

#[tokio::test]
async fn the_server_waits_while_the_receiver_has_no_room() {
    let server = Server::start().await;
    let engine = Postgres::new(server.config()).unwrap();
    let receiver = Arc::new(Narrow::default());
    engine.start(receiver.clone());
    engine.want(&stream("orders"));
    eventually("the stream is ready", || receiver.is_ready.load(SeqCst)).await;
    receiver.is_full.store(true, SeqCst);
    server.sql(
        "SELECT count(fraiseql_subs.publish('orders', jsonb_build_object('n', repeat('x', 5000)))) \
         FROM generate_series(1, 4000)",
    );
    let waits = "SELECT count(*) FROM pg_stat_replication WHERE sent_lsn < pg_current_wal_lsn()";
    eventually("the server waits", || server.sql(waits) == "1").await;
    assert!(receiver.events.load(SeqCst) < 4000);
    receiver.is_full.store(false, SeqCst);
    eventually("all have arrived", || receiver.events.load(SeqCst) == 4000).await;
    assert_eq!(receiver.doubts.load(SeqCst), 0);
}

/// A receiver with a place for a few events, which are taken one by one.
#[derive(Default)]
struct Few {
    waiting: AtomicUsize,
    events: AtomicUsize,
    refused: AtomicUsize,
    is_ready: AtomicBool,
}

impl Few {
    const PLACES: usize = 8;
}

impl Arrivals for Few {
    fn ready(&self, _: &StreamKey, _: Position) {
        self.is_ready.store(true, SeqCst);
    }

    fn event(&self, _: Arrival) {
        if self.waiting.fetch_add(1, SeqCst) >= Self::PLACES {
            self.refused.fetch_add(1, SeqCst);
        }
        self.events.fetch_add(1, SeqCst);
    }

    fn doubt(&self, _: Scope) {}

    fn health(&self, _: Role, _: Health) {}

    /// Keeps one place free: a message can be two events.
    fn is_full(&self) -> bool {
        self.waiting.load(SeqCst) + 1 >= Self::PLACES
    }
}

#[tokio::test]
async fn a_large_transaction_does_not_overrun_a_receiver_that_has_little_room() {
    let server = Server::start().await;
    let engine = Postgres::new(server.config()).unwrap();
    let receiver = Arc::new(Few::default());
    engine.start(receiver.clone());
    engine.want(&stream("orders"));
    eventually("the stream is ready", || receiver.is_ready.load(SeqCst)).await;
    server.sql(
        "SELECT count(fraiseql_subs.publish('orders', to_jsonb(n))) FROM generate_series(1, 2000) n",
    );
    eventually("all have arrived", || {
        receiver.waiting.store(0, SeqCst);
        receiver.events.load(SeqCst) == 2000
    })
    .await;
    assert_eq!(receiver.refused.load(SeqCst), 0);
}
