//! Sources: one node reads the log, and publishes it by an engine that all nodes share.

mod board;
mod faults;
mod lasting;
mod publishing;
mod table_faults;
mod takeover;

use std::sync::Arc;

use brokers::postgres::{Config, LogSource};
use bus::source::{Source, SourceStatus, SourceTarget};
use tokio::task::JoinHandle;

pub(crate) use self::board::Board;
use crate::servers::{Server, eventually};

/// A node with a source. Its links end when it is dropped.
pub(crate) struct SourceNode {
    source: Arc<LogSource>,
    task: JoinHandle<()>,
}

impl SourceNode {
    pub(crate) fn start(config: Config, board: &Board) -> Self {
        Self::with_slot(config, board, brokers::postgres::DEFAULT_SLOT)
    }

    pub(crate) fn with_slot(config: Config, board: &Board, slot: &str) -> Self {
        let source = Arc::new(LogSource::new(config, slot).unwrap());
        let target = SourceTarget {
            engine: Arc::new(board.clone()),
            by_tenant: false,
            losses: Arc::new(board.clone()),
        };
        let task = tokio::spawn(source.run(target));
        Self { source, task }
    }

    /// Starts one that reads.
    pub(crate) async fn reading(config: Config, board: &Board) -> Self {
        let node = Self::start(config, board);
        node.reads().await;
        node
    }

    pub(crate) async fn reads(&self) {
        eventually("the node reads", || self.status().is_reader).await;
    }

    pub(crate) fn status(&self) -> SourceStatus {
        self.source.status()
    }

    /// Ends it as a crash does.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for SourceNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes numbers by SQL, each in its own transaction.
pub(crate) fn publish(server: &Server, numbers: std::ops::Range<usize>) {
    let calls = numbers
        .map(|n| format!("SELECT fraiseql_subs.publish('orders', '{{\"n\": {n}}}');"))
        .collect::<String>();
    server.sql_by_statement(&calls);
}
