//! The state that the tasks of an engine share.

use std::sync::{Arc, OnceLock};

use bus::engine::{Arrivals, Role};
use tokio::sync::{Notify, watch};

use super::config::{Config, ConfigError, Topology};
use super::control::ControlChannels;
use super::fault::Fault;
use super::health::LinkStates;
use super::link::Link;
use super::master::Master;
use super::masters::Masters;
use super::names::Names;
use super::wants::Wants;
use crate::ignored::Ignored;
use crate::running::InFlight;

/// The state that the tasks of an engine share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) arrivals: OnceLock<Arc<dyn Arrivals>>,
    pub(super) health: LinkStates,
    pub(super) wants: Wants,
    pub(super) masters: watch::Sender<Arc<Masters>>,
    /// Notified when the known masters may be outdated.
    pub(super) refresh: Arc<Notify>,
    /// One lock for each partition, held while its batch is sent.
    pub(super) batch_locks: Vec<tokio::sync::Mutex<()>>,
    /// How many batches are in flight; `None` after the engine was closed.
    pub(super) in_flight: InFlight,
    /// The channels of messages between nodes.
    pub(super) control: ControlChannels,
    /// A random number that identifies the probes of this engine.
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
            batch_locks: (0..config.partitions)
                .map(|_| tokio::sync::Mutex::default())
                .collect(),
            names,
            arrivals: OnceLock::new(),
            health: LinkStates::new(&masters),
            wants: Wants::new(config.partitions),
            masters: watch::Sender::new(Arc::new(masters)),
            refresh: Arc::default(),
            in_flight: InFlight::default(),
            control: ControlChannels::default(),
            config,
        })
    }

    /// The receiver of events. Set before the tasks that use it are started.
    pub(super) fn arrivals(&self) -> &Arc<dyn Arrivals> {
        self.arrivals.get_or_init(|| Arc::new(Ignored))
    }

    /// The current masters.
    pub(super) fn masters(&self) -> Arc<Masters> {
        self.masters.borrow().clone()
    }

    /// Returns the link of a role to the master of a partition, or why there is none.
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

    /// Notifies the subscriber of a partition that wants have changed.
    pub(super) fn wants_changed(&self, partition: u32) {
        if let Some(master) = self.masters().of(partition) {
            master.wants_changed.notify_one();
        }
    }

    /// Requests that the cluster is asked again, as the known masters may be outdated.
    pub(super) fn refresh_masters(&self) {
        self.refresh.notify_one();
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
