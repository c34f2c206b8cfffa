//! What the tasks of an engine share.

use std::sync::{Arc, OnceLock};

use bus::engine::{Arrival, Arrivals, Health, Role, Scope};
use bus::{Position, StreamKey};
use tokio::sync::{Notify, watch};

use super::config::{Config, ConfigError, Topology};
use super::control::ControlChannels;
use super::fault::Fault;
use super::health::HealthBoard;
use super::link::Link;
use super::master::Master;
use super::masters::Masters;
use super::names::Names;
use super::wants::Wants;

/// What the tasks of an engine share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) arrivals: OnceLock<Arc<dyn Arrivals>>,
    pub(super) health: HealthBoard,
    pub(super) wants: Wants,
    pub(super) masters: watch::Sender<Arc<Masters>>,
    /// Woken when what is known of the masters may be wrong.
    pub(super) look: Arc<Notify>,
    /// One for each partition: whose batch is under way.
    pub(super) turns: Vec<tokio::sync::Mutex<()>>,
    /// How many batches are under way; `None`: the engine is closed.
    pub(super) in_flight: watch::Sender<Option<usize>>,
    /// The channels on which nodes speak with each other.
    pub(super) control: ControlChannels,
    /// Random: tells the probes of engines apart.
    engine: u64,
}

impl Shared {
    pub(super) fn new(config: Config) -> Result<Self, ConfigError> {
        let names = Names::new(&config.prefix, config.partitions);
        let engine = getrandom::u64()
            .map_err(|error| ConfigError(format!("the system has no random numbers: {error}")))?;
        let masters = Masters::new(&config);
        Ok(Self {
            engine,
            turns: (0..config.partitions)
                .map(|_| tokio::sync::Mutex::default())
                .collect(),
            names,
            arrivals: OnceLock::new(),
            health: HealthBoard::new(&masters),
            wants: Wants::new(config.partitions),
            masters: watch::Sender::new(Arc::new(masters)),
            look: Arc::default(),
            in_flight: watch::Sender::new(Some(0)),
            control: ControlChannels::default(),
            config,
        })
    }

    /// What receives; the tasks that use it are started with it.
    pub(super) fn arrivals(&self) -> &Arc<dyn Arrivals> {
        self.arrivals.get_or_init(|| Arc::new(Ignored))
    }

    /// The masters now.
    pub(super) fn masters(&self) -> Arc<Masters> {
        self.masters.borrow().clone()
    }

    /// The link of a role to the master of a partition, or why there is none.
    pub(super) fn link(
        &self,
        partition: u32,
        role: Role,
    ) -> Result<(Arc<Master>, Arc<Link>), Fault> {
        let masters = self.masters();
        let Some(master) = masters.of(partition) else {
            return Err(self.health.no_master());
        };
        match master.slot(role).current() {
            Some(link) => Ok((master.clone(), link)),
            None => Err(self.health.fault(master, role)),
        }
    }

    /// Has the subscriber of a partition look at what is wanted.
    pub(super) fn wants_changed(&self, partition: u32) {
        if let Some(master) = self.masters().of(partition) {
            master.wants_changed.notify_one();
        }
    }

    /// What is known of the masters may be wrong: has it asked for again.
    pub(super) fn look_again(&self) {
        self.look.notify_one();
    }

    /// Whether the servers are a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.config.topology, Topology::Cluster { .. })
    }

    /// The channel of this engine's probes in a partition.
    pub(super) fn probe(&self, partition: u32) -> Arc<str> {
        self.names.probe(partition, self.engine).into()
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
