//! An engine over Redis: one server, or the master that sentinels name.
//!
//! Publishing is one script call for a batch. The script numbers the events of each stream, keeps them
//! for clients that return, and publishes them, all at one moment. Each node subscribes to the channels
//! of the streams that it wants. Without history the same script runs, and keeps nothing: events are
//! numbered all the same, so that nodes notice a gap.
//!
//! # Layout
//!
//! - `config`: what the engine is told;
//! - `names`: keys, channels and partitions;
//! - `script`: what runs in Redis;
//! - `fault`: what went wrong, and what follows;
//! - `socket`, `link`, `backoff`, `supervisor`, `sentinel`: connections;
//! - `publisher`, `reader`, `subscriber`, `wants`, `delivery`: what is done on them;
//! - `health`: the state of all;
//! - `stopped`: streams that the server refuses, and when they are asked for again;
//! - `slot`, `shared`: what all of them have in common.

mod backoff;
mod config;
mod delivery;
mod fault;
mod health;
mod link;
mod names;
mod publisher;
mod reader;
mod script;
mod sentinel;
mod shared;
mod slot;
mod socket;
mod stopped;
mod subscriber;
mod supervisor;
mod wants;

use std::sync::Arc;
use std::time::Duration;

use bus::engine::{
    Arrivals, AttemptError, Capabilities, Engine, EngineHealth, HistoryKind, Numbering, Outgoing,
    Page, Pending, ReadError, Role,
};
use bus::{Position, StreamKey};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

pub use config::{Address, Config, ConfigError, Credentials, StreamHistory, Times, Tls, Topology};

use shared::{InFlight, Shared};

/// An engine over Redis. Its tasks end when it is closed or dropped.
pub struct Redis {
    capabilities: Capabilities,
    shared: Arc<Shared>,
    tasks: Tasks,
}

/// Tasks that end when it is dropped.
#[derive(Default)]
struct Tasks(Mutex<Vec<JoinHandle<()>>>);

impl Redis {
    /// Makes an engine. Connects to nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a setting is out of its range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        if matches!(config.topology, Topology::Cluster { .. }) {
            return Err(ConfigError(
                "redis+cluster:// cannot be used yet: write redis:// or redis+sentinel://"
                    .to_owned(),
            ));
        }
        let capabilities = Capabilities {
            numbering: Numbering::Dense,
            history: config.history.map(|_| HistoryKind::Shared),
            idempotency: Some(config.idempotency),
            max_event_bytes: config.max_event_bytes,
            is_read_only: false,
        };
        let shared = Shared::new(config)?;
        Ok(Self {
            capabilities,
            shared: Arc::new(shared),
            tasks: Tasks::default(),
        })
    }

    fn channel(&self, stream: &StreamKey) -> Arc<str> {
        self.shared.names.stream(stream).channel().into()
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
        let mut tasks = self.tasks.0.lock();
        for role in Role::ALL {
            tasks.push(tokio::spawn(supervisor::keep(self.shared.clone(), role)));
        }
    }

    fn partition(&self, stream: &StreamKey) -> u32 {
        self.shared.names.partition(stream)
    }

    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        let shared = self.shared.clone();
        let Some(in_flight) = InFlight::enter(&shared) else {
            let closed = AttemptError::NotSent("the engine is closed".to_owned());
            return Box::pin(async move { vec![Err(closed); batch.len()] });
        };
        Box::pin(async move {
            let _in_flight = in_flight;
            publisher::publish(&shared, &batch).await
        })
    }

    fn want(&self, stream: &StreamKey) {
        self.shared.wants.want(self.channel(stream), stream);
    }

    fn unwant(&self, stream: &StreamKey) {
        self.shared.wants.unwant(self.channel(stream));
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

    fn health(&self) -> EngineHealth {
        self.shared.health.now()
    }

    fn close(&self, drain: Duration) -> Pending<()> {
        let shared = self.shared.clone();
        let tasks = std::mem::take(&mut *self.tasks.0.lock());
        let tasks = Tasks(Mutex::new(tasks));
        Box::pin(async move {
            let mut in_flight = shared.in_flight.subscribe();
            let drained = in_flight.wait_for(|count| count.is_none_or(|count| count == 0));
            let _ = tokio::time::timeout(drain, drained).await.map(drop);
            shared.in_flight.send_replace(None);
            shared.health.closed(shared.arrivals());
            let ended = std::mem::take(&mut *tasks.0.lock());
            for task in &ended {
                task.abort();
            }
            for task in ended {
                let _ = task.await;
            }
        })
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in self.0.get_mut().drain(..) {
            task.abort();
        }
    }
}
