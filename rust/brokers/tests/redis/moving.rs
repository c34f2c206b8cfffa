//! Partitions of a cluster that move to another master: slots that move, and replicas that take over.

use std::time::{Duration, Instant};

use bus::StreamKey;
use bus::engine::{AttemptError, Engine, Health};

use super::cluster::{streams, want_all};
use crate::servers::{Cluster, Happened, Node, PATIENCE, eventually, stream};

#[tokio::test]
async fn a_slot_that_moves_with_its_keys_keeps_its_epoch_and_loses_no_event() {
    let cluster = Cluster::start().await;
    let (one, other) = (
        Node::live(cluster.config()).await,
        Node::live(cluster.config()).await,
    );
    let orders = stream("orders");
    one.want(&orders).await;
    other.want(&orders).await;
    let before = one.publish(&orders, &["before"]).await.remove(0).unwrap();
    other.received.event(&orders, "before").await;
    let (slot, from) = cluster.place(&orders);
    let to = (from + 1) % 3;
    cluster.begin_move(&slot, from, to);
    // Either the key of the partition or that of the stream has moved: each server has only some of the
    // keys.
    cluster.move_keys(&slot, from, to, 1);
    let answer = one.publish(&orders, &["x"]).await.remove(0);
    assert!(
        matches!(&answer, Err(AttemptError::Busy(why)) if why.contains("being moved")),
        "{answer:?}"
    );
    cluster.move_keys(&slot, from, to, 10_000);
    for node in [&one, &other] {
        node.received.clear();
    }
    cluster.end_move(&slot, from, to);
    let after = one.publish_for_certain(&orders, "after").await;
    assert_eq!(after.epoch, before.epoch, "nothing is missing");
    assert_eq!(after.offset, before.offset.next());
    for node in [&one, &other] {
        node.received.ready(&orders).await;
        node.is_live().await;
    }
    let last = one.publish_for_certain(&orders, "last").await;
    for node in [&one, &other] {
        assert_eq!(node.received.event(&orders, "last").await, last);
    }
    let page = other.engine.read(&orders, before, 10).await.unwrap();
    assert_eq!((page.events.len(), page.head), (2, last));

    // And back.
    for node in [&one, &other] {
        node.received.clear();
    }
    cluster.move_slot(&slot, to, from);
    let again = other.publish_for_certain(&orders, "again").await;
    assert_eq!(again.epoch, before.epoch);
    for node in [&one, &other] {
        node.received.ready(&orders).await;
        node.publish_for_certain(&orders, "end").await;
        node.received.event(&orders, "end").await;
    }
}

#[tokio::test]
async fn a_slot_that_moves_without_its_keys_starts_another_epoch() {
    let cluster = Cluster::start().await;
    let node = Node::live(cluster.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let before = node.publish(&orders, &["before"]).await.remove(0).unwrap();
    let (slot, from) = cluster.place(&orders);
    let to = (from + 1) % 3;
    node.received.clear();
    // Only the new owner learns of the move. The old one hears of it from the cluster, and drops its
    // keys.
    let id = cluster.servers[to].command(&["CLUSTER", "MYID"]);
    let target = &cluster.servers[to];
    target.command(&[
        "CLUSTER",
        "SETSLOT",
        &slot,
        "IMPORTING",
        &cluster.servers[from].command(&["CLUSTER", "MYID"]),
    ]);
    assert_eq!(
        target.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]),
        "OK"
    );
    target.command(&["CLUSTER", "BUMPEPOCH"]);
    eventually("the slot has moved", || {
        let count = cluster.servers[from].command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]);
        let owner = cluster.servers[from].command(&["CLUSTER", "NODES"]);
        count == "0" && owner.lines().any(|line| line.starts_with(&id))
    })
    .await;
    node.received.ready(&orders).await;
    let after = node.publish_for_certain(&orders, "after").await;
    assert_ne!(after.epoch, before.epoch, "what was kept is gone");
    assert_eq!(node.received.event(&orders, "after").await, after);
}

#[tokio::test]
async fn a_replica_that_takes_over_starts_another_epoch_and_other_streams_continue() {
    let mut cluster = Cluster::with(3, &["--cluster-require-full-coverage", "no"]).await;
    let replica = cluster.add_replica(0).await;
    let node = Node::live(cluster.config()).await;
    let streams = streams(60);
    want_all(&node, &streams).await;
    let mut before = Vec::new();
    for one in &streams {
        before.push(node.publish(one, &["before"]).await.remove(0).unwrap());
    }
    let places = cluster.places(&streams);
    cluster.servers[0].kill();
    // The streams of the other masters are not affected.
    for ((one, before), place) in streams.iter().zip(&before).zip(&places) {
        if *place != 0 {
            let during = node.publish(one, &["during"]).await.remove(0).unwrap();
            assert_eq!(during.epoch, before.epoch);
            node.received.event(one, "during").await;
        }
    }
    node.received
        .wait("it is away", |all| {
            all.iter()
                .any(|one| matches!(one, Happened::Health(Health::Away { .. })))
                .then_some(())
        })
        .await;
    node.is_live().await;
    let promoted = cluster.servers[replica].command(&["INFO", "replication"]);
    assert!(promoted.contains("role:master"), "{promoted}");
    for ((one, before), place) in streams.iter().zip(&before).zip(&places) {
        let after = node.publish_for_certain(one, "after").await;
        assert_eq!(
            after.epoch == before.epoch,
            *place != 0,
            "of server {place}"
        );
        node.received.event(one, "after").await;
    }
    // The old master comes back as a replica.
    cluster.servers[0].restart();
    cluster.is_complete(4).await;
    node.publish_for_certain(&streams[0], "end").await;
    node.received.event(&streams[0], "end").await;
    assert!(node.engine.health().is_live());
}

#[tokio::test]
async fn streams_that_are_subscribed_while_slots_move_receive_their_events() {
    let cluster = Cluster::start().await;
    let (node, other) = (
        Node::live(cluster.config()).await,
        Node::live(cluster.config()).await,
    );
    let streams = streams(400);
    for (number, some) in streams.chunks(50).enumerate() {
        // Commands are in progress while Redis ends subscriptions.
        for one in some {
            node.engine.want(one);
        }
        let moved = &streams[number];
        node.received.ready(moved).await;
        let (slot, from) = cluster.place(moved);
        cluster.move_slot(&slot, from, (from + 1) % 3);
        for one in some.iter().skip(25) {
            node.engine.unwant(one);
            node.engine.want(one);
        }
    }
    for one in &streams {
        node.received.ready(one).await;
    }
    // An event that is published before the stream is subscribed at its new place would be read from
    // history.
    let start = Instant::now();
    let mut deaf: Vec<&StreamKey> = streams.iter().collect();
    while !deaf.is_empty() {
        assert!(start.elapsed() < PATIENCE, "deaf: {deaf:?}");
        for one in &deaf {
            other.publish_for_certain(one, "after").await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let all = node.received.all();
        let heard = |one: &StreamKey| {
            all.iter()
                .any(|happened| matches!(happened, Happened::Event(of, ..) if of == one))
        };
        deaf.retain(|one| !heard(one));
    }
    node.is_live().await;
}
