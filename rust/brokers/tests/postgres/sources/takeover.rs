//! Which node reads, and that nothing is lost or doubled when another one takes over.

use std::time::Duration;

use super::board::Mode;
use super::{Board, SourceNode, publish};
use crate::servers::{Server, eventually};

#[tokio::test]
async fn one_node_reads_and_another_one_takes_over() {
    let server = Server::start().await;
    let board = Board::default();
    let mut nodes: Vec<_> = (0..4)
        .map(|_| SourceNode::start(server.config(), &board))
        .collect();
    for count in 1..=3 {
        let readers = || nodes.iter().filter(|node| node.status().is_reader).count();
        eventually("one reads, and all know it", || {
            readers() == 1 && nodes.iter().all(|node| node.status().is_live)
        })
        .await;
        publish(&server, (count - 1) * 10..count * 10);
        board.has(count * 10).await;
        assert_eq!(readers(), 1);
        let slots = server.sql("SELECT count(*) FROM pg_replication_slots");
        assert_eq!(slots, "1", "all nodes have one slot");
        let reader = nodes.iter().position(|node| node.status().is_reader);
        nodes.remove(reader.unwrap()).kill().await;
    }
}

#[tokio::test]
async fn what_is_committed_while_no_node_runs_is_published_later() {
    let server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    publish(&server, 0..10);
    board.has(10).await;
    node.kill().await;
    publish(&server, 10..20);
    let _node = SourceNode::start(server.config(), &board);
    board.has(20).await;
    assert_eq!(board.losses(), 1, "only of the new slot");
}

#[tokio::test]
async fn a_reader_that_ends_before_it_confirms_leaves_no_event_twice() {
    let server = Server::start().await;
    let board = Board::default();
    let node = SourceNode::reading(server.config(), &board).await;
    board.set(Mode::Silent);
    publish(&server, 0..100);
    eventually("some are accepted", || !board.numbers().is_empty()).await;
    node.kill().await;
    board.set(Mode::Accept);
    let _node = SourceNode::start(server.config(), &board);
    board.has(100).await;
    assert!(board.duplicates() > 0, "they were published again");
}

#[tokio::test]
async fn a_reader_that_stood_still_does_not_publish() {
    let server = Server::start().await;
    let board = Board::default();
    let mut config = server.config();
    // Each renewal is late.
    config.times.lease = Duration::ZERO;
    let still = SourceNode::start(config, &board);
    eventually("it has made the slot", || board.losses() == 1).await;
    publish(&server, 0..10);
    eventually("it has given up", || !still.status().is_reader).await;
    still.kill().await;
    let _node = SourceNode::start(server.config(), &board);
    board.has(10).await;
}

#[tokio::test]
async fn two_clusters_have_two_slots() {
    let server = Server::start().await;
    let (one, other) = (Board::default(), Board::default());
    let first = SourceNode::with_slot(server.config(), &one, "one");
    let second = SourceNode::with_slot(server.config(), &other, "other");
    first.reads().await;
    second.reads().await;
    publish(&server, 0..5);
    one.has(5).await;
    other.has(5).await;
}

#[tokio::test]
async fn who_holds_the_lock_and_reads_nothing_is_no_reader() {
    let server = Server::start().await;
    let board = Board::default();
    let reader = SourceNode::reading(server.config(), &board).await;
    let other = SourceNode::start(server.config(), &board);
    eventually("the other one knows it", || other.status().is_live).await;
    let key = server.sql(
        "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory'",
    );
    let stranger = server.session().await;
    let take = format!("SELECT pg_advisory_lock({key})");
    let taking = async { stranger.batch_execute(&take).await.unwrap() };
    let ending = async {
        // It waits for the lock, which nodes do not, and so has it next.
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        eventually("it waits", || server.sql(waits) == "1").await;
        reader.kill().await;
    };
    tokio::join!(taking, ending);
    eventually("nobody reads", || !other.status().is_live).await;
    stranger
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    other.reads().await;
}
