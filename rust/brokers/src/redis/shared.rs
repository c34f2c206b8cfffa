//! What the tasks of an engine share.

use std::sync::{Arc, OnceLock};

use bus::engine::{Arrival, Arrivals, Health, Role, Scope};
use bus::{Position, StreamKey};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::config::{Config, ConfigError};
use super::health::HealthBoard;
use super::names::Names;
use super::slot::Slot;
use super::wants::Wants;

/// What the tasks of an engine share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) arrivals: OnceLock<Arc<dyn Arrivals>>,
    pub(super) health: HealthBoard,
    pub(super) wants: Wants,
    pub(super) slots: [Slot; Role::COUNT],
    /// One for each partition: whose batch is under way.
    pub(super) turns: Vec<tokio::sync::Mutex<()>>,
    /// How many batches are under way; `None`: the engine is closed.
    pub(super) in_flight: watch::Sender<Option<usize>>,
    /// The channel of the probes.
    pub(super) probe: Arc<str>,
    /// How many probes in a row have not come back.
    pub(super) probe_failures: Mutex<u32>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Result<Self, ConfigError> {
        let names = Names::new(&config.prefix, config.partitions);
        let engine = getrandom::u64()
            .map_err(|error| ConfigError(format!("the system has no random numbers: {error}")))?;
        Ok(Self {
            probe: names.probe(0, engine).into(),
            turns: (0..config.partitions)
                .map(|_| tokio::sync::Mutex::default())
                .collect(),
            names,
            arrivals: OnceLock::new(),
            health: HealthBoard::new(),
            wants: Wants::default(),
            slots: Default::default(),
            in_flight: watch::Sender::new(Some(0)),
            probe_failures: Mutex::default(),
            config,
        })
    }

    /// What receives; the tasks that use it are started with it.
    pub(super) fn arrivals(&self) -> &Arc<dyn Arrivals> {
        self.arrivals.get_or_init(|| Arc::new(Ignored))
    }

    pub(super) fn slot(&self, role: Role) -> &Slot {
        &self.slots[role as usize]
    }
}

/// A batch that is under way.
pub(super) struct InFlight(Arc<Shared>);

impl InFlight {
    /// Begins a batch; `None`: the engine is closed.
    pub(super) fn enter(shared: &Arc<Shared>) -> Option<Self> {
        let is_open = shared.in_flight.send_if_modified(|count| {
            if let Some(count) = count {
                *count += 1;
                return true;
            }
            false
        });
        is_open.then(|| Self(shared.clone()))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.send_if_modified(|count| match count {
            Some(count) => {
                *count -= 1;
                *count == 0
            }
            None => false,
        });
    }
}

/// Receives nothing.
struct Ignored;

impl Arrivals for Ignored {
    fn ready(&self, _: &StreamKey, _: Position) {}
    fn event(&self, _: Arrival) {}
    fn doubt(&self, _: Scope) {}
    fn health(&self, _: Role, _: Health) {}
}
