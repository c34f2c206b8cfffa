//! The fault of one stream does not affect the others.

use std::sync::Arc;

use brokers::Credentials;
use bus::StreamKey;
use bus::engine::{AttemptError, Engine, ReadError};

use crate::servers::{Node, Server, event, eventually, quick, stream};

/// The key of a stream in Redis, by its kind: `s` the counter, `h` the history.
fn key(server: &Server, kind: &str, channel: &str) -> String {
    let pattern = format!("fs1:*:{kind}:{channel}");
    let found = server.command(&["KEYS", &pattern]);
    assert_eq!(found.lines().count(), 1, "{pattern}: {found}");
    found
}

/// Overwrites a key of a stream as another program could.
async fn spoil(server: &Server, node: &Node, kind: &str, one: &StreamKey) -> String {
    node.publish_for_certain(one, "first").await;
    let key = key(server, kind, &one.channel);
    server.command(&["DEL", &key]);
    assert_eq!(server.command(&["SET", &key, "of another program"]), "OK");
    key
}

/// Starts a node with one partition, which has all streams.
async fn one_partition() -> (Server, Node) {
    let server = Server::start();
    let node = Node::live(server.config_of("?partitions=1", quick())).await;
    (server, node)
}

#[tokio::test]
async fn a_counter_of_another_type_does_not_affect_other_streams() {
    let (server, node) = one_partition().await;
    let (wrong, orders) = (stream("wrong"), stream("orders"));
    let key = spoil(&server, &node, "s", &wrong).await;
    node.engine.want(&wrong);
    node.want(&orders).await;

    let batch = [
        event(&wrong, "1", "x"),
        event(&orders, "2", "x"),
        event(&wrong, "3", "x"),
        event(&orders, "4", "x"),
    ];
    let answers = node.engine.publish(Arc::new(batch)).await;
    for refused in [0, 2] {
        assert!(
            matches!(&answers[refused], Err(AttemptError::Refused(why)) if why.contains("WRONGTYPE")),
            "{answers:?}"
        );
    }
    assert_eq!(answers[3].as_ref().unwrap().offset.major, 2);
    node.received.events(&orders, 2).await;

    let heads = node
        .engine
        .heads(Arc::new([wrong.clone(), orders.clone()]))
        .await;
    assert!(matches!(&heads[0], Err(ReadError::Unavailable(why)) if why.contains("WRONGTYPE")));
    assert_eq!(heads[1].as_ref().unwrap().offset.major, 2);

    // A stream that is wanted later is ready as well, and the links stay.
    node.want(&stream("later")).await;
    assert!(node.engine.health().is_live());
    server.command(&["DEL", &key]);
    node.received.ready(&wrong).await;
    node.publish_for_certain(&wrong, "again").await;
    node.received.event(&wrong, "again").await;
}

#[tokio::test]
async fn a_history_key_of_another_type_counts_as_empty() {
    let (server, node) = one_partition().await;
    let wrong = stream("wrong");
    let head = node.want(&wrong).await;
    spoil(&server, &node, "h", &wrong).await;
    let answer = node.engine.read(&wrong, head, 10).await;
    assert!(
        matches!(answer, Err(ReadError::TooLate { head: newest }) if newest.offset.major == 1),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_id_of_another_type_refuses_its_event_only() {
    let (server, node) = one_partition().await;
    let orders = stream("orders");
    node.want(&orders).await;
    let id = |id: &str| event(&orders, id, id);
    node.engine.publish(Arc::new([id("a")])).await;
    let key = key(&server, "i", "orders:a");
    server.command(&["DEL", &key]);
    server.command(&["LPUSH", &key, "of another program"]);
    let answers = node
        .engine
        .publish(Arc::new([id("before"), id("a"), id("after")]))
        .await;
    assert!(matches!(&answers[1], Err(AttemptError::Refused(_))));
    assert_eq!(answers[0].as_ref().unwrap().offset.major, 2);
    assert_eq!(answers[2].as_ref().unwrap().offset.major, 3);
    node.received.event(&orders, "after").await;
}

/// Starts a node whose user has these rules and the password `secret`.
async fn node_of_user(server: &Server, rules: &str) -> Node {
    let mut arguments = vec!["ACL", "SETUSER", "bus", "reset"];
    arguments.extend(rules.split_whitespace());
    assert_eq!(server.command(&arguments), "OK");
    let mut config = server.config_of("?partitions=1", quick());
    config.credentials = Some(Credentials::fixed(
        Some("bus".to_owned()),
        "secret".to_owned(),
    ));
    Node::live(config).await
}

#[tokio::test]
async fn a_channel_that_this_user_may_not_use_does_not_affect_other_streams() {
    let server = Server::start();
    let rules = "on >secret ~* +@all resetchannels &fs1:*:p:* &fs1:*:c:orders*";
    let node = node_of_user(&server, rules).await;
    let salaries = stream("salaries");
    node.engine.want(&salaries);
    for number in 0..20 {
        node.want(&stream(&format!("orders.{number}"))).await;
    }
    let orders = stream("orders.7");
    let batch = [event(&salaries, "1", "x"), event(&orders, "2", "x")];
    let answers = node.engine.publish(Arc::new(batch)).await;
    assert!(
        matches!(&answers[0], Err(AttemptError::Refused(why)) if why.contains("NOPERM")),
        "{answers:?}"
    );
    assert_eq!(answers[1].as_ref().unwrap().offset.major, 1);
    node.received.event(&orders, "x").await;
    assert!(node.engine.health().is_live());
    server.command(&["ACL", "SETUSER", "bus", "&fs1:*:c:salaries*"]);
    node.received.ready(&salaries).await;
}

#[tokio::test]
async fn a_key_that_this_user_may_not_use_does_not_affect_other_streams() {
    let server = Server::start();
    let rules = "on >secret ~fs1:layout ~fs1:*:m ~fs1:*:orders* &* +@all";
    let node = node_of_user(&server, rules).await;
    let salaries = stream("salaries");
    node.engine.want(&salaries);
    let orders = stream("orders");
    node.want(&orders).await;
    let batch = [
        event(&orders, "1", "x"),
        event(&salaries, "2", "x"),
        event(&orders, "3", "x"),
    ];
    let answers = node.engine.publish(Arc::new(batch)).await;
    assert!(
        matches!(&answers[1], Err(AttemptError::Refused(why)) if why.contains("NOPERM")),
        "{answers:?}"
    );
    assert_eq!(answers[0].as_ref().unwrap().offset.major, 1);
    assert_eq!(answers[2].as_ref().unwrap().offset.major, 2);
    assert!(node.engine.health().is_live());
    server.command(&["ACL", "SETUSER", "bus", "~fs1:*:salaries*"]);
    node.received.ready(&salaries).await;
}

#[tokio::test]
async fn streams_on_which_nothing_is_published_leave_no_keys_for_long() {
    let (server, node) = one_partition().await;
    let strangers: Vec<_> = (0..50).map(|n| stream(&format!("stranger.{n}"))).collect();
    for one in &strangers {
        node.want(one).await;
        node.engine.unwant(one);
    }
    let orders = stream("orders");
    let before = node.want(&orders).await;
    let lives = |key: &str| server.command(&["TTL", key]).parse::<i64>().unwrap();
    let keys = server.command(&["KEYS", "fs1:*:s:*"]);
    assert_eq!(keys.lines().count(), 51);
    for key in keys.lines() {
        assert!((1..=600).contains(&lives(key)), "{key}: {}", lives(key));
    }
    // The first event keeps its counter, in the epoch that was reported.
    let first = node.publish_for_certain(&orders, "x").await;
    assert_eq!((first.epoch, first.offset.major), (before.epoch, 1));
    let counter = key(&server, "s", "orders");
    assert!(lives(&counter) > 600);
    node.head(&orders).await;
    assert!(lives(&counter) > 600);
    // The counter stays as long as a node asks for its stream.
    let stranger = key(&server, "s", "stranger.7");
    server.command(&["EXPIRE", &stranger, "10"]);
    node.head(&strangers[7]).await;
    eventually("it is kept again", || lives(&stranger) > 10).await;
}
