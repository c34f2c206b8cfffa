//! Messages between nodes, and revocations.

use std::sync::Arc;
use std::time::Duration;

use brokers::postgres::Postgres;
use bus::engine::{ControlArrivals, ControlError, Engine};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::servers::{Node, Server, eventually};

#[derive(Default)]
struct Mailbox {
    joined: Mutex<usize>,
    messages: Mutex<Vec<Bytes>>,
}

impl ControlArrivals for Mailbox {
    fn joined(&self) {
        *self.joined.lock() += 1;
    }

    fn message(&self, message: Bytes) {
        self.messages.lock().push(message);
    }
}

async fn joined(server: &Server, name: &str) -> (Node, Arc<Mailbox>) {
    let engine = Postgres::new(server.config()).unwrap();
    let mailbox = Arc::new(Mailbox::default());
    engine.control().join(name, mailbox.clone());
    let node = Node::over(engine);
    eventually("the node has joined", || *mailbox.joined.lock() > 0).await;
    node.is_live().await;
    (node, mailbox)
}

#[tokio::test]
async fn a_message_reaches_one_node_or_all() {
    let server = Server::start().await;
    let (a, at_a) = joined(&server, "a").await;
    let (_b, at_b) = joined(&server, "b").await;
    let large = Bytes::from(vec![7; 100_000]);
    a.engine
        .control()
        .send(Some("b"), "to b".into())
        .await
        .unwrap();
    a.engine
        .control()
        .send(None, "to all".into())
        .await
        .unwrap();
    a.engine
        .control()
        .send(Some("a"), large.clone())
        .await
        .unwrap();
    eventually("the messages arrive", || at_a.messages.lock().len() == 2).await;
    eventually("the messages arrive", || at_b.messages.lock().len() == 2).await;
    assert_eq!(*at_a.messages.lock(), [Bytes::from("to all"), large]);
    assert_eq!(
        *at_b.messages.lock(),
        [Bytes::from("to b"), Bytes::from("to all")]
    );
}

#[tokio::test]
async fn a_node_joins_again_after_its_link_was_lost() {
    let server = Server::start().await;
    let (a, mailbox) = joined(&server, "a").await;
    server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots");
    eventually("the node has joined again", || *mailbox.joined.lock() > 1).await;
    a.engine
        .control()
        .send(Some("a"), "again".into())
        .await
        .unwrap();
    eventually("the message arrives", || mailbox.messages.lock().len() == 1).await;
}

#[tokio::test]
async fn revocations_are_stored_for_a_time() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let control = node.engine.control();
    control
        .revoke("a".into(), Duration::from_secs(100))
        .await
        .unwrap();
    control
        .revoke("a".into(), Duration::from_secs(50))
        .await
        .unwrap();
    control.revoke("b".into(), Duration::MAX).await.unwrap();
    control
        .revoke("gone".into(), Duration::from_millis(1))
        .await
        .unwrap();
    eventually("it expires", || {
        server.sql("SELECT count(*) FROM fraiseql_subs.current_revocations()") == "2"
    })
    .await;
    let mut found = control.revocations().await.unwrap();
    found.sort();
    let names: Vec<&[u8]> = found.iter().map(|(entry, _)| &entry[..]).collect();
    assert_eq!(names, [b"a", b"b"]);
    // The longer of both times counts.
    assert!(found[0].1 > Duration::from_mins(1) && found[0].1 <= Duration::from_secs(100));
    assert_eq!(
        server.sql("SELECT fraiseql_subs.revoke('\\x63', 1000, 2)"),
        "f"
    );
    let unavailable = Node::start({
        let mut config = server.config();
        config.set_user("nobody");
        config
    });
    let answer = unavailable.engine.control().revocations().await;
    assert!(
        matches!(answer, Err(ControlError::Unavailable(_))),
        "{answer:?}"
    );
}
