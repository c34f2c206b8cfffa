//! Publishing, and events that are published again.

use bus::Position;
use bus::engine::{AttemptError, Engine};

use super::{node, numbers, publish, server};
use crate::servers::{Server, stream};
use crate::support::event;

#[tokio::test]
async fn a_receipt_has_the_position_at_which_all_nodes_receive_the_event() {
    let server = server().await;
    let (a, b) = (node(&server).await, node(&server).await);
    let orders = stream("orders");
    for node in [&a, &b] {
        node.want(&orders).await;
    }
    let positions = a.publish(&orders, &["one", "two"]).await;
    let positions: Vec<Position> = positions.into_iter().map(Result::unwrap).collect();
    for node in [&a, &b] {
        let events = node.received.events(&orders, 2).await;
        let expected = [
            (positions[0], "one".to_owned()),
            (positions[1], "two".to_owned()),
        ];
        assert_eq!(events, expected);
    }
}

#[tokio::test]
async fn an_id_that_was_published_is_the_same_event_in_its_stream_alone() {
    let server = server().await;
    let node = node(&server).await;
    let (orders, others) = (stream("orders"), stream("others"));
    for stream in [&orders, &others] {
        node.want(stream).await;
    }
    let mut positions = Vec::new();
    for _ in 0..3 {
        let batch = [event(&orders, "x", "first"), event(&others, "x", "other")];
        positions.push(node.engine.publish(batch.into()).await);
    }
    server.sql("SELECT fraiseql_subs.publish('orders', '1', event_id => 'x')");
    assert!(
        positions.iter().all(|of| *of == positions[0]),
        "{positions:?}"
    );
    node.publish(&orders, &["last"]).await;
    node.publish(&others, &["last"]).await;
    for (stream, first) in [(&orders, "first"), (&others, "other")] {
        let texts: Vec<_> = node.received.events(stream, 2).await;
        assert_eq!(
            texts.iter().map(|(_, text)| &**text).collect::<Vec<_>>(),
            [first, "last"]
        );
    }
}

#[tokio::test]
async fn two_transactions_that_publish_one_id_at_once_are_one_event() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    for (number, end) in [(1, "COMMIT"), (3, "ROLLBACK")] {
        let with_id = |number: u32| {
            format!("SELECT fraiseql_subs.publish('orders', '{number}', event_id => 'id-{end}')")
        };
        let first = server.session().await;
        first.batch_execute("BEGIN").await.unwrap();
        first.batch_execute(&with_id(number)).await.unwrap();
        let second = server.session().await;
        let call = with_id(number + 1);
        let waiting = tokio::spawn(async move { second.batch_execute(&call).await });
        waits_for_a_lock(&server).await;
        first.batch_execute(end).await.unwrap();
        waiting.await.unwrap().unwrap();
    }
    server.sql(&publish("orders", 9));
    let events = node.received.events(&orders, 3).await;
    assert_eq!(numbers(&events), [1, 4, 9]);
}

async fn waits_for_a_lock(server: &Server) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    crate::servers::eventually("the second one waits", || server.sql(waiting) == "1").await;
}

#[tokio::test]
async fn a_role_that_publishes_can_do_nothing_else() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.try_sql("app", &publish("orders", 1)).unwrap();
    for refused in [
        "SELECT * FROM fraiseql_subs.outbox",
        "SELECT * FROM fraiseql_subs.outbox_0",
        "SELECT * FROM fraiseql_subs.outbox_state",
        "SELECT * FROM fraiseql_subs.messages",
        "SELECT * FROM fraiseql_subs.read_outbox(0, 0, 1, 1, 1)",
        "SELECT fraiseql_subs.maintain_outbox('0')",
        "SELECT fraiseql_subs.put('orders', NULL, NULL, '')",
        "SELECT fraiseql_subs.send_message('')",
    ] {
        let error = server.try_sql("app", refused).unwrap_err();
        assert!(error.contains("permission denied"), "{refused}: {error}");
    }
    let error = server
        .try_sql("subs", "TABLE fraiseql_subs.outbox")
        .unwrap_err();
    assert!(error.contains("permission denied"), "{error}");
    assert_eq!(numbers(&node.received.events(&orders, 1).await), [1]);
}

#[tokio::test]
async fn what_cannot_be_an_event_is_refused_by_sql() {
    let server = server().await;
    for (call, problem) in [
        ("publish(NULL, '1')", "the channel is missing"),
        ("publish('', '1')", "the channel is missing"),
        ("publish('a', NULL)", "data is NULL"),
        ("publish(repeat('a', 255), '1')", "channel has 255 bytes"),
        (
            "publish('a', to_jsonb(repeat('a', 1048576)))",
            "the event has",
        ),
    ] {
        let error = server.try_sql("app", &format!("SELECT fraiseql_subs.{call}"));
        let error = error.unwrap_err();
        assert!(error.contains(problem), "{call}: {error}");
    }
}

#[tokio::test]
async fn a_transaction_that_publishes_is_flushed_when_it_is_seen() {
    let server = server().await;
    let session = server.session().await;
    let publish = publish("orders", 1);
    let begin = format!("SET synchronous_commit = off; BEGIN; {publish}");
    session.batch_execute(&begin).await.unwrap();
    let setting = "SHOW synchronous_commit";
    let during: String = session.query_one(setting, &[]).await.unwrap().get(0);
    session.batch_execute("COMMIT").await.unwrap();
    let after: String = session.query_one(setting, &[]).await.unwrap().get(0);
    assert_eq!((&*during, &*after), ("local", "off"));
}

#[tokio::test]
async fn a_closed_engine_publishes_nothing() {
    let server = server().await;
    let node = node(&server).await;
    node.engine.close(std::time::Duration::ZERO).await;
    let answers = node.publish(&stream("orders"), &["late"]).await;
    assert!(
        matches!(&answers[..], [Err(AttemptError::NotSent(_))]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_publisher_cannot_choose_a_position() {
    let server = server().await;
    let node = node(&server).await;
    let orders = stream("orders");
    let begun = node.want(&orders).await;
    let call = format!("SET fraiseql_subs.n = -1; {}", publish("orders", 1));
    server.try_sql("app", &call).unwrap();
    server.sql(&publish("orders", 2));
    let events = node.received.events(&orders, 2).await;
    assert_eq!(events[0].0.offset.minor, 0);
    assert!(events.iter().all(|(at, _)| at.epoch == begun.epoch));
    assert_eq!(server.sql("SELECT min(n) FROM fraiseql_subs.outbox"), "0");
}
