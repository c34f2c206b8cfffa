//! An engine that uses NATS: JetStream, which keeps events, or NATS alone.
//!
//! With history each event is stored in a JetStream stream, which publishes it again on a subject of its
//! own. Nodes subscribe to these subjects, and need no consumers: each message has its sequence and that
//! of the event before it. Without history events are published on the same subjects directly.
//!
//! # Layout
//!
//! - `config`: settings;
//! - `names`: subjects, JetStream streams and partitions;
//! - `fault`: classifies errors;
//! - `link`, `login`, `supervisor`: connections;
//! - `store`: the JetStream stream of a partition;
//! - `publisher`, `reader`, `heads`, `subscriber`: the work on connections;
//! - `wants`, `delivery`, `looks`: the parts of a subscriber;
//! - `messages`: questions for single messages;
//! - `control`, `revocations`: messages between nodes, and revocations;
//! - `health`: the state of all links;
//! - `shared`: the state that all of them use.

mod config;
mod control;
mod delivery;
mod fault;
mod heads;
mod health;
mod link;
mod login;
mod looks;
mod messages;
mod names;
mod publisher;
mod reader;
mod revocations;
mod shared;
mod store;
mod subscriber;
mod supervisor;
mod wants;

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{
    Arrivals, AttemptError, Capabilities, Control, Engine, EngineHealth, HistoryKind, Numbering,
    Outgoing, Page, Pending, ReadError, Role,
};
use bus::{Position, StreamKey};

pub use config::{Address, Config, ConfigError, Login, Times};

use crate::running::Tasks;
use shared::Shared;

/// An engine that uses NATS. Its tasks end when it is closed or dropped.
///
/// Without history, a position counts the events that this engine has received: it means nothing to
/// another engine. The positions that [`Engine::publish`] returns then differ from each other and from
/// those of delivered events.
pub struct Nats {
    capabilities: Capabilities,
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl Nats {
    /// Creates an engine that is not connected.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let capabilities = Capabilities {
            numbering: match config.history {
                Some(_) => Numbering::Linked,
                None => Numbering::Sparse,
            },
            history: config.history.map(|_| HistoryKind::Shared),
            idempotency: config.history.map(store::idempotency),
            max_event_bytes: config.max_event_bytes,
            transactions: None,
            is_read_only: false,
        };
        let shared = Shared::new(config)?;
        Ok(Self {
            capabilities,
            shared: Arc::new(shared),
            tasks: Tasks::default(),
        })
    }
}

impl Engine for Nats {
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

    fn partition(&self, stream: &StreamKey) -> u32 {
        self.shared.names.partition(stream)
    }

    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        let (shared, events) = (self.shared.clone(), batch.len());
        let work = async move { publisher::publish(&shared, &batch).await };
        self.shared.in_flight.publish(events, work)
    }

    fn want(&self, stream: &StreamKey) {
        let shared = &self.shared;
        let subject = shared.names.delivered(stream).into();
        let partition = shared.names.partition(stream);
        // What was published while the stream was not wanted is unknown, so the position is a new one.
        let newest = (!shared.has_history()).then(|| Position::new(shared.epoch, shared.count()));
        shared.wants.want(subject, partition, stream, newest);
    }

    fn unwant(&self, stream: &StreamKey) {
        let subject = self.shared.names.delivered(stream).into();
        self.shared.wants.unwant(subject);
    }

    fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Pending<Result<Page, ReadError>> {
        let shared = self.shared.clone();
        let stream = stream.clone();
        Box::pin(async move { reader::read(&shared, &stream, after, limit).await })
    }

    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>> {
        let shared = self.shared.clone();
        Box::pin(async move { heads::heads(&shared, &streams).await })
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
            for role in Role::ALL {
                shared.set_link(role, None);
            }
        })
    }
}
