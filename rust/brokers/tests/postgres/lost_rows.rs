//! Changes that reach nobody: who is told.

use std::time::Duration;

use brokers::postgres::{Installation, Table};
use bus::StreamKey;
use bus::engine::Scope;
use serde_json::json;

use crate::servers::{Happened, Node, Server, event, eventually, stream};
use crate::tables::{ALL, config, server, table};

/// The doubts that were told since the record was cleared.
fn doubts(node: &Node) -> Vec<Scope> {
    let all = node.received.all().into_iter();
    all.filter_map(|one| match one {
        Happened::Doubt(scope) => Some(scope),
        _ => None,
    })
    .collect()
}

/// Wants streams, and starts the record.
async fn wanted(node: &Node, streams: &[&StreamKey]) {
    for stream in streams {
        node.want(stream).await;
    }
    node.received.clear();
}

#[tokio::test]
async fn a_row_that_is_too_large_is_missed_by_the_streams_of_its_table_alone() {
    let server = server(
        "CREATE TABLE mine (id int PRIMARY KEY, body text); CREATE TABLE other (id int PRIMARY KEY, body text)",
        &["mine", "other"],
    )
    .await;
    let mut config = config(&server, vec![table("mine", "mine.{id}")]);
    config.max_event_bytes = 2000;
    let node = Node::live(config).await;
    let (mine, unrelated) = (stream("mine.1"), stream("unrelated"));
    wanted(&node, &[&mine, &unrelated]).await;
    let huge = "repeat('x', 100000)";
    server.sql(&format!("INSERT INTO other VALUES (1, {huge})"));
    server.sql(&format!(
        "SELECT pg_logical_emit_message(true, 'theirs', {huge})"
    ));
    server.sql("INSERT INTO mine VALUES (1, 'small')");
    node.received.events(&mine, 1).await;
    assert_eq!(doubts(&node), []);
    server.sql(&format!("INSERT INTO mine VALUES (2, {huge})"));
    server.sql("UPDATE mine SET body = 'smaller' WHERE id = 1");
    node.received.events(&mine, 2).await;
    assert_eq!(doubts(&node), [Scope::Stream(mine)]);
}

#[tokio::test]
async fn an_event_that_is_too_large_to_be_read_is_missed_by_its_stream_alone() {
    let server = Server::start().await;
    let mut config = server.config();
    config.max_event_bytes = 2000;
    let node = Node::live(config).await;
    let (a, b) = (stream("a"), stream("b"));
    wanted(&node, &[&a, &b]).await;
    server.sql("SELECT fraiseql_subs.publish('a', to_jsonb(repeat('x', 200000)))");
    server.sql("SELECT fraiseql_subs.publish('b', '{}')");
    node.received.events(&b, 1).await;
    assert_eq!(doubts(&node), [Scope::Stream(a)]);
}

#[tokio::test]
async fn an_event_whose_data_no_reader_takes_is_missed_by_its_stream() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let (a, b) = (stream("a"), stream("b"));
    wanted(&node, &[&a, &b]).await;
    server.sql("SELECT fraiseql_subs.publish('a', '1e400')");
    server.sql("SELECT fraiseql_subs.publish('b', '{}')");
    node.received.events(&b, 1).await;
    assert_eq!(doubts(&node), [Scope::Stream(a)]);
}

#[tokio::test]
async fn a_row_whose_channel_the_log_does_not_have_is_missed_by_the_streams_of_its_table() {
    let server = server(
        "CREATE TABLE mine (id int PRIMARY KEY, box text); ALTER TABLE mine REPLICA IDENTITY FULL; \
         INSERT INTO mine VALUES (1, 'a'), (2, 'a')",
        &["mine"],
    )
    .await;
    let node = Node::live(config(&server, vec![table("mine", "mine.{box}")])).await;
    let (mine, unrelated) = (stream("mine.a"), stream("unrelated"));
    wanted(&node, &[&mine, &unrelated]).await;
    server.sql("ALTER TABLE mine REPLICA IDENTITY DEFAULT; DELETE FROM mine WHERE id = 1");
    server.sql("INSERT INTO mine VALUES (3, 'a')");
    node.received.events(&mine, 1).await;
    assert_eq!(doubts(&node), [Scope::Stream(mine)]);
}

#[tokio::test]
async fn a_tenant_is_told_its_own_half_of_a_row_that_moves() {
    let server = server(
        "CREATE TABLE t (id int PRIMARY KEY, tn text, secret text); ALTER TABLE t REPLICA IDENTITY FULL",
        &["t"],
    )
    .await;
    let table = Table::new("t", "t", ALL, Some("tn".to_owned())).unwrap();
    let mut config = config(&server, vec![table]);
    config.by_tenant = true;
    let node = Node::live(config).await;
    let of = |tenant: &str| StreamKey::of_tenant("t", tenant);
    let (acme, rival) = (of("acme"), of("rival"));
    wanted(&node, &[&acme, &rival]).await;
    server.sql("INSERT INTO t VALUES (1, 'acme', 'mine')");
    server.sql("UPDATE t SET tn = 'rival', secret = 'theirs'");
    server.sql("UPDATE t SET tn = NULL");
    let (mine, theirs) = (
        json!({"id": 1, "tn": "acme", "secret": "mine"}),
        json!({"id": 1, "tn": "rival", "secret": "theirs"}),
    );
    assert_eq!(node.data(&acme, 2).await, [mine.clone(), mine]);
    assert_eq!(node.data(&rival, 2).await, [theirs.clone(), theirs]);
}

#[tokio::test]
async fn an_event_without_a_transaction_has_another_position_than_those_of_the_commit_after_it() {
    let server = Server::start().await;
    let node = Node::live(server.config()).await;
    let a = stream("a");
    wanted(&node, &[&a]).await;
    let envelope = event(&a, json!({"n": 1})).envelope;
    let hex: String = envelope.iter().map(|byte| format!("{byte:02x}")).collect();
    // The commit begins in the log where the message without a transaction ends.
    server.sql(&format!(
        "BEGIN; SELECT fraiseql_subs.publish('a', '{{\"n\": 2}}'); \
         SELECT pg_logical_emit_message(false, 'fs1', '\\x{hex}'::bytea); COMMIT"
    ));
    let events = node.received.events(&a, 2).await;
    assert!(events[0].0.offset < events[1].0.offset, "{events:?}");
}

#[tokio::test]
async fn a_row_with_a_new_type_waits_until_the_type_is_known() {
    let server = Server::bare(&[]);
    server.sql("CREATE ROLE subs LOGIN REPLICATION; CREATE TABLE t (id int PRIMARY KEY)");
    server
        .install(&Installation {
            tables: vec!["t".to_owned()],
            nodes: vec!["subs".to_owned()],
            ..Installation::default()
        })
        .await
        .unwrap();
    let mut config = server.config_of("subs");
    config.tables = vec![table("t", "t")];
    let node = Node::live(config).await;
    let t = stream("t");
    wanted(&node, &[&t]).await;
    // The links for statements end, and cannot be made again.
    server.sql("ALTER ROLE subs CONNECTION LIMIT 0");
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'subs' AND backend_type = \
         'client backend'",
    );
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'subs' AND backend_type = 'client backend'";
    eventually("the links have ended", || server.sql(gone) == "0").await;
    server.sql("CREATE TYPE later AS ENUM ('p', 'q'); ALTER TABLE t ADD c later[]");
    server.sql("INSERT INTO t VALUES (1, '{p,q}')");
    let sent = "SELECT bool_and(sent_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication";
    eventually("the row is sent", || server.sql(sent) == "t").await;
    // Time in which it could arrive with a wrong value.
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.sql("ALTER ROLE subs CONNECTION LIMIT -1");
    assert_eq!(node.data(&t, 1).await, [json!({"id": 1, "c": ["p", "q"]})]);
}
