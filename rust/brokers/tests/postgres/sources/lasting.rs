//! The slot that lasts: lost, dropped, in use, and what it needs.

use brokers::postgres::{Installation, uninstall_sql};
use bus::source::Lost;

use super::board::{Mode, Posted};
use super::{Board, SourceNode, publish};
use crate::servers::{Server, eventually};

// The node reads while psql waits: PostgreSQL waits at a checkpoint for the link that reads the lost slot.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_lost_is_told_and_made_again() {
    let server = Server::bare(&[
        "max_slot_wal_keep_size=1MB",
        "min_wal_size=32MB",
        "max_wal_size=32MB",
    ]);
    server.install(&Installation::default()).await.unwrap();
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    publish(&server, 0..3);
    board.has(3).await;
    board.set(Mode::Away);
    publish(&server, 100..103);
    let lost =
        "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = 'fraiseql_subs'";
    let mut is_lost = false;
    for _ in 0..20 {
        server.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 20000000)); CHECKPOINT");
        server.sql("SELECT pg_switch_wal()");
        server.sql("CHECKPOINT");
        is_lost = board.losses() > 1 || server.sql(lost) == "t";
        if is_lost {
            break;
        }
    }
    assert!(is_lost);
    eventually("it is told", || board.losses() == 2).await;
    board.set(Mode::Accept);
    node.reads().await;
    publish(&server, 3..6);
    board.has(6).await;
    assert_eq!(server.sql(lost), "f");
    let posted = board.posted();
    let told = posted
        .iter()
        .rposition(|posted| *posted == Posted::Loss(Lost::Events));
    assert_eq!(
        told,
        Some(posted.len() - 4),
        "after what came before, and before what follows"
    );
}

#[tokio::test]
async fn a_slot_that_was_dropped_is_told_and_made_again() {
    let server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    publish(&server, 0..3);
    board.has(3).await;
    node.kill().await;
    eventually("it is not in use", || {
        server
            .try_sql(
                "postgres",
                "SELECT pg_drop_replication_slot('fraiseql_subs')",
            )
            .is_ok()
    })
    .await;
    publish(&server, 100..103);
    let node = SourceNode::reading(server.config(), &board).await;
    publish(&server, 3..6);
    board.has(6).await;
    assert_eq!(board.losses(), 2);
    assert_eq!(node.status().losses, 1);
}

#[tokio::test]
async fn a_slot_of_another_program_is_left_alone() {
    let server = Server::start().await;
    server.sql("SELECT pg_create_logical_replication_slot('fraiseql_subs', 'test_decoding')");
    let board = Board::default();
    let node = SourceNode::start(server.config(), &board);
    let connected =
        "SELECT count(*) > 1 FROM pg_stat_activity WHERE backend_type = 'client backend'";
    eventually("it has connected", || server.sql(connected) == "t").await;
    publish(&server, 0..3);
    assert!(!node.status().is_reader);
    let kept = "SELECT plugin FROM pg_replication_slots";
    assert_eq!(server.sql(kept), "test_decoding");
    server.sql("SELECT pg_drop_replication_slot('fraiseql_subs')");
    node.reads().await;
    assert_eq!(server.sql(kept), "pgoutput");
}

#[tokio::test]
async fn a_slot_in_use_is_waited_for() {
    let server = Server::start().await;
    let board = Board::default();
    SourceNode::reading(server.config(), &board)
        .await
        .kill()
        .await;
    let other = server.receive_from_slot("fraiseql_subs").await;
    let node = SourceNode::start(server.config(), &board);
    publish(&server, 0..3);
    assert!(!node.status().is_reader);
    drop(other);
    board.has(3).await;
    assert_eq!(board.losses(), 1);
}

#[tokio::test]
async fn a_role_of_nodes_suffices() {
    let server = Server::bare(&[]);
    server.sql("CREATE ROLE subs LOGIN REPLICATION");
    let nodes = Installation {
        nodes: vec!["subs".to_owned()],
        ..Installation::default()
    };
    server.install(&nodes).await.unwrap();
    let board = Board::default();
    let _node = SourceNode::reading(server.config_of("subs"), &board).await;
    publish(&server, 0..3);
    board.has(3).await;
}

#[tokio::test]
async fn uninstalling_drops_the_slot() {
    let server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    let config = server.config();
    let refused = brokers::postgres::execute(&config, &uninstall_sql(&[])).await;
    let refused = refused.unwrap_err();
    assert!(refused.contains("is active"), "{refused}");
    node.kill().await;
    let count = "SELECT count(*) FROM pg_replication_slots";
    let end = std::time::Instant::now() + crate::servers::PATIENCE;
    while let Err(why) = brokers::postgres::execute(&config, &uninstall_sql(&[])).await {
        assert!(std::time::Instant::now() < end, "{why}");
    }
    assert_eq!(server.sql(count), "0");
}

#[tokio::test]
async fn uninstalling_that_is_refused_drops_no_slot() {
    let server = Server::start().await;
    server.sql("SELECT pg_create_logical_replication_slot('fraiseql_subs', 'pgoutput')");
    let board = Board::default();
    let node = SourceNode::with_slot(server.config(), &board, "staging");
    node.reads().await;
    let uninstall = uninstall_sql(&["staging".to_owned()]);
    let refused = brokers::postgres::execute(&server.config(), &uninstall).await;
    let refused = refused.unwrap_err();
    assert!(refused.contains("\"staging\" is active"), "{refused}");
    let slots = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots";
    assert_eq!(server.sql(slots), "fraiseql_subs,staging");
    assert_eq!(server.sql("SELECT fraiseql_subs.form()"), "log");
}
