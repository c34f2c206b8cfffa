//! Reading history, trimmed history, and epochs.

use std::time::Duration;

use brokers::redis::StreamHistory;
use bus::engine::{Engine, ReadError};
use bus::{Epoch, Position};

use crate::servers::{Node, Server, quick, stream};

#[tokio::test]
async fn events_after_a_position_are_read() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let start = node.head(&orders).await;
    let texts: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    node.publish(&orders, &texts).await;
    let at = |offset| Position::new(start.epoch, offset);

    let page = node.engine.read(&orders, at(40), 50).await.unwrap();
    assert_eq!(page.head, at(100));
    let expected: Vec<_> = (41..=90)
        .map(|number| (at(number), bytes::Bytes::from(number.to_string())))
        .collect();
    assert_eq!(page.events, expected);
    let page = node.engine.read(&orders, at(100), 50).await.unwrap();
    assert_eq!((page.events, page.head), (Vec::new(), at(100)));
    assert_eq!(
        node.engine.read(&orders, at(101), 50).await,
        Err(ReadError::OtherEpoch { head: at(100) })
    );
    let other = Position::new(Epoch(1), 40);
    assert_eq!(
        node.engine.read(&orders, other, 50).await,
        Err(ReadError::OtherEpoch { head: at(100) })
    );
    // A stream without events has a position, and nothing after it.
    let empty = stream("empty");
    let head = node.head(&empty).await;
    let page = node.engine.read(&empty, head, 50).await.unwrap();
    assert_eq!((page.events, page.head), (Vec::new(), head));
}

#[tokio::test]
async fn history_that_was_trimmed_is_too_late() {
    let server = Server::with(&["--stream-node-max-entries", "5"]);
    let mut config = server.config();
    config.history = Some(StreamHistory {
        events: 10,
        age: Duration::from_mins(5),
    });
    let node = Node::live(config).await;
    let orders = stream("orders");
    let start = node.head(&orders).await;
    node.publish(&orders, &["x"; 50]).await;
    let head = Position::new(start.epoch, 50);
    assert_eq!(
        node.engine.read(&orders, start, 100).await,
        Err(ReadError::TooLate { head })
    );
    let page = node
        .engine
        .read(&orders, Position::new(start.epoch, 40), 100)
        .await
        .unwrap();
    assert_eq!(page.events.len(), 10);
}

#[tokio::test]
async fn history_that_has_expired_or_was_evicted_is_too_late() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let start = node.head(&orders).await;
    node.publish(&orders, &["x"; 5]).await;
    let key = server.command(&["KEYS", "*:h:orders"]);
    let ttl: u64 = server.command(&["TTL", &key]).parse().unwrap();
    assert!((200..=300).contains(&ttl), "{ttl}");
    server.command(&["DEL", &key]);
    let head = Position::new(start.epoch, 5);
    assert_eq!(
        node.engine.read(&orders, start, 100).await,
        Err(ReadError::TooLate { head })
    );
    // The stream continues with the next offset, and a gap within it is an error as well.
    node.publish(&orders, &["six", "seven", "eight"]).await;
    let page = node.engine.read(&orders, head, 100).await.unwrap();
    assert_eq!(page.events.len(), 3);
    server.command(&["XDEL", &key, "7-0"]);
    let error = node.engine.read(&orders, head, 100).await.unwrap_err();
    assert!(matches!(error, ReadError::TooLate { .. }));
}

#[tokio::test]
async fn a_counter_that_is_gone_begins_a_new_epoch() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.publish(&orders, &["a", "b"]).await;
    let before = node.head(&orders).await;
    let key = server.command(&["KEYS", "*:s:orders"]);
    let ttl: u64 = server.command(&["TTL", &key]).parse().unwrap();
    assert!(ttl > 80_000, "{ttl}");
    server.command(&["DEL", &key]);
    let after = node.publish(&orders, &["c"]).await.remove(0).unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.offset.major, 1);
    assert_eq!(
        node.engine.read(&orders, before, 10).await,
        Err(ReadError::OtherEpoch { head: after })
    );
    let start = Position::new(after.epoch, 0);
    assert_eq!(
        node.engine
            .read(&orders, start, 10)
            .await
            .unwrap()
            .events
            .len(),
        1
    );
}

#[tokio::test]
async fn a_server_that_lost_its_memory_has_other_epochs() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let before = node
        .publish(&orders, &["a", "b", "c"])
        .await
        .pop()
        .unwrap()
        .unwrap();
    server.restart();
    let after = node.publish_for_certain(&orders, "d").await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(node.head(&orders).await, after);
    node.is_live().await;
    let error = node.engine.read(&orders, before, 10).await.unwrap_err();
    assert_eq!(error, ReadError::OtherEpoch { head: after });
}

#[tokio::test]
async fn a_server_that_came_back_with_older_memory_has_other_epochs() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.publish(&orders, &["a", "b", "c"]).await;
    let saved = node.head(&orders).await;
    // The server loses what is published after the snapshot.
    server.command(&["SAVE"]);
    let lost = node
        .publish(&orders, &["d", "e"])
        .await
        .pop()
        .unwrap()
        .unwrap();
    assert_eq!(lost.offset.major, 5);
    server.restart();
    node.received.clear();
    let again = node.publish_for_certain(&orders, "f").await;
    node.is_live().await;
    assert_eq!(saved.epoch, lost.epoch);
    assert_ne!(again.epoch, lost.epoch);
    for position in [saved, lost] {
        assert_eq!(
            node.engine.read(&orders, position, 10).await,
            Err(ReadError::OtherEpoch { head: again })
        );
    }
}

#[tokio::test]
async fn heads_alone_end_the_epochs_of_a_server_that_was_restarted() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.publish(&orders, &["a"]).await;
    let before = node.want(&orders).await;
    server.command(&["SAVE"]);
    node.received.clear();
    server.restart();
    let after = node.received.ready(&orders).await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(node.head(&orders).await, after);
    // The next event has the offset after the head.
    let next = node.publish_for_certain(&orders, "b").await;
    assert_eq!(next, Position::new(after.epoch, after.offset.major + 1));
}

#[tokio::test]
async fn the_heads_of_many_streams_come_in_their_order() {
    let server = Server::start();
    let node = Node::live(server.config_of("?partitions=4", quick())).await;
    let streams: Vec<_> = (0..3000)
        .map(|number| stream(&format!("s{number}")))
        .collect();
    for place in [7, 1999, 2999] {
        node.publish(&streams[place], &["x", "y"]).await;
    }
    let heads = node.engine.heads(streams.into()).await;
    for (place, head) in heads.iter().enumerate() {
        let expected = if [7, 1999, 2999].contains(&place) {
            2
        } else {
            0
        };
        let head = head.as_ref().unwrap();
        assert_eq!(head.offset.major, expected, "{place}");
    }
}
