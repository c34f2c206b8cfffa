//! An engine that uses Redis: one server, the master that sentinels name, or a cluster.
//!
//! Publishing is one script call for a batch. The script numbers the events of each stream, keeps them
//! for resuming clients, and publishes them, all in one atomic step. Each node subscribes to the
//! channels of the streams that it wants. Without history the same script numbers the events, so that
//! nodes notice a gap, but keeps none.
//!
//! # Layout
//!
//! - `config`: settings;
//! - `names`: keys, channels and partitions;
//! - `script`: the scripts that run in Redis;
//! - `fault`, `said`: classifies errors, and makes their texts safe;
//! - `master`, `masters`, `sentinel`, `cluster`, `view`: which server has which partition;
//! - `socket`, `link`, `supervisor`: connections;
//! - `publisher`, `reader`, `subscriber`, `wants`, `pace`, `delivery`, `probe`: the work on
//!   connections;
//! - `control`: messages between nodes;
//! - `health`: the state of all links;
//! - `stopped`: streams that the server refuses, and when to try them again;
//! - `shared`: the state that all of them use.

mod cluster;
mod config;
mod control;
mod delivery;
mod fault;
mod health;
mod link;
mod master;
mod masters;
mod names;
mod pace;
mod probe;
mod publisher;
mod reader;
mod said;
mod script;
mod sentinel;
mod shared;
mod socket;
mod stopped;
mod subscriber;
mod supervisor;
mod view;
mod wants;

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{
    Arrivals, AttemptError, Capabilities, Control, Engine, EngineHealth, Health, HistoryKind,
    Numbering, Outgoing, Page, Pending, ReadError, Role,
};
use bus::{Position, StreamKey};

pub use config::{Address, Config, ConfigError, StreamHistory, Times, Topology};

use crate::running::Tasks;
use shared::Shared;

/// An engine that uses Redis. Its tasks end when it is closed or dropped.
pub struct Redis {
    capabilities: Capabilities,
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl Redis {
    /// Creates an engine that is not connected.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of its range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let capabilities = Capabilities {
            numbering: Numbering::Dense,
            history: config.history.map(|_| HistoryKind::Shared),
            idempotency: Some(config.idempotency),
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

impl Engine for Redis {
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
        let names = self.shared.names.stream(stream);
        let (channel, partition) = (names.channel().into(), names.partition);
        if self.shared.wants.want(channel, partition, stream) {
            self.shared.wants_changed(partition);
        }
    }

    fn unwant(&self, stream: &StreamKey) {
        let channel = self.shared.names.stream(stream).channel().into();
        if let Some(partition) = self.shared.wants.unwant(channel) {
            self.shared.wants_changed(partition);
        }
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
        Box::pin(async move { reader::heads(&shared, &streams).await })
    }

    fn control(&self) -> &dyn Control {
        self
    }

    fn health(&self) -> EngineHealth {
        self.shared.health.now()
    }

    fn publisher_health(&self, partition: u32) -> Health {
        let masters = self.shared.masters();
        match masters.of(partition) {
            Some(master) => self.shared.health.of(master, Role::Publisher),
            None => self.shared.health.now().of(Role::Publisher).clone(),
        }
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
