//! Tables that are wrong while a source reads.

use bus::source::Lost;
use serde_json::json;

use super::board::Posted;
use super::{Board, SourceNode, publish};
use crate::servers::eventually;
use crate::tables::{config, server, table};

#[tokio::test]
async fn a_wrong_table_hinders_no_other_and_is_told_when_it_is_mended() {
    let server = server("CREATE TABLE items (id int PRIMARY KEY)", &["items"]).await;
    server.sql("ALTER TABLE items RENAME TO things");
    let board = Board::default();
    let _node = SourceNode::reading(config(&server, vec![table("items", "items")]), &board).await;
    publish(&server, 0..3);
    board.has(3).await;
    let has_loss = || board.posted().contains(&Posted::Loss(Lost::Events));
    assert!(!has_loss());
    server.sql("INSERT INTO things VALUES (1)");
    server.sql("ALTER TABLE things RENAME TO items");
    eventually("it is told", has_loss).await;
    server.sql("INSERT INTO items VALUES (2)");
    eventually("it is published", || {
        board.data("items") == [json!({"id": 2})]
    })
    .await;
}

#[tokio::test]
async fn a_table_that_was_wrong_is_told_by_the_next_reader() {
    let server = server("CREATE TABLE items (id int PRIMARY KEY)", &["items"]).await;
    let board = Board::default();
    let start = || SourceNode::reading(config(&server, vec![table("items", "items")]), &board);
    let node = start().await;
    let count = "SELECT count(*) FROM fraiseql_subs.sources WHERE tables LIKE '%items%'";
    eventually("its state is noted", || server.sql(count) == "1").await;
    let losses = || {
        let is_loss = |posted: &&Posted| **posted == Posted::Loss(Lost::Events);
        board.posted().iter().filter(is_loss).count()
    };
    node.kill().await;
    server.sql("ALTER PUBLICATION fraiseql_subs DROP TABLE items");
    server.sql("INSERT INTO items VALUES (1)");
    server.sql("ALTER PUBLICATION fraiseql_subs ADD TABLE items");
    let node = start().await;
    eventually("it is told", || losses() == 1).await;
    // The same if a reader has seen it.
    server.sql("ALTER PUBLICATION fraiseql_subs DROP TABLE items");
    let noted = "SELECT count(*) FROM fraiseql_subs.sources WHERE tables LIKE '%null%'";
    eventually("that is noted", || server.sql(noted) == "1").await;
    node.kill().await;
    server.sql("ALTER PUBLICATION fraiseql_subs ADD TABLE items");
    let node = start().await;
    eventually("it is told", || losses() == 2).await;
    eventually("its state is noted", || server.sql(noted) == "0").await;
    // A reader that finds it as it was has nothing to tell.
    node.kill().await;
    let _node = start().await;
    server.sql("INSERT INTO items VALUES (2)");
    eventually("it is published", || {
        board.data("items") == [json!({"id": 2})]
    })
    .await;
    assert_eq!(losses(), 2);
}
