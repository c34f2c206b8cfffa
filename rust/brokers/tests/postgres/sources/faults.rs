//! PostgreSQL ends, or its links do, while a source reads.

use bus::source::Lost;

use super::board::Posted;
use super::{Board, SourceNode, publish};
use crate::servers::{Server, eventually};

/// P1.
#[tokio::test]
async fn postgres_crashes_and_comes_back() {
    let mut server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    publish(&server, 0..200);
    board.has(200).await;
    server.kill();
    server.launch();
    publish(&server, 200..300);
    board.has(300).await;
    node.reads().await;
    assert_eq!(board.losses(), 1);
    assert_eq!(
        board.duplicates(),
        0,
        "the same node knows what it has published"
    );
}

/// P2.
#[tokio::test]
async fn the_link_is_ended_again_and_again() {
    let server = Server::start().await;
    let board = Board::default();
    let _node = SourceNode::reading(server.config(), &board).await;
    for round in 0..20 {
        publish(&server, round * 50..(round + 1) * 50);
        server.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication");
    }
    board.has(1000).await;
    assert_eq!(board.losses(), 1);
}

/// P2, within transactions.
#[tokio::test]
async fn the_link_is_ended_within_large_transactions() {
    let server = Server::start().await;
    let board = Board::default();
    let _node = SourceNode::reading(server.config(), &board).await;
    let large = "SELECT count(fraiseql_subs.publish('orders', jsonb_build_object('n', n))) \
                 FROM generate_series(0, 29999) AS n";
    server.sql(large);
    let mut ended = 0;
    while ended < 5 {
        let before = board.numbers().len();
        eventually("it goes on", || {
            board.numbers().len() > before || before == 30_000
        })
        .await;
        server.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication");
        ended += 1;
    }
    board.has(30_000).await;
}

/// P5: a transaction that is open does not delay others, and is published whole.
#[tokio::test]
async fn an_open_transaction_delays_no_others() {
    let server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    let open = server.session().await;
    let begin = "BEGIN; SELECT fraiseql_subs.publish('orders', '{\"n\": 3}')";
    open.batch_execute(begin).await.unwrap();
    publish(&server, 0..3);
    board.has(3).await;
    // A reader that takes over still has what was written before.
    node.kill().await;
    let _node = SourceNode::reading(server.config(), &board).await;
    open.batch_execute("COMMIT").await.unwrap();
    board.has(4).await;
}

/// P8.
#[tokio::test]
async fn a_replica_that_takes_over_has_no_slot_and_all_are_told() {
    let mut server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    publish(&server, 0..5);
    board.has(5).await;
    let replica = server.replica();
    server.kill();
    replica.sql("SELECT pg_promote()");
    eventually("it is promoted", || {
        replica.sql("SELECT pg_is_in_recovery()") == "f"
    })
    .await;
    publish(&replica, 100..103);
    node.kill().await;
    let node = SourceNode::reading(replica.config(), &board).await;
    publish(&replica, 5..8);
    board.has(8).await;
    let posted = board.posted();
    let told = posted
        .iter()
        .rposition(|posted| *posted == Posted::Loss(Lost::Events));
    assert_eq!(told, Some(posted.len() - 4));
    assert!(node.status().is_reader);
}

/// P2, also of connections for statements.
#[tokio::test]
async fn a_lost_connection_for_statements_ends_the_reader_in_order() {
    let server = Server::start().await;
    let board = Board::default();
    let _node = SourceNode::reading(server.config(), &board).await;
    for round in 0..5 {
        publish(&server, round * 10..(round + 1) * 10);
        server.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        );
    }
    board.has(50).await;
    assert_eq!(board.losses(), 1);
}
