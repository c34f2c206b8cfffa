//! Tables that are wrong, or become so while a node runs.

use brokers::postgres::Table;
use bus::engine::{Engine, Scope};
use serde_json::json;

use crate::servers::{Happened, Logged, Node, eventually, stream};
use crate::tables::{ALL, config, server, table};

const RIGHT_AGAIN: &str = "are right again";
const NOBODY: &str = "its changes reach nobody";

#[tokio::test]
async fn tables_that_cannot_be_events_are_named_with_what_does_not_arrive() {
    let server = server(
        "CREATE TABLE things (id int PRIMARY KEY, a text); CREATE TABLE apart (id int PRIMARY KEY); \
         CREATE TABLE ours (id int PRIMARY KEY, _old text); CREATE VIEW seen AS SELECT * FROM things; \
         CREATE TABLE keyless (id int); CREATE TABLE late (id int PRIMARY KEY DEFERRABLE); \
         CREATE TABLE parts (id int) PARTITION BY RANGE (id); \
         CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10)",
        &["things", "ours"],
    )
    .await;
    server.sql("ALTER PUBLICATION fraiseql_subs ADD TABLE keyless, late, parts");
    let of_tenant = Table::new("things", "a", ALL, Some("owner".to_owned())).unwrap();
    for (table, expected, until) in [
        (
            table("nothing", "a"),
            "there is no table public.nothing",
            NOBODY,
        ),
        (
            table("apart", "a"),
            "postgres install --table public.apart",
            NOBODY,
        ),
        (table("seen", "a"), "public.seen is not a table", NOBODY),
        (table("ours", "a"), "rename it", NOBODY),
        (
            table("things", "a.{b}"),
            "no column \"b\": correct its channel",
            NOBODY,
        ),
        (
            of_tenant,
            "no column \"owner\": correct its tenant=",
            NOBODY,
        ),
        (
            table("things", "a.{a}"),
            "REPLICA IDENTITY FULL",
            "inserts and updates arrive",
        ),
        (
            table("keyless", "a"),
            "public.keyless has no replica identity",
            "only inserts succeed",
        ),
        (
            table("late", "a"),
            "public.late has no replica identity",
            "only inserts succeed",
        ),
        (
            table("parts", "a"),
            "public.part has no replica identity",
            "only inserts succeed",
        ),
    ] {
        let log = Logged::begin();
        let node = Node::live(config(&server, vec![table.clone()])).await;
        eventually("it is named", || log.has(expected)).await;
        let lines = log.lines();
        assert!(
            matches!(&lines[..], [line] if line.starts_with("ERROR") && line.contains(until)),
            "{table}: {lines:?}"
        );
        assert!(node.engine.health().is_live());
    }
    // PostgreSQL does what the text says.
    let refused = server.try_sql(
        "postgres",
        "INSERT INTO parts VALUES (1); UPDATE parts SET id = 2",
    );
    assert!(refused.unwrap_err().contains("replica identity"));
}

#[tokio::test]
async fn tables_with_an_identity_of_their_own_are_right() {
    let server = server(
        "CREATE TABLE indexed (id int NOT NULL UNIQUE); \
         ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_id_key; \
         CREATE TABLE whole (id int); ALTER TABLE whole REPLICA IDENTITY FULL; \
         CREATE TABLE parts (id int) PARTITION BY RANGE (id); \
         CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (10); \
         ALTER TABLE part REPLICA IDENTITY FULL",
        &["indexed", "whole"],
    )
    .await;
    server.sql("ALTER PUBLICATION fraiseql_subs ADD TABLE parts");
    let log = Logged::begin();
    let tables = ["nothing", "indexed", "whole", "parts"].map(|name| table(name, name));
    let _node = Node::live(config(&server, tables.to_vec())).await;
    eventually("the wrong one is named", || log.has("public.nothing")).await;
    assert!(!log.has("replica identity"), "{:?}", log.lines());
}

#[tokio::test]
async fn a_wrong_table_hinders_no_other_channel() {
    let server = server("CREATE TABLE good (id int PRIMARY KEY)", &["good"]).await;
    let tables = vec![table("missing", "missing"), table("good", "good")];
    let log = Logged::begin();
    let node = Node::live(config(&server, tables)).await;
    let good = stream("good");
    node.want(&good).await;
    server.sql("INSERT INTO good VALUES (1); SELECT fraiseql_subs.publish('good', '{\"id\": 2}')");
    assert_eq!(
        node.data(&good, 2).await,
        [json!({"id": 1}), json!({"id": 2})]
    );
    eventually("it is named", || {
        log.has("there is no table public.missing")
    })
    .await;
    // No client is better off at another node.
    assert!(node.engine.health().is_live());
}

#[tokio::test]
async fn a_table_that_becomes_wrong_is_named_and_its_streams_are_told_when_it_is_mended() {
    let server = server(
        "CREATE TABLE mine (id int PRIMARY KEY, box text); ALTER TABLE mine REPLICA IDENTITY FULL; \
         CREATE TABLE other (id int PRIMARY KEY)",
        &["mine", "other"],
    )
    .await;
    let tables = vec![table("mine", "mine.{box}"), table("other", "other")];
    let node = Node::live(config(&server, tables)).await;
    let (mine, other) = (stream("mine.a"), stream("other"));
    node.want(&mine).await;
    node.want(&other).await;
    for (breaks, named, mends) in [
        (
            "ALTER TABLE mine RENAME TO theirs",
            "no table public.mine",
            "ALTER TABLE theirs RENAME TO mine",
        ),
        (
            "ALTER PUBLICATION fraiseql_subs DROP TABLE mine",
            "not published",
            "ALTER PUBLICATION fraiseql_subs ADD TABLE mine",
        ),
        (
            "ALTER TABLE mine RENAME box TO chest",
            "no column \"box\"",
            "ALTER TABLE mine RENAME chest TO box",
        ),
    ] {
        node.received.clear();
        let log = Logged::begin();
        server.sql(breaks);
        eventually("the log names it", || log.has(named)).await;
        server.sql(mends);
        eventually("the log says that it is mended", || log.has(RIGHT_AGAIN)).await;
        let doubt = Happened::Doubt(Scope::Stream(mine.clone()));
        eventually("its clients are told", || {
            node.received.all().contains(&doubt)
        })
        .await;
        let is_doubt = |one: &Happened| matches!(one, Happened::Doubt(_));
        let doubts = node.received.all().into_iter().filter(is_doubt).count();
        assert_eq!(doubts, 1, "{breaks}");
    }
    server.sql("INSERT INTO mine VALUES (1, 'a'); INSERT INTO other VALUES (1)");
    node.received.events(&mine, 1).await;
    node.received.events(&other, 1).await;
}

#[tokio::test]
async fn a_table_that_was_not_published_between_two_looks_is_noticed() {
    let server = server("CREATE TABLE items (id int PRIMARY KEY)", &["items"]).await;
    let node = Node::live(config(&server, vec![table("items", "items")])).await;
    let items = stream("items");
    node.want(&items).await;
    let is_told = || {
        let doubt = Happened::Doubt(Scope::Stream(items.clone()));
        node.received.all().contains(&doubt)
    };
    // Again and again, as the first look may be later than one of them.
    eventually("it is told", || {
        server.sql_by_statement(
            "ALTER PUBLICATION fraiseql_subs DROP TABLE items; ALTER PUBLICATION fraiseql_subs ADD TABLE items",
        );
        is_told()
    })
    .await;
}
