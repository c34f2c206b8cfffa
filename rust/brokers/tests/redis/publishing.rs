//! Publishing and receiving, the order of events, and ids that are published again.

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{AttemptError, Engine, Health, Role};
use bus::{Position, StreamKey};

use crate::servers::{Node, PATIENCE, Server, batch, event, eventually, quick, stream};

#[tokio::test]
async fn events_arrive_in_their_order() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let head = node.want(&orders).await;
    assert_eq!(head.offset.major, 0);
    let texts: Vec<String> = (1..=200).map(|number| format!("event {number}")).collect();
    let mut positions = Vec::new();
    for some in texts.chunks(70) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        positions.extend(node.publish(&orders, &some).await);
    }
    let positions: Vec<Position> = positions.into_iter().map(Result::unwrap).collect();
    let expected: Vec<Position> = (1..=200).map(|at| Position::new(head.epoch, at)).collect();
    assert_eq!(positions, expected);
    let events = node.received.events(&orders, 200).await;
    assert_eq!(events, expected.into_iter().zip(texts).collect::<Vec<_>>());
    assert_eq!(node.head(&orders).await, Position::new(head.epoch, 200));
}

#[tokio::test]
async fn a_batch_of_several_streams_counts_each() {
    let server = Server::start();
    let node = Node::live(server.config_of("?partitions=1", quick())).await;
    let a = StreamKey::of_tenant("orders", "a");
    let b = StreamKey::of_tenant("orders", "b");
    node.want(&a).await;
    node.want(&b).await;
    let batch = Arc::new([
        event(&a, "1", "a1"),
        event(&b, "2", "b1"),
        event(&a, "3", "a2"),
    ]);
    let offsets: Vec<u64> = node
        .engine
        .publish(batch)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().offset.major)
        .collect();
    assert_eq!(offsets, [1, 1, 2]);
    let of_a: Vec<String> = texts(node.received.events(&a, 2).await);
    assert_eq!(of_a, ["a1", "a2"]);
    assert_eq!(texts(node.received.events(&b, 1).await), ["b1"]);
}

fn texts(events: Vec<(Position, String)>) -> Vec<String> {
    events.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn a_batch_of_any_sizes_arrives_event_by_event() {
    let server = Server::start();
    let node = Node::live(server.config_of("?partitions=1", quick())).await;
    let (orders, other) = (stream("orders"), stream("other"));
    node.want(&orders).await;
    node.want(&other).await;
    let large = "x".repeat(70_000);
    let half = "y".repeat(40_000);
    let texts_of_orders = ["", "7*1,2 ", &half, &half, &large, "\0\r\n é", "last"];
    node.publish(&orders, &["before"]).await;
    let known = event(&orders, "known", "known");
    node.engine.publish(Arc::new([known.clone()])).await;
    let mut batch = vec![event(&other, "other 1", "a"), event(&other, "other 2", "b")];
    for (number, text) in texts_of_orders.iter().enumerate() {
        batch.push(event(&orders, &format!("{number}"), text));
        // Published before: it has a position already, and is not sent again.
        batch.push(known.clone());
    }
    batch.push(event(&other, "other 3", "c"));
    let answers = node.engine.publish(batch.into()).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let expected: Vec<&str> = ["before", "known"]
        .into_iter()
        .chain(texts_of_orders)
        .collect();
    let events = node.received.events(&orders, expected.len()).await;
    let offsets: Vec<u64> = events.iter().map(|(at, _)| at.offset.major).collect();
    assert_eq!(offsets, (1..=expected.len() as u64).collect::<Vec<_>>());
    assert_eq!(texts(events), expected);
    let others = node.received.events(&other, 3).await;
    assert_eq!(texts(others), ["a", "b", "c"]);
}

#[tokio::test]
async fn engines_of_two_nodes_see_the_same_positions() {
    let server = Server::start();
    let one = Node::live(server.config()).await;
    let other = Node::live(server.config()).await;
    let orders = stream("orders");
    assert_eq!(one.want(&orders).await, other.want(&orders).await);
    for number in 0..20 {
        let publisher = [&one, &other][number % 2];
        publisher
            .publish(&orders, &[&format!("{number}")])
            .await
            .remove(0)
            .unwrap();
    }
    let events = one.received.events(&orders, 20).await;
    assert_eq!(events, other.received.events(&orders, 20).await);
    let offsets: Vec<u64> = events
        .iter()
        .map(|(position, _)| position.offset.major)
        .collect();
    assert_eq!(offsets, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_that_is_published_again_is_one_event() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let again: Arc<[_]> = Arc::new([event(&orders, "the one", "once")]);
    let first = node.engine.publish(again.clone()).await.remove(0).unwrap();
    for _ in 0..100 {
        assert_eq!(node.engine.publish(again.clone()).await, [Ok(first)]);
    }
    let twice: Arc<[_]> = Arc::new([event(&orders, "2", "x"), event(&orders, "2", "x")]);
    let second = node.engine.publish(twice).await;
    assert_eq!(second[0], second[1]);
    node.publish_for_certain(&orders, "last").await;
    node.received.event(&orders, "last").await;
    let all = node.received.events(&orders, 3).await;
    assert_eq!(texts(all), ["once", "x", "last"]);
    // The same id in another stream is another event.
    let other = stream("other");
    let answer = node
        .engine
        .publish(Arc::new([event(&other, "the one", "x")]))
        .await;
    assert_eq!(answer[0].as_ref().unwrap().offset.major, 1);
    assert_eq!(node.head(&other).await.offset.major, 1);
}

#[tokio::test]
async fn an_event_published_again_over_reconnects_is_one_event() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let again: Arc<[_]> = Arc::new([event(&orders, "the one", "once")]);
    let mut found = Vec::new();
    for attempt in 0..60 {
        if attempt % 20 == 10 {
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        match node.engine.publish(again.clone()).await.remove(0) {
            Ok(position) => found.push(position),
            Err(AttemptError::NotSent(_) | AttemptError::Unknown(_)) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!found.is_empty());
    assert!(found.iter().all(|position| *position == found[0]));
    assert_eq!(node.head(&orders).await, found[0]);
}

#[tokio::test]
async fn without_history_events_are_numbered_and_not_kept() {
    let server = Server::start();
    let node = Node::live(server.config_of("?history=off", quick())).await;
    assert_eq!(node.engine.capabilities().history, None);
    let orders = stream("orders");
    let head = node.want(&orders).await;
    node.publish(&orders, &["a", "b"]).await;
    let events = node.received.events(&orders, 2).await;
    assert_eq!(events[1], (Position::new(head.epoch, 2), "b".to_owned()));
    assert_eq!(node.head(&orders).await, Position::new(head.epoch, 2));
    let error = node.engine.read(&orders, head, 10).await.unwrap_err();
    let head = Position::new(head.epoch, 2);
    assert_eq!(error, bus::engine::ReadError::TooLate { head });
    assert_eq!(server.command(&["--raw", "KEYS", "*:h:*"]), "");
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    for number in 1..=5 {
        server.command(&["SCRIPT", "FLUSH"]);
        let answers = node.publish(&orders, &["x"]).await;
        assert_eq!(answers[0].as_ref().unwrap().offset.major, number);
        server.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(node.head(&orders).await.offset.major, number);
    }
}

#[tokio::test]
async fn events_in_flight_are_answered_before_the_engine_closes() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert!(before > 0);
    let orders = stream("orders");
    let texts = vec!["x"; 500];
    let pending = tokio::spawn(node.engine.publish(batch(&orders, &texts)));
    node.engine.close(PATIENCE).await;
    assert!(pending.await.unwrap().iter().all(Result::is_ok));
    for role in Role::ALL {
        assert_eq!(*node.engine.health().of(role), Health::Closed);
    }
    let late = node.publish(&orders, &["late"]).await;
    assert!(matches!(&late[0], Err(AttemptError::NotSent(why)) if why.contains("closed")));
    eventually("all tasks have ended", || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            == 0
    })
    .await;
}

#[tokio::test]
async fn the_tasks_of_an_engine_end_when_it_is_dropped() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    node.want(&stream("orders")).await;
    drop(node);
    eventually("all tasks have ended", || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            == 0
    })
    .await;
    eventually("all connections have ended", || {
        server.command(&["CLIENT", "LIST"]).lines().count() == 1
    })
    .await;
}
