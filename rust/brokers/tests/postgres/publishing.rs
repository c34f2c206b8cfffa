//! Publishing by SQL and by nodes, and where events are.

use bus::engine::{AttemptError, Engine, Numbering, Scope};
use bus::{Envelope, Position, StreamKey};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::servers::{Happened, Node, Server, event, events, eventually, literal, stream};

#[tokio::test]
async fn an_event_that_is_published_by_sql_arrives() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    let head = node.want(&orders).await;
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"id\": 1, \"name\": \"é\"}')");
    let events = node.received.events(&orders, 1).await;
    assert!(events[0].0.offset > head.offset && events[0].0.epoch == head.epoch);
    assert_eq!(node.data(&orders, 1).await, [json!({"id": 1, "name": "é"})]);
}

#[tokio::test]
async fn sql_writes_each_field_of_an_envelope() {
    let server = Server::start().await;
    let rows = server.session().await;
    // The function itself is asked: what it writes is read back from the log.
    server.sql("SELECT pg_create_logical_replication_slot('peek', 'pgoutput')");
    server.sql(
        "SELECT fraiseql_subs.publish(data => '{\"a\": [1, 2.50]}', channel => 'orders.7', tenant_id => \
         'acmé', event_type => 'paid', event_id => 'pay-7')",
    );
    let row = rows
        .query_one(
            "SELECT data FROM pg_logical_slot_peek_binary_changes('peek', NULL, NULL, 'proto_version', '1', \
             'publication_names', 'fraiseql_subs', 'messages', 'true') WHERE get_byte(data, 0) = 77",
            &[],
        )
        .await
        .unwrap();
    let message: Vec<u8> = row.get(0);
    // Tag, flags, place, prefix and length stand before it.
    let envelope = Bytes::from(message[1 + 1 + 8 + 4 + 4..].to_vec());
    let envelope = Envelope::read(&envelope, false).unwrap();
    assert_eq!(envelope.channel, Some("orders.7"));
    assert_eq!(
        (envelope.id, envelope.event_type),
        (Some("pay-7"), Some("paid"))
    );
    assert_eq!(envelope.tenant, Some("acmé"));
    assert!(envelope.published_at > 1_700_000_000_000);
    assert_eq!(envelope.json().unwrap(), json!({"a": [1, 2.5]}));
}

#[tokio::test]
async fn events_of_a_node_arrive_in_their_order_at_the_positions_it_is_told() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let other = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    other.want(&orders).await;
    let mut told = Vec::new();
    for first in [0, 50, 100] {
        let batch = events(&orders, (first..first + 50).map(|n| json!({"n": n})));
        told.extend(
            node.engine
                .publish(batch)
                .await
                .into_iter()
                .map(Result::unwrap),
        );
    }
    let seen = node.received.events(&orders, 150).await;
    assert_eq!(seen, other.received.events(&orders, 150).await);
    let positions: Vec<Position> = seen.iter().map(|(at, _)| *at).collect();
    assert_eq!(told, positions);
    assert!(positions.is_sorted_by_key(|at| at.offset));
    let expected: Vec<Value> = (0..150).map(|n| json!({"n": n})).collect();
    assert_eq!(node.data(&orders, 150).await, expected);
    assert_eq!(node.head(&orders).await, positions[149]);
}

#[tokio::test]
async fn a_program_that_only_publishes_takes_no_slot_and_is_told_no_position() {
    let server = Server::start().await;
    let program = Node::live(server.config()).await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let slots = "SELECT count(*) FROM pg_replication_slots";
    assert_eq!(server.sql(slots), "1");
    let answers = program
        .engine
        .publish(events(&orders, [json!({"a": 1})]))
        .await;
    assert_eq!(answers, [Ok(Position::UNKNOWN)]);
    assert_eq!(node.data(&orders, 1).await, [json!({"a": 1})]);
    assert_eq!(server.sql(slots), "1");
}

#[tokio::test]
async fn only_wanted_streams_arrive() {
    let server = Server::start().await;
    let mut config = server.config();
    config.by_tenant = true;
    let node = Node::live(config).await;
    let acme = StreamKey::of_tenant("orders", "acme");
    let other = StreamKey::of_tenant("orders", "other");
    node.want(&acme).await;
    server
        .sql("SELECT fraiseql_subs.publish('orders', '{\"of\": \"other\"}', tenant_id => 'other')");
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"of\": \"none\"}')");
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"of\": \"acme\"}', tenant_id => 'acme')");
    assert_eq!(node.data(&acme, 1).await, [json!({"of": "acme"})]);
    let first = node.want(&other).await;
    node.engine.unwant(&acme);
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"n\": 1}', tenant_id => 'acme')");
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"n\": 2}', tenant_id => 'other')");
    let events = node.received.events(&other, 1).await;
    assert!(events[0].0.offset > first.offset);
    node.received.clear();
    // What was published while a stream was not wanted is before its new head.
    let head = node.want(&acme).await;
    assert!(head.offset >= events[0].0.offset);
}

#[tokio::test]
async fn arguments_that_are_wrong_are_refused_with_what_to_do() {
    let server = Server::start().await;
    for (arguments, expected) in [
        ("'', '1'", "the channel is missing"),
        ("NULL, '1'", "the channel is missing"),
        ("'a', NULL", "data is NULL"),
        ("repeat('a', 255), '1'", "channel has 255 bytes"),
        (
            "'a', '1', tenant_id => repeat('é', 128)",
            "tenant_id has 256 bytes",
        ),
        (
            "'a', '1', event_type => repeat('a', 255)",
            "event_type has 255 bytes",
        ),
        (
            "'a', '1', event_id => repeat('a', 255)",
            "event_id has 255 bytes",
        ),
        (
            "'a', to_jsonb(repeat('a', 1048576))",
            "Pass 1048576 bytes at most",
        ),
    ] {
        let call = format!("SELECT fraiseql_subs.publish({arguments})");
        let error = server.try_sql("postgres", &call).unwrap_err();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    server.sql(&format!(
        "SELECT fraiseql_subs.publish({}, '1')",
        literal(&"é".repeat(127))
    ));
}

#[tokio::test]
async fn a_role_without_the_grant_may_not_publish() {
    let server = Server::start().await;
    server.sql("CREATE ROLE app LOGIN");
    let call = "SELECT fraiseql_subs.publish('a', '1')";
    assert!(
        server
            .try_sql("app", call)
            .unwrap_err()
            .contains("permission denied")
    );
    let installation = brokers::postgres::Installation {
        publishers: vec!["app".to_owned()],
        ..Default::default()
    };
    server.install(&installation).await.unwrap();
    server.try_sql("app", call).unwrap();
    let message = "SELECT fraiseql_subs.send_message('a')";
    assert!(
        server
            .try_sql("app", message)
            .unwrap_err()
            .contains("permission denied")
    );
}

#[tokio::test]
async fn messages_of_others_are_skipped() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    server.sql("SELECT pg_logical_emit_message(true, 'other', 'text')");
    server.sql("SELECT pg_logical_emit_message(true, 'other', repeat('x', 10000000))");
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"n\": 1}')");
    assert_eq!(node.data(&orders, 1).await, [json!({"n": 1})]);
    let is_doubt = |one: &Happened| matches!(one, Happened::Doubt(_));
    assert!(!node.received.all().iter().any(is_doubt));
}

#[tokio::test]
async fn an_event_that_cannot_be_read_may_have_been_of_any_stream() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let orders = stream("orders");
    node.want(&orders).await;
    let is_told = || {
        let all = node.received.all();
        all.contains(&Happened::Doubt(Scope::All))
    };
    // Of a later version, and no envelope at all.
    for message in [r"E'\x0200'", "'no envelope'", "''"] {
        node.received.clear();
        server.sql(&format!(
            "SELECT pg_logical_emit_message(true, 'fs1', {message})"
        ));
        eventually("it is told", is_told).await;
    }
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"n\": 1}')");
    assert_eq!(node.data(&orders, 1).await, [json!({"n": 1})]);
}

#[tokio::test]
async fn an_event_past_the_limit_of_a_node_is_a_doubt() {
    let server = Server::start().await;
    let mut config = server.config();
    config.max_event_bytes = 2000;
    let node = Node::live(config).await;
    let orders = stream("orders");
    node.want(&orders).await;
    node.received.clear();
    for size in [3000, 300_000] {
        server.sql(&format!(
            "SELECT fraiseql_subs.publish('orders', to_jsonb(repeat('a', {size})))"
        ));
        node.received
            .wait("a doubt", |all| {
                all.iter()
                    .any(|one| format!("{one:?}").starts_with("Doubt"))
                    .then_some(())
            })
            .await;
        node.received.clear();
    }
    server.sql("SELECT fraiseql_subs.publish('orders', '{\"n\": 1}')");
    assert_eq!(node.data(&orders, 1).await, [json!({"n": 1})]);
}

#[tokio::test]
async fn the_engine_says_what_it_can_do() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let capabilities = node.engine.capabilities();
    assert_eq!(capabilities.numbering, Numbering::Sparse);
    assert_eq!(
        (capabilities.history, capabilities.idempotency),
        (None, None)
    );
    node.engine.close(std::time::Duration::ZERO).await;
    let answers = node
        .engine
        .publish([event(&stream("a"), json!({}))].into())
        .await;
    assert!(matches!(&answers[..], [Err(AttemptError::NotSent(_))]));
    // Its slots and connections are gone.
    let rest = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fraiseql-subs'";
    crate::servers::eventually("its connections end", || server.sql(rest) == "0").await;
}
