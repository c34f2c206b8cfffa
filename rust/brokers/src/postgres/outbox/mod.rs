//! The other engine that uses PostgreSQL: events are rows of a table, the outbox. It needs no logical
//! decoding, and keeps events for all nodes.
//!
//! An event is inserted by the transaction that publishes it. Nodes read events in the order of
//! `(transaction, number in it)`, once no transaction before is open. So an event of a transaction that
//! commits late is not passed over, and each position means the same on all nodes. An empty `NOTIFY`
//! says when to read; a node that hears none reads once a second.
//!
//! # Layout
//!
//! - `../sql/outbox.sql`: the tables and functions;
//! - `supervisor`: keeps the links;
//! - `subscriber`, `page`: the work of the link that reads new events;
//! - `publisher`: publishing;
//! - `history`: reading events again, newest positions;
//! - `control`: messages between nodes;
//! - `upkeep`: frees what need not be kept, and watches the queue of `NOTIFY`;
//! - `shared`: the state that all of them use.

mod control;
mod history;
mod page;
mod publisher;
mod shared;
mod subscriber;
mod supervisor;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{
    Arrivals, AttemptError, Capabilities, Control, Engine, EngineHealth, HistoryKind, Numbering,
    Outgoing, Page, Pending, ReadError, Transactions,
};
use bus::{Position, StreamKey};

use super::config::{Config, ConfigError};
use crate::running::Tasks;
pub(super) use publisher::CHECK as PUBLISH;
use shared::OutboxShared;

/// An engine whose events are rows of a table of PostgreSQL. Its tasks end when it is closed or dropped.
pub struct Outbox {
    capabilities: Capabilities,
    shared: Arc<OutboxShared>,
    tasks: Tasks,
}

impl Outbox {
    /// Creates an engine that is not connected.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is wrong.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let config = Config {
            outbox: true,
            ..config
        };
        config.check()?;
        let shared = Arc::new(OutboxShared::new(config));
        Ok(Self {
            capabilities: Capabilities {
                numbering: Numbering::Sparse,
                history: shared.config.history.as_ref().map(|_| HistoryKind::Shared),
                idempotency: Some(shared.kept_for()),
                max_event_bytes: shared.config.max_event_bytes,
                transactions: Some(Transactions::InOffset),
                is_read_only: false,
            },
            shared,
            tasks: Tasks::default(),
        })
    }
}

impl Engine for Outbox {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn start(&self, arrivals: Arc<dyn Arrivals>) {
        if self.shared.arrivals.set(arrivals).is_err() {
            return;
        }
        self.shared.config.warn_of_plain_text();
        self.tasks
            .add(tokio::spawn(supervisor::run(self.shared.clone())));
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

    fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Pending<Result<Page, ReadError>> {
        let (shared, stream) = (self.shared.clone(), stream.clone());
        Box::pin(async move { history::read(&shared, &stream, after, limit).await })
    }

    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>> {
        let shared = self.shared.clone();
        Box::pin(async move { history::heads(&shared, &streams).await })
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
