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
