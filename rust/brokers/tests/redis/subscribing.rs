//! Wanted streams: events after `ready` are delivered, also when the link is lost.

use std::time::Duration;

use bus::engine::{Engine, Scope};

use crate::servers::{Happened, Node, Server, eventually, quick, stream};

#[tokio::test]
async fn a_stream_that_is_not_wanted_any_more_is_not_delivered() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let (orders, other) = (stream("orders"), stream("other"));
    node.want(&orders).await;
    node.want(&other).await;
    node.engine.unwant(&orders);
    eventually("it is not subscribed", || {
        !server.command(&["PUBSUB", "CHANNELS"]).contains("orders")
    })
    .await;
    node.publish(&orders, &["unwanted"]).await;
    node.publish(&other, &["wanted"]).await;
    node.received.event(&other, "wanted").await;
    let all = node.received.all();
    assert!(
        !all.iter()
            .any(|one| matches!(one, Happened::Event(of, ..) if *of == orders))
    );
}

#[tokio::test]
async fn one_unwant_ends_a_stream_that_was_wanted_twice() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.engine.want(&orders);
    node.want(&orders).await;
    node.engine.unwant(&orders);
    eventually("it is not subscribed", || {
        !server.command(&["PUBSUB", "CHANNELS"]).contains("orders")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_wanted_and_withdrawn_in_turn_receives_its_events() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    for round in 0..1000_u32 {
        node.received.clear();
        node.engine.want(&orders);
        for _ in 0..fastrand::u32(0..4) {
            if fastrand::bool() {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3000))).await;
            }
            node.engine.unwant(&orders);
            if fastrand::bool() {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3000))).await;
            }
            node.engine.want(&orders);
        }
        node.received.ready(&orders).await;
        // An answer may belong to a want that was withdrawn. The last answer shows what was
        // published before it.
        let text = round.to_string();
        let published = node.publish(&orders, &[&text]).await.remove(0).unwrap();
        node.received
            .wait(
                "the event arrives, or the stream is ready after it",
                |all| {
                    all.iter().find_map(|one| match one {
                        Happened::Event(_, at, _) if *at == published => Some(()),
                        Happened::Ready(_, head) if head.offset >= published.offset => Some(()),
                        _ => None,
                    })
                },
            )
            .await;
        node.engine.unwant(&orders);
    }
    eventually("it is not subscribed", || {
        !server.command(&["PUBSUB", "CHANNELS"]).contains("orders")
    })
    .await;
    node.received.clear();
    node.want(&orders).await;
    node.publish(&orders, &["last"]).await;
    node.received.event(&orders, "last").await;
}

#[tokio::test]
async fn thousands_of_streams_are_ready() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let streams: Vec<_> = (0..5000)
        .map(|number| stream(&format!("s{number}")))
        .collect();
    for one in &streams {
        node.engine.want(one);
    }
    let count = |all: &[Happened]| {
        all.iter()
            .filter(|one| matches!(one, Happened::Ready(..)))
            .count()
    };
    let ready = |all: &[Happened]| (count(all) == 5000).then_some(());
    node.received.wait("all are ready", ready).await;
    let commands = server.command(&["INFO", "commandstats"]);
    let subscribe = commands
        .lines()
        .find(|line| line.starts_with("cmdstat_subscribe:"))
        .unwrap();
    let calls: u32 = subscribe.split(['=', ',']).nth(1).unwrap().parse().unwrap();
    assert!(calls < 1000, "one command for many names: {subscribe}");
    // After a lost link, `ready` comes again for all streams.
    node.received.clear();
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    node.received.wait("all are ready again", ready).await;
    node.publish(&streams[4999], &["x"]).await;
    node.received.event(&streams[4999], "x").await;
}

#[tokio::test]
async fn each_lost_link_reports_doubt_then_ready_and_every_stream_receives_events() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let streams: Vec<_> = (0..20)
        .map(|number| stream(&format!("s{number}")))
        .collect();
    for one in &streams {
        node.want(one).await;
    }
    for round in 0..15 {
        node.received.clear();
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        // Events from before that may be missing: the engine reports a doubt before the stream is
        // ready.
        let text = format!("during {round}");
        node.publish_for_certain(&streams[round % 20], &text).await;
        node.received
            .wait("doubt, then ready, for each stream", |all| {
                let doubt = all
                    .iter()
                    .position(|one| *one == Happened::Doubt(Scope::All))?;
                let is_ready = |of: &bus::StreamKey| {
                    all[doubt..]
                        .iter()
                        .any(|one| matches!(one, Happened::Ready(it, _) if it == of))
                };
                streams.iter().all(is_ready).then_some(())
            })
            .await;
        for one in &streams {
            let text = format!("after {round}");
            node.publish_for_certain(one, &text).await;
            node.received.event(one, &text).await;
        }
    }
}

#[tokio::test]
async fn an_event_between_two_links_is_before_the_head_or_delivered() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let publisher = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    for round in 0..30 {
        node.received.clear();
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let mut published = Vec::new();
        for number in 0..20 {
            let text = format!("{round}.{number}");
            published.push(publisher.publish_for_certain(&orders, &text).await);
        }
        node.received.ready(&orders).await;
        let last = publisher.publish_for_certain(&orders, "last").await;
        node.received
            .wait("the last event arrives", |all| {
                all.iter()
                    .find(|one| matches!(one, Happened::Event(_, at, _) if *at == last))
                    .map(|_| ())
            })
            .await;
        let all = node.received.all();
        let head = all
            .iter()
            .find_map(|one| match one {
                Happened::Ready(_, head) => Some(*head),
                _ => None,
            })
            .unwrap();
        for position in published.into_iter().filter(|at| at.offset > head.offset) {
            assert!(
                all.iter()
                    .any(|one| matches!(one, Happened::Event(_, at, _) if *at == position)),
                "{position} after {head} has not arrived"
            );
        }
    }
}

#[tokio::test]
async fn messages_of_other_programs_on_a_channel_are_dropped() {
    let server = Server::start();
    let node = Node::live(server.config_of("?partitions=1", quick())).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let channels = server.command(&["PUBSUB", "CHANNELS", "*:c:orders"]);
    for text in ["", "x", "1-1 x", "0000000000000001-"] {
        server.command(&["PUBLISH", &channels, text]);
    }
    node.publish(&orders, &["right"]).await;
    let events = node.received.events(&orders, 1).await;
    assert_eq!(events[0].1, "right");
}
