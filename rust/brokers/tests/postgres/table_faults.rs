//! Tables that become wrong while a node runs.

use bus::engine::{Health, Role, Scope};
use serde_json::json;

use crate::servers::{Happened, Node, eventually, stream};
use crate::tables::{config, server, table};

/// What the health says of the tables.
fn problem(node: &Node) -> Option<String> {
    use bus::engine::Engine;
    match node.engine.health().of(Role::Reader) {
        Health::Away { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_wrong_table_hinders_no_other_channel() {
    let server = server("CREATE TABLE good (id int PRIMARY KEY)", &["good"]).await;
    let tables = vec![table("missing", "missing"), table("good", "good")];
    let node = Node::start(config(&server, tables));
    let good = stream("good");
    node.want(&good).await;
    server.sql("INSERT INTO good VALUES (1); SELECT fraiseql_subs.publish('good', '{\"id\": 2}')");
    assert_eq!(
        node.data(&good, 2).await,
        [json!({"id": 1}), json!({"id": 2})]
    );
    let reason = node.configuration_error().await;
    assert!(
        reason.contains("there is no table public.missing"),
        "{reason}"
    );
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
        server.sql(breaks);
        let is_named = || problem(&node).is_some_and(|problem| problem.contains(named));
        eventually("the health names it", is_named).await;
        server.sql(mends);
        eventually("the health is good", || problem(&node).is_none()).await;
        let doubts: Vec<Happened> = node
            .received
            .all()
            .into_iter()
            .filter(|one| matches!(one, Happened::Doubt(_)))
            .collect();
        assert_eq!(
            doubts,
            [Happened::Doubt(Scope::Stream(mine.clone()))],
            "{breaks}"
        );
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
