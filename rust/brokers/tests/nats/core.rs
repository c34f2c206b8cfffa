//! NATS without JetStream: live events, and losses that are told.

use std::sync::Arc;

use bus::Position;
use bus::engine::{AttemptError, Engine, Numbering, ReadError, Scope};

use crate::servers::{Happened, Node, Server, batch, event, stream};

#[tokio::test]
async fn events_reach_every_node_in_order_without_jetstream() {
    let server = Server::with("");
    let config = server.config_of("?history=off");
    let (one, other) = (Node::live(config.clone()).await, Node::live(config).await);
    assert_eq!(one.engine.capabilities().numbering, Numbering::Sparse);
    assert_eq!(one.engine.capabilities().history, None);
    assert_eq!(one.engine.capabilities().idempotency, None);
    let orders = stream("orders");
    let heads = [one.want(&orders).await, other.want(&orders).await];
    // A position means nothing to another node.
    assert_ne!(heads[0].epoch, heads[1].epoch);
    for answer in one.publish(&orders, &["1", "2", "3"]).await {
        answer.unwrap();
    }
    for (node, head) in [&one, &other].into_iter().zip(heads) {
        let events = node.received.events(&orders, 3).await;
        let texts: Vec<&str> = events.iter().map(|(_, text)| &**text).collect();
        assert_eq!(texts, ["1", "2", "3"]);
        let mut last = head;
        for (at, _) in &events {
            assert!(at.epoch == head.epoch && at.offset > last.offset);
            last = *at;
        }
        // An audit finds no loss.
        assert_eq!(node.head(&orders).await, last);
    }
    let read = one.engine.read(&orders, heads[0], 10).await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn a_lost_link_is_told_and_later_events_arrive() {
    let mut server = Server::with("");
    let node = Node::live(server.config_of("?history=off")).await;
    let (orders, quiet) = (stream("orders"), stream("quiet"));
    node.want(&orders).await;
    let head = node.want(&quiet).await;
    for round in 0..3 {
        node.received.clear();
        server.restart();
        node.received
            .wait("doubt, then ready", |all| {
                let is_ready = |of: &bus::StreamKey| {
                    let doubt = Happened::Doubt(Scope::Stream(of.clone()));
                    let doubt = all.iter().position(|one| *one == doubt)?;
                    all[doubt..]
                        .iter()
                        .any(|one| matches!(one, Happened::Ready(it, _) if it == of))
                        .then_some(())
                };
                is_ready(&orders).and(is_ready(&quiet))
            })
            .await;
        // Told once, by the doubt: the position of a stream without new events stays.
        assert_eq!(node.received.ready(&quiet).await, head);
        let text = format!("after {round}");
        node.publish_for_certain(&orders, &text).await;
        node.received.event(&orders, &text).await;
    }
}

#[tokio::test]
async fn events_while_a_stream_was_not_wanted_are_between_two_positions() {
    let server = Server::with("");
    let node = Node::live(server.config_of("?history=off")).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.publish(&orders, &["1"]).await;
    let first = node.received.event(&orders, "1").await;
    node.engine.unwant(&orders);
    node.received.clear();
    let again = node.want(&orders).await;
    assert!(again.epoch == first.epoch && again.offset > first.offset);
}

#[tokio::test]
async fn an_event_whose_link_was_lost_is_unknown_or_not_sent() {
    let mut server = Server::with("");
    let node = Node::live(server.config_of("?history=off")).await;
    let orders = stream("orders");
    server.stop();
    let batch = batch(&orders, &["1", "2"]);
    let publishing = node.engine.publish(batch);
    server.kill();
    for answer in publishing.await {
        assert!(
            matches!(
                answer,
                Err(AttemptError::Unknown(_) | AttemptError::NotSent(_))
            ),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn events_of_two_streams_do_not_look_like_losses() {
    let server = Server::with("");
    let node = Node::live(server.config_of("?history=off&partitions=4")).await;
    let (busy, quiet) = (stream("busy"), stream("quiet"));
    node.want(&busy).await;
    let head = node.want(&quiet).await;
    let events: Arc<[_]> = (0..64)
        .map(|number| event(&busy, &number.to_string(), "x"))
        .collect();
    for answer in node.engine.publish(events).await {
        answer.unwrap();
    }
    node.received.events(&busy, 64).await;
    let heads: Vec<Position> = node
        .engine
        .heads(Arc::from([quiet]))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(heads, [head]);
}

/// Events that a node finds when it goes on: a few megabytes, which the sockets hold.
const BURST: usize = 30_000;

#[tokio::test]
async fn a_burst_of_small_events_of_one_stream_is_no_loss() {
    let server = Server::with("");
    let node = Node::live(server.config_of("?history=off")).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.received.clear();
    // The node runs on this thread, so it reads nothing until all were published.
    let url = server.url();
    std::thread::scope(|scope| {
        scope.spawn(move || publish_elsewhere(url));
    });
    let events = node.received.events(&orders, BURST).await;
    assert!(
        events.iter().map(|(_, text)| text).eq((0..BURST)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .iter())
    );
    let doubts = node.received.all();
    assert!(!doubts.iter().any(|one| matches!(one, Happened::Doubt(_))));
}

#[tokio::main(flavor = "current_thread")]
async fn publish_elsewhere(url: String) {
    let client = async_nats::connect(url).await.unwrap();
    for number in 0..BURST {
        let sent = client.publish("fs1.e.-.orders", number.to_string().into());
        sent.await.unwrap();
    }
    client.flush().await.unwrap();
}
