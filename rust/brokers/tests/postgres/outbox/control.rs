//! Messages between nodes, and revocations.

use std::sync::Arc;
use std::time::Duration;

use brokers::postgres::Outbox;
use bus::engine::{ControlArrivals, Engine};
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Node, config, publish, server};
use crate::servers::{Server, eventually};
use crate::support::Receiver;

#[derive(Default)]
struct Messages {
    joined: Mutex<u32>,
    all: Mutex<Vec<Bytes>>,
}

impl ControlArrivals for Messages {
    fn joined(&self) {
        *self.joined.lock() += 1;
    }

    fn message(&self, message: Bytes) {
        self.all.lock().push(message);
    }
}

async fn member(server: &Server, name: &str) -> (Node, Arc<Messages>) {
    let engine = Outbox::new(config(server)).unwrap();
    let messages = Arc::new(Messages::default());
    engine.control().join(name, messages.clone());
    let received = Arc::new(Receiver::default());
    engine.start(received.clone());
    let node = Node { engine, received };
    node.is_live().await;
    eventually("the node has joined", || *messages.joined.lock() > 0).await;
    (node, messages)
}

#[tokio::test]
async fn messages_reach_all_nodes_or_one_also_while_a_transaction_is_open() {
    let server = server().await;
    let (a, at_a) = member(&server, "a").await;
    let (_b, at_b) = member(&server, "b").await;
    let session = server.session().await;
    session
        .batch_execute(&format!("BEGIN; {}", publish("orders", 1)))
        .await
        .unwrap();
    let large = Bytes::from(vec![7; 100_000]);
    a.engine.control().send(None, large.clone()).await.unwrap();
    let to_b = Bytes::from_static(b"to b");
    a.engine
        .control()
        .send(Some("b"), to_b.clone())
        .await
        .unwrap();
    a.engine
        .control()
        .send(None, Bytes::from_static(b"end"))
        .await
        .unwrap();
    let has = |messages: &Messages, count| messages.all.lock().len() >= count;
    eventually("they arrive", || has(&at_a, 2) && has(&at_b, 3)).await;
    assert_eq!(
        *at_a.all.lock(),
        [large.clone(), Bytes::from_static(b"end")]
    );
    assert_eq!(*at_b.all.lock(), [large, to_b, Bytes::from_static(b"end")]);
}

#[tokio::test]
async fn a_node_that_was_cut_off_joins_again() {
    let server = server().await;
    let (a, at_a) = member(&server, "a").await;
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LISTEN%' AND usename = 'subs'");
    eventually("it joins again", || *at_a.joined.lock() > 1).await;
    a.is_live().await;
    a.engine
        .control()
        .send(None, Bytes::from_static(b"new"))
        .await
        .unwrap();
    eventually("it arrives", || at_a.all.lock().len() == 1).await;
}

#[tokio::test]
async fn revocations_are_kept_for_all_nodes() {
    let server = server().await;
    let (a, _) = member(&server, "a").await;
    let entry = Bytes::from_static(b"entry");
    let hour = Duration::from_hours(1);
    a.engine
        .control()
        .revoke(entry.clone(), hour)
        .await
        .unwrap();
    let (b, _) = member(&server, "b").await;
    let kept = b.engine.control().revocations().await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].0, entry);
}
