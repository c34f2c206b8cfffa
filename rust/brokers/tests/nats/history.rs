//! Kept events: pages, what is too late, and the newest positions.

use std::sync::Arc;
use std::time::Duration;

use bus::Position;
use bus::engine::{Engine, HistoryKind, Numbering, ReadError};

use crate::servers::{Happened, Node, Server, batch, eventually, store, stream};

#[tokio::test]
async fn any_node_reads_what_another_has_published() {
    let server = Server::start();
    let (one, other) = (
        Node::live(server.config()).await,
        Node::live(server.config()).await,
    );
    assert_eq!(one.engine.capabilities().history, Some(HistoryKind::Shared));
    assert_eq!(one.engine.capabilities().numbering, Numbering::Linked);
    let (orders, noise) = (stream("orders"), stream("noise"));
    let before = one.head(&orders).await;
    let mut published = Vec::new();
    for text in ["1", "2", "3", "4", "5"] {
        published.push(one.publish_for_certain(&orders, text).await);
        one.publish_for_certain(&noise, "noise").await;
    }
    let page = other.read(&orders, before, 100).await.unwrap();
    let positions: Vec<Position> = page.events.iter().map(|(at, _)| *at).collect();
    assert_eq!((positions, page.head), (published.clone(), published[4]));
    assert_eq!(&page.events[0].1[..], b"1");
    let page = other.read(&orders, published[1], 2).await.unwrap();
    assert_eq!((page.events.len(), page.head), (2, published[4]));
    let page = other.read(&orders, published[4], 2).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, published[4]));
    assert_eq!(other.head(&orders).await, published[4]);
}

#[tokio::test]
async fn a_quiet_stream_has_a_position_before_its_next_event() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let (orders, quiet) = (stream("orders"), stream("quiet"));
    node.publish(&orders, &["1", "2"]).await;
    let head = node.want(&quiet).await;
    assert_eq!(head, node.head(&quiet).await);
    let page = node.read(&quiet, head, 10).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, head));
    let next = node.publish_for_certain(&quiet, "x").await;
    assert!(next.epoch == head.epoch && next.offset > head.offset);
}

#[tokio::test]
async fn events_that_are_too_old_are_told() {
    let server = Server::start();
    let mut config = server.config();
    config.history = Some(Duration::from_secs(1));
    let node = Node::live(config).await;
    assert_eq!(
        node.engine.capabilities().idempotency,
        Some(Duration::from_secs(1))
    );
    let orders = stream("orders");
    let start = node.head(&orders).await;
    let first = node.publish_for_certain(&orders, "1").await;
    let last = node.publish_for_certain(&orders, "2").await;
    let client = server.client().await;
    let mut store = store(&client).await;
    loop {
        if store.info().await.unwrap().state.messages == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for after in [start, first] {
        let error = node.read(&orders, after, 10).await.unwrap_err();
        assert_eq!(error, ReadError::TooLate { head: last });
    }
    // Nothing is missing after the newest one.
    let page = node.read(&orders, last, 10).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, last));
    let next = node.publish_for_certain(&orders, "3").await;
    let page = node.read(&orders, last, 10).await.unwrap();
    assert_eq!((page.events[0].0, page.head), (next, next));
}

#[tokio::test]
async fn a_quiet_stream_has_missed_nothing_after_a_lost_link_although_all_else_was_deleted() {
    let mut server = Server::start();
    let node = Node::live(server.config_of("?max_bytes=1048576")).await;
    let (quiet, busy) = (stream("quiet"), stream("busy"));
    let head = node.want(&quiet).await;
    let client = server.client().await;
    let mut store = store(&client).await;
    // Later events push the oldest sequence past the position of the quiet stream.
    let large = "x".repeat(200_000);
    while store.info().await.unwrap().state.first_sequence < head.offset.major + 3 {
        node.publish_for_certain(&busy, &large).await;
        // The stream is audited meanwhile.
        assert_eq!(node.head(&quiet).await, head);
    }
    node.publish_for_certain(&busy, "kept").await;
    node.received.clear();
    server.restart();
    let again = node.received.ready(&quiet).await;
    assert_eq!(again, head);
    let page = node.read(&quiet, again, 10).await.unwrap();
    assert_eq!((page.events.len(), page.head), (0, again));
}

#[tokio::test]
async fn a_read_of_many_events_ends_at_its_limit() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let start = node.head(&orders).await;
    let texts: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for answer in node.publish(&orders, &texts).await {
        answer.unwrap();
    }
    let page = node.read(&orders, start, 256).await.unwrap();
    assert_eq!(page.events.len(), 256);
    let rest = node.read(&orders, page.events[255].0, 256).await.unwrap();
    let all: Vec<_> = page.events.iter().chain(&rest.events).collect();
    let texts_read: Vec<&[u8]> = all.iter().map(|(_, envelope)| &envelope[..]).collect();
    assert_eq!(
        texts_read,
        texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn heads_are_known_for_streams_that_nobody_wants() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let streams: Vec<_> = (0..100)
        .map(|number| stream(&format!("s{number}")))
        .collect();
    let mut last = Vec::new();
    for one in &streams {
        last.push(
            node.engine
                .publish(batch(one, &["x"]))
                .await
                .remove(0)
                .unwrap(),
        );
    }
    let heads = node.engine.heads(Arc::from(streams)).await;
    let heads: Vec<Position> = heads.into_iter().map(Result::unwrap).collect();
    assert_eq!(heads, last);
}

#[tokio::test]
async fn a_node_that_was_away_reads_what_it_has_missed() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let before = node.publish_for_certain(&orders, "before").await;
    node.received.clear();
    server.restart();
    let client = server.client().await;
    let jetstream = async_nats::jetstream::new(client);
    for text in ["1", "2"] {
        // Published without the node, perhaps before it is back.
        let stored = jetstream.publish("fs1.in.0.-.orders", text.into()).await;
        stored.unwrap().await.unwrap();
    }
    let head = node.received.ready(&orders).await;
    let page = node.read(&orders, before, 10).await.unwrap();
    assert_eq!(page.events.len(), 2);
    let missed = page.events.iter().filter(|(at, _)| at.offset > head.offset);
    let live = missed.count();
    eventually("later events arrive", || {
        let all = node.received.all();
        all.iter()
            .filter(|one| matches!(one, Happened::Event(..)))
            .count()
            >= live
    })
    .await;
}

#[tokio::test]
async fn a_page_that_is_read_while_its_events_are_deleted_has_no_hole() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let client = server.client().await;
    let store = store(&client).await;
    let (mut pages, mut too_late) = (0, 0);
    for round in 0..30 {
        let start = node.head(&orders).await;
        let texts: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut last = start;
        for answer in node.publish(&orders, &texts).await {
            last = answer.unwrap();
        }
        let purge = async {
            // As far into the page as this many questions take.
            for _ in 0..round * 5 {
                client.flush().await.unwrap();
            }
            store.purge().sequence(last.offset.major - 5).await.unwrap();
        };
        let (page, ()) = tokio::join!(node.read(&orders, start, 256), purge);
        match page {
            Ok(page) => {
                pages += 1;
                for (number, (_, envelope)) in page.events.iter().enumerate() {
                    assert_eq!(&envelope[..], number.to_string().as_bytes());
                }
            }
            Err(error) => {
                too_late += 1;
                assert!(matches!(error, ReadError::TooLate { .. }), "{error:?}");
            }
        }
    }
    // The first rounds delete before the page is read.
    assert!(too_late > 0, "{pages} pages");
}
