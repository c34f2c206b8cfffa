//! Streams of JetStream that are deleted, created again, emptied, or that have lost their end.

use bus::Position;
use bus::engine::{ReadError, Scope};

use crate::servers::{Happened, Node, Server, store, stream};

async fn ready_in_another_epoch(node: &Node, before: Position) -> Position {
    node.received
        .wait("doubt, then ready in another epoch", |all| {
            let doubt = all
                .iter()
                .position(|one| *one == Happened::Doubt(Scope::All))?;
            all[doubt..].iter().find_map(|one| match one {
                Happened::Ready(_, head) if head.epoch != before.epoch => Some(*head),
                _ => None,
            })
        })
        .await
}

#[tokio::test]
async fn a_deleted_stream_is_created_again_in_a_new_epoch() {
    let server = Server::start();
    let (node, idle) = (
        Node::live(server.config()).await,
        Node::live(server.config()).await,
    );
    let orders = stream("orders");
    node.want(&orders).await;
    idle.want(&orders).await;
    let before = node.publish_for_certain(&orders, "before").await;
    let client = server.client().await;
    let jetstream = async_nats::jetstream::new(client.clone());
    jetstream.delete_stream("fs1").await.unwrap();
    let after = node.publish_for_certain(&orders, "after").await;
    for node in [&node, &idle] {
        let head = ready_in_another_epoch(node, before).await;
        let read = node.read(&orders, before, 10).await;
        let Err(ReadError::OtherEpoch { head: now }) = read else {
            panic!("{read:?}");
        };
        assert_eq!(now.epoch, head.epoch);
        let last = node.publish_for_certain(&orders, "last").await;
        assert_eq!(last.epoch, head.epoch);
        node.received.event(&orders, "last").await;
    }
    // What was published in between has a position of the new epoch, or is told.
    assert!(after.offset.major > 0);
}

#[tokio::test]
async fn an_emptied_stream_tells_that_its_events_are_gone() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let start = node.want(&orders).await;
    node.publish(&orders, &["1", "2"]).await;
    let last = node.publish_for_certain(&orders, "3").await;
    let client = server.client().await;
    store(&client).await.purge().await.unwrap();
    let read = node.read(&orders, start, 10).await;
    assert_eq!(read, Err(ReadError::TooLate { head: last }));
    let next = node.publish_for_certain(&orders, "4").await;
    assert_eq!(next.epoch, last.epoch);
    node.received.event(&orders, "4").await;
    let page = node.read(&orders, last, 10).await.unwrap();
    assert_eq!(page.events.len(), 1);
}

#[tokio::test]
async fn events_of_one_stream_that_are_deleted_by_hand_are_told() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let (orders, other) = (stream("orders"), stream("other"));
    let start = node.head(&orders).await;
    node.publish_for_certain(&other, "kept").await;
    node.publish(&orders, &["1", "2"]).await;
    let last = node.publish_for_certain(&orders, "3").await;
    let kept = node.publish_for_certain(&other, "kept").await;
    let client = server.client().await;
    let store = store(&client).await;
    // All events of the stream, but the oldest of the JetStream stream stays.
    store.purge().filter("fs1.in.0.-.orders").await.unwrap();
    let read = node.read(&orders, start, 10).await;
    assert!(matches!(read, Err(ReadError::TooLate { .. })), "{read:?}");
    let page = node.read(&orders, last, 10).await.unwrap();
    assert_eq!(page.events.len(), 0);
    let next = node.publish_for_certain(&orders, "4").await;
    let page = node.read(&orders, last, 10).await.unwrap();
    assert_eq!((page.events[0].0, page.head), (next, next));
    // A single one.
    let fifth = node.publish_for_certain(&orders, "5").await;
    assert!(store.delete_message(next.offset.major).await.unwrap());
    let read = node.read(&orders, last, 10).await;
    assert!(matches!(read, Err(ReadError::TooLate { .. })), "{read:?}");
    let read = node.read(&orders, next, 10).await.unwrap();
    assert_eq!(read.events[0].0, fifth);
    assert!(kept.offset < next.offset);
}

#[tokio::test]
async fn a_node_that_has_received_all_misses_nothing_when_events_are_deleted_by_hand() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let (orders, quiet) = (stream("orders"), stream("quiet"));
    node.want(&orders).await;
    let head = node.want(&quiet).await;
    node.publish(&orders, &["1", "2", "3"]).await;
    // The stream is audited.
    assert_eq!(node.head(&quiet).await, head);
    let client = server.client().await;
    let mut store = store(&client).await;
    assert!(store.delete_message(2).await.unwrap());
    let deleted = store.info().await.unwrap().state.clone();
    assert_eq!((deleted.messages, deleted.last_sequence), (2, 3));
    node.received.clear();
    server.restart();
    let again = node.received.ready(&quiet).await;
    assert_eq!(again, head);
}

#[tokio::test]
async fn servers_that_lost_their_newest_events_open_a_new_epoch() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.publish(&orders, &["1", "2"]).await;
    server.kill();
    let (js, copy) = (server.path("js"), server.path("copy"));
    copy_all(&js, &copy);
    server.restart();
    let before = node.publish_for_certain(&orders, "3").await;
    let lost = node.publish_for_certain(&orders, "4").await;
    assert_eq!(node.head(&orders).await, lost);
    server.kill();
    std::fs::remove_dir_all(&js).unwrap();
    std::fs::rename(&copy, &js).unwrap();
    node.received.clear();
    server.restart();
    let head = ready_in_another_epoch(&node, before).await;
    assert!(head.offset < before.offset);
    // All tasks of the node have noticed it, and it was one loss.
    for _ in 0..3 {
        assert_eq!(node.head(&orders).await.epoch, head.epoch);
    }
    let client = server.client().await;
    let mut found = store(&client).await;
    let description = found.info().await.unwrap().config.description.clone();
    assert!(description.unwrap().ends_with("generation 1"));
    // Its sequence is that of an event that was lost, its position is not.
    let next = node.publish_for_certain(&orders, "5").await;
    assert!(next.offset <= lost.offset && next.epoch != lost.epoch);
    node.received.event(&orders, "5").await;
    let read = node.read(&orders, lost, 10).await;
    assert!(
        matches!(read, Err(ReadError::OtherEpoch { .. })),
        "{read:?}"
    );
}

#[tokio::test]
async fn a_message_with_invented_sequences_renumbers_nothing() {
    let server = Server::start();
    let (node, other) = (
        Node::live(server.config()).await,
        Node::live(server.config()).await,
    );
    let (orders, forged) = (stream("orders"), stream("forged"));
    node.want(&forged).await;
    let before = node.publish_for_certain(&orders, "1").await;
    let client = server.client().await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Stream", "fs1");
    headers.insert("Nats-Sequence", u64::MAX.to_string());
    headers.insert("Nats-Last-Sequence", "0");
    let sent = client.publish_with_headers("fs1.e.-.forged", headers, "x".into());
    sent.await.unwrap();
    node.received.event(&forged, "x").await;
    // Each look at the stream would show it.
    for node in [&node, &other] {
        assert_eq!(node.head(&orders).await, before);
        let page = node.read(&orders, before, 10).await.unwrap();
        assert_eq!(page.head, before);
    }
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-a").args([from, to]).status().unwrap().success());
}

#[tokio::test]
async fn there_is_no_consumer_that_could_be_deleted() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.publish(&orders, &["1"]).await;
    node.received.event(&orders, "1").await;
    let client = server.client().await;
    let mut store = store(&client).await;
    assert_eq!(store.info().await.unwrap().state.consumer_count, 0);
}
