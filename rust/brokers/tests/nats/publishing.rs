//! Publishing: receipts, events that are published again, order, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use bus::Position;
use bus::engine::{AttemptError, Engine, Outgoing};

use crate::servers::{Node, Server, batch, event, store, stream};

#[tokio::test]
async fn an_event_that_is_published_again_counts_once() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let (orders, other) = (stream("orders"), stream("other"));
    let again: Arc<[Outgoing]> = Arc::new([event(&orders, "id", "x")]);
    let first = node.engine.publish(again.clone()).await.remove(0).unwrap();
    for round in 0..3 {
        if round > 0 {
            server.restart();
            node.head(&orders).await;
        }
        loop {
            if let Ok(receipt) = node.engine.publish(again.clone()).await.remove(0) {
                assert_eq!(receipt, first);
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // The same id in another stream is another event.
    let elsewhere: Arc<[Outgoing]> = Arc::new([event(&other, "id", "x")]);
    let second = node.engine.publish(elsewhere).await.remove(0).unwrap();
    assert!(second.offset > first.offset);
    let page = node
        .read(&orders, Position::new(first.epoch, 0), 10)
        .await
        .unwrap();
    assert_eq!(page.events.len(), 1);
}

#[tokio::test]
async fn an_event_that_is_published_again_after_the_window_is_two_events() {
    let server = Server::start();
    let mut config = server.config();
    config.history = Some(Duration::from_secs(1));
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let again: Arc<[Outgoing]> = Arc::new([event(&orders, "id", "x")]);
    let first = node.engine.publish(again.clone()).await.remove(0).unwrap();
    let second = loop {
        let receipt = node.engine.publish(again.clone()).await.remove(0).unwrap();
        if receipt != first {
            break receipt;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let events = node.received.events(&orders, 2).await;
    assert_eq!((events[0].0, events[1].0), (first, second));
}

#[tokio::test]
async fn the_events_of_a_batch_keep_the_order_of_their_streams() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let streams: Vec<_> = (0..8).map(|number| stream(&format!("s{number}"))).collect();
    for one in &streams {
        node.want(one).await;
    }
    let mut events = Vec::new();
    for number in 0..8 {
        for one in &streams {
            events.push(event(
                one,
                &format!("{number} {}", one.channel),
                &number.to_string(),
            ));
        }
    }
    let answers = node.engine.publish(events.clone().into()).await;
    for (event, answer) in events.iter().zip(answers) {
        let position = answer.unwrap();
        let text = std::str::from_utf8(&event.envelope).unwrap();
        assert_eq!(node.received.event(&event.stream, text).await, position);
    }
    for one in &streams {
        let texts: Vec<String> = node
            .received
            .events(one, 8)
            .await
            .into_iter()
            .map(|of| of.1)
            .collect();
        assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_and_later_ones_are_published() {
    let server = Server::with("jetstream {}\nmax_payload: 64KB");
    for options in ["", "?history=off&prefix=core"] {
        let node = Node::live(server.config_of(options)).await;
        let orders = stream("orders");
        let large = "x".repeat(70_000);
        let answers = node.publish(&orders, &["1", &large, "2"]).await;
        assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
        let Err(AttemptError::Refused(reason)) = &answers[1] else {
            panic!("{answers:?}");
        };
        assert!(reason.contains("max_payload"), "{reason}");
    }
}

#[tokio::test]
async fn no_event_overtakes_one_of_its_stream_that_was_not_published() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let (orders, other) = (stream("orders"), stream("other"));
    node.publish(&orders, &["0"]).await;
    // The server accepts no message that is larger than this: it refuses them one by one.
    let client = server.client().await;
    let mut store = store(&client).await;
    let mut settings = store.info().await.unwrap().config.clone();
    settings.sealed = true;
    async_nats::jetstream::new(client.clone())
        .update_stream(&settings)
        .await
        .unwrap();
    let mut events: Vec<Outgoing> = batch(&orders, &["1", "2"]).to_vec();
    events.extend_from_slice(&batch(&other, &["3"]));
    let answers = node.engine.publish(events.into()).await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    let Err(AttemptError::NotSent(reason)) = &answers[1] else {
        panic!("{answers:?}");
    };
    assert!(reason.contains("before it"), "{reason}");
}

#[tokio::test]
async fn programs_that_publish_to_one_stream_at_once_keep_their_orders() {
    const BATCHES: usize = 20;
    const EVENTS: usize = 64;
    let server = Server::start();
    let orders = stream("orders");
    let publish = async |name: &str| {
        let node = Node::live(server.config()).await;
        for batch in 0..BATCHES {
            let of_batch = batch * EVENTS..(batch + 1) * EVENTS;
            let texts: Vec<String> = of_batch.map(|at| format!("{name} {at}")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for answer in node.publish(&orders, &texts).await {
                answer.unwrap();
            }
        }
    };
    let reader = Node::live(server.config()).await;
    reader.want(&orders).await;
    tokio::join!(publish("a"), publish("b"), publish("c"));
    let events = reader.received.events(&orders, 3 * BATCHES * EVENTS).await;
    for name in ["a", "b", "c"] {
        let of_one = events
            .iter()
            .filter_map(|(_, text)| text.strip_prefix(name));
        let expected = (0..BATCHES * EVENTS).map(|at| format!(" {at}"));
        assert!(of_one.eq(expected), "the events of {name}: {events:?}");
    }
}

#[tokio::test]
async fn events_that_are_sent_again_after_lost_links_keep_their_order() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let start = node.head(&orders).await;
    let all = (0..300).map(|at| event(&orders, &at.to_string(), &at.to_string()));
    let all: Vec<Outgoing> = all.collect();
    let mut rest = &all[..];
    let mut attempts = 0;
    while !rest.is_empty() {
        let batch: Arc<[Outgoing]> = rest[..rest.len().min(64)].into();
        let publishing = node.engine.publish(batch);
        if attempts % 3 == 0 && attempts < 30 {
            // The batch is on its way, and some of it is stored.
            let publishing = tokio::spawn(publishing);
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3000))).await;
            server.restart();
            let answers = publishing.await.unwrap();
            rest = &rest[answers.iter().take_while(|answer| answer.is_ok()).count()..];
        } else {
            let answers = publishing.await;
            rest = &rest[answers.iter().take_while(|answer| answer.is_ok()).count()..];
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        attempts += 1;
    }
    let mut read = Vec::new();
    let mut after = start;
    while read.len() < all.len() {
        let page = node.read(&orders, after, 256).await.unwrap();
        assert!(!page.events.is_empty(), "only {} are kept", read.len());
        after = page.events[page.events.len() - 1].0;
        read.extend(page.events.into_iter().map(|(_, envelope)| envelope));
    }
    assert!(
        read.iter().eq(all.iter().map(|event| &event.envelope)),
        "{read:?}"
    );
}

#[tokio::test]
async fn nothing_is_sent_without_a_link_and_the_reason_is_told() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    server.kill();
    node.received
        .wait("the links are lost", |_| {
            (!node.engine.health().is_live()).then_some(())
        })
        .await;
    loop {
        let answer = node.publish(&stream("orders"), &["x"]).await.remove(0);
        if let Err(AttemptError::NotSent(reason)) = answer {
            assert!(
                reason.contains("127.0.0.1") || reason.contains("lost"),
                "{reason}"
            );
            break;
        }
    }
}

#[tokio::test]
async fn a_closed_engine_publishes_nothing() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    node.engine.close(Duration::from_secs(1)).await;
    let answer = node.publish(&stream("orders"), &["x"]).await.remove(0);
    assert!(matches!(answer, Err(AttemptError::NotSent(_))));
}
