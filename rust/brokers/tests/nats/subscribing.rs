//! Wanted streams: events after `ready` are delivered, also when the link is lost.

use bus::engine::{Engine, Scope};
use bus::{Position, StreamKey};

use crate::servers::{Happened, Node, Server, batch, stream};

#[tokio::test]
async fn events_reach_every_node_that_wants_their_stream_at_the_same_position() {
    let server = Server::start();
    let (one, other) = (
        Node::live(server.config()).await,
        Node::live(server.config()).await,
    );
    let streams = [
        stream("orders.eu"),
        stream("odd .. *>"),
        StreamKey::of_tenant("orders.eu", "a.b"),
        StreamKey::of_tenant("orders.eu", ""),
    ];
    for stream in &streams {
        one.want(stream).await;
        other.want(stream).await;
        let published = one.publish(stream, &["1", "2", "3"]).await;
        let published: Vec<Position> = published.into_iter().map(Result::unwrap).collect();
        assert!(
            published
                .windows(2)
                .all(|two| two[0].offset < two[1].offset)
        );
        for node in [&one, &other] {
            let events = node.received.events(stream, 3).await;
            let expected: Vec<_> = published.iter().copied().zip(["1", "2", "3"]).collect();
            let events: Vec<_> = events.iter().map(|(at, text)| (*at, &**text)).collect();
            assert_eq!(events, expected);
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_not_wanted_any_more_is_not_delivered() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let (orders, other) = (stream("orders"), stream("other"));
    node.want(&orders).await;
    node.engine.unwant(&orders);
    // Wants are handled in order, so the first one is withdrawn when the second one is ready.
    node.want(&other).await;
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
async fn a_stream_that_is_wanted_and_withdrawn_in_turn_receives_its_events() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    for round in 0..200_u32 {
        node.received.clear();
        node.engine.want(&orders);
        for _ in 0..fastrand::u32(0..4) {
            if fastrand::bool() {
                tokio::time::sleep(std::time::Duration::from_micros(fastrand::u64(0..3000))).await;
            }
            node.engine.unwant(&orders);
            node.engine.want(&orders);
        }
        node.received.ready(&orders).await;
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
}

#[tokio::test]
async fn thousands_of_streams_are_ready() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let streams: Vec<_> = (0..3000)
        .map(|number| stream(&format!("s{number}")))
        .collect();
    for one in &streams {
        node.engine.want(one);
    }
    let ready = |all: &[Happened]| {
        let ready = all.iter().filter(|one| matches!(one, Happened::Ready(..)));
        (ready.count() == 3000).then_some(())
    };
    node.received.wait("all are ready", ready).await;
    node.publish(&streams[2999], &["x"]).await;
    node.received.event(&streams[2999], "x").await;
}

#[tokio::test]
async fn each_lost_link_reports_doubt_then_ready_and_no_event_is_lost() {
    let mut server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    for round in 0..3 {
        node.received.clear();
        server.restart();
        let text = format!("during {round}");
        node.publish_for_certain(&orders, &text).await;
        let head = node
            .received
            .wait("doubt, then ready", |all| {
                let doubt = all
                    .iter()
                    .position(|one| *one == Happened::Doubt(Scope::All))?;
                all[doubt..].iter().find_map(|one| match one {
                    Happened::Ready(_, head) => Some(*head),
                    _ => None,
                })
            })
            .await;
        let last = node.publish_for_certain(&orders, "after").await;
        assert_eq!(head.epoch, last.epoch);
        node.received.event(&orders, "after").await;
        let page = node
            .read(&orders, Position::new(last.epoch, 0), 100)
            .await
            .unwrap();
        assert_eq!(page.events.len(), 2 * (round + 1));
    }
}

#[tokio::test]
async fn messages_of_other_programs_on_a_subject_are_dropped() {
    let server = Server::start();
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let client = server.client().await;
    client.publish("fs1.e.-.orders", "x".into()).await.unwrap();
    client.flush().await.unwrap();
    node.publish(&orders, &["right"]).await;
    let events = node.received.events(&orders, 1).await;
    assert_eq!(events[0].1, "right");
}

#[tokio::test]
async fn a_bus_of_several_partitions_delivers_all_streams() {
    let server = Server::start();
    let node = Node::live(server.config_of("?partitions=4&prefix=other")).await;
    let streams: Vec<_> = (0..20)
        .map(|number| stream(&format!("s{number}")))
        .collect();
    let mut partitions: Vec<u32> = streams
        .iter()
        .map(|one| node.engine.partition(one))
        .collect();
    partitions.sort_unstable();
    partitions.dedup();
    assert_eq!(partitions, [0, 1, 2, 3]);
    for one in &streams {
        node.want(one).await;
        node.engine
            .publish(batch(one, &["x"]))
            .await
            .remove(0)
            .unwrap();
        node.received.event(one, "x").await;
    }
}

#[tokio::test]
async fn a_node_whose_streams_change_all_the_time_is_live() {
    let server = Server::start();
    let node = Node::start(server.config());
    let changes = async {
        loop {
            for number in 0..10 {
                let stream = stream(&number.to_string());
                // It is wanted at the end of each turn.
                node.engine.unwant(&stream);
                node.engine.want(&stream);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = node.is_live() => {}
        () = changes => {}
    }
}
