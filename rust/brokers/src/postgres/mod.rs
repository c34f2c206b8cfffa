//! An engine that uses PostgreSQL: events are messages in its log.
//!
//! An event is a transactional message: `fraiseql_subs.publish` in SQL, or this engine, writes it, and it
//! is part of the transaction that writes it. Each node reads the log by logical replication, in the
//! order of the commits. Changes of tables are events as well. The log keeps nothing for a node that is
//! away: each node keeps the newest events, also of streams that nobody wants there.
//!
//! # Layout
//!
//! - `config`: settings;
//! - `install`: the SQL that prepares a database;
//! - `jsonb`: what the database can store;
//! - `fault`: classifies errors;
//! - `endpoints`: the addresses of the servers;
//! - `socket`, `wire`, `received`, `cursor`: connections in replication mode;
//! - `sql`: connections for statements;
//! - `pgoutput`: decodes the log;
//! - `supervisor`: keeps the links;
//! - `slot`, `subscriber`, `log`, `wants`, `heads`: the work of the link that reads the log;
//! - `skipped`, `dropped`, `any_stream`: what reaches no subscriber;
//! - `recent`: the newest events of all streams;
//! - `commits`: which transactions others see;
//! - `publisher`, `echoes`: publishing, and where the events are;
//! - `tables`, `table_watch`: changes of tables as events, and what is wrong with the tables;
//! - `control`, `revocations`: messages between nodes, and what they have revoked;
//! - `links`: keeps connections for statements;
//! - `outbox`: the other form, an engine whose events are rows of a table;
//! - `source`: one node reads the log for a cluster over another engine;
//! - `health`: the state of the links;
//! - `shared`: the state that all of them use.

mod any_stream;
mod commits;
mod config;
mod control;
mod cursor;
mod dropped;
mod echoes;
mod endpoints;
mod fault;
pub mod fuzzing;
mod heads;
mod health;
mod install;
mod jsonb;
mod links;
mod log;
mod outbox;
mod pgoutput;
mod publisher;
mod received;
mod recent;
mod revocations;
mod shared;
mod skipped;
mod slot;
mod socket;
mod source;
mod sql;
mod subscriber;
mod supervisor;
mod table_watch;
mod tables;
mod wants;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::engine::{
    Arrivals, AttemptError, Capabilities, Control, Engine, EngineHealth, HistoryKind, Numbering,
    Outgoing, Page, Pending, ReadError, Transactions,
};
use bus::{Position, StreamKey};

pub use config::{Config, ConfigError, Times};
pub use install::{Installation, execute, execute_blocking, uninstall_sql};
pub use jsonb::{JsonbError, MAX_PUBLISHED_BYTES, jsonb_bytes};
pub use outbox::Outbox;
pub use source::{DEFAULT_SLOT, LogSource};
pub use tables::{Changes, Table, TableName};

use crate::running::Tasks;
use shared::Shared;

/// An engine that uses PostgreSQL. Its tasks end when it is closed or dropped.
pub struct Postgres {
    capabilities: Capabilities,
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl Postgres {
    /// Creates an engine that is not connected.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is wrong.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            capabilities: Capabilities {
                numbering: Numbering::Sparse,
                history: config.history.as_ref().map(|_| HistoryKind::PerNode),
                idempotency: None,
                max_event_bytes: config.max_event_bytes,
                transactions: Some(Transactions::Named),
                is_read_only: false,
            },
            shared: Arc::new(Shared::new(config)),
            tasks: Tasks::default(),
        })
    }
}

impl Engine for Postgres {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn start(&self, arrivals: Arc<dyn Arrivals>) {
        if self.shared.arrivals.set(arrivals).is_err() {
            return;
        }
        self.shared.config.warn_of_plain_text();
        let links = tokio::spawn(supervisor::run(self.shared.clone()));
        self.tasks.add(links);
    }

    /// One: events that are published at the same time share a commit.
    fn partition(&self, _: &StreamKey) -> u32 {
        0
    }

    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        let (shared, events) = (self.shared.clone(), batch.len());
        let work = async move { publisher::publish(&shared, &batch).await };
        self.shared.in_flight.publish(events, work)
    }

    fn want(&self, stream: &StreamKey) {
        self.shared.wants.want(stream);
    }

    fn unwant(&self, stream: &StreamKey) {
        self.shared.wants.unwant(stream);
    }

    /// Reads what this process keeps.
    fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Pending<Result<Page, ReadError>> {
        let answer = self
            .shared
            .recent
            .read(stream, after, limit, Instant::now());
        Box::pin(async move { answer })
    }

    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>> {
        let shared = self.shared.clone();
        Box::pin(async move { heads::heads(&shared, &streams).await })
    }

    fn settled(&self, at: Position) -> Option<Pending<()>> {
        let shared = self.shared.clone();
        let progress = *shared.progress.borrow();
        let is_of_log = progress.is_some_and(|progress| progress.epoch == at.epoch);
        let place = shared.commits.pending(at, is_of_log)?;
        Some(Box::pin(async move {
            let look = &shared.look_at_commits;
            shared.commits.settled(place, look).await;
        }))
    }

    fn control(&self) -> &dyn Control {
        self
    }

    fn health(&self) -> EngineHealth {
        self.shared.health.now()
    }

    fn close(&self, drain: Duration) -> Pending<()> {
        let shared = self.shared.clone();
        let tasks = self.tasks.take();
        Box::pin(async move {
            shared.in_flight.close(drain).await;
            shared.health.closed(shared.arrivals());
            tasks.end().await;
        })
    }
}
