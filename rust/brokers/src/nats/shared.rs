//! The state that the tasks of an engine share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bus::Epoch;
use bus::engine::{Arrivals, ControlArrivals, Role, Scope};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::config::{Address, Config, ConfigError};
use super::fault::Fault;
use super::health::LinkStates;
use super::link::{Link, LinkOwner};
use super::names::Names;
use super::store::Store;
use super::wants::Wants;
use crate::ignored::Ignored;
use crate::running::InFlight;

/// The most servers that are remembered.
const MAX_SERVERS: usize = 64;

/// The state that the tasks of an engine share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) names: Names,
    pub(super) arrivals: OnceLock<Arc<dyn Arrivals>>,
    pub(super) health: LinkStates,
    pub(super) wants: Wants,
    /// One for each partition; empty without history.
    pub(super) stores: Vec<Store>,
    /// Notified when a store may be missing, or another one.
    pub(super) refresh: Arc<Notify>,
    /// Notified when the publisher found no store.
    pub(super) create: Notify,
    pub(super) overrun: Overrun,
    pub(super) control: OnceLock<Joined>,
    /// How many batches are in flight; `None` after the engine was closed.
    pub(super) in_flight: InFlight,
    /// Without history: the epoch of this engine, and the offset of the newest event of any stream.
    pub(super) epoch: Epoch,
    counter: AtomicU64,
    links: [Mutex<Option<Arc<Link>>>; Role::COUNT],
    servers: Mutex<Vec<Address>>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Result<Self, ConfigError> {
        let names = Names::new(&config.prefix, config.partitions);
        let epoch = getrandom::u64()
            .map_err(|error| ConfigError(format!("the system has no random numbers: {error}")))?;
        let partitions = 0..names.partitions();
        let has_history = config.history.is_some();
        let refresh = Arc::<Notify>::default();
        Ok(Self {
            stores: partitions
                .filter(|_| has_history)
                .map(|partition| Store::new(&names, partition, refresh.clone()))
                .collect(),
            servers: Mutex::new(config.servers.clone()),
            names,
            arrivals: OnceLock::new(),
            health: LinkStates::default(),
            wants: Wants::default(),
            refresh,
            create: Notify::new(),
            overrun: Overrun::default(),
            control: OnceLock::new(),
            in_flight: InFlight::default(),
            epoch: Epoch(epoch),
            counter: AtomicU64::new(0),
            links: Default::default(),
            config,
        })
    }

    /// The receiver of events. Set before the tasks that use it are started.
    pub(super) fn arrivals(&self) -> &Arc<dyn Arrivals> {
        self.arrivals.get_or_init(|| Arc::new(Ignored))
    }

    pub(super) fn has_history(&self) -> bool {
        self.config.history.is_some()
    }

    /// Without history: returns a new offset.
    pub(super) fn count(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the link of a role, or why there is none.
    pub(super) fn link(&self, role: Role) -> Result<Arc<Link>, Fault> {
        let link = self.links[role as usize].lock().clone();
        link.ok_or_else(|| self.health.fault(role))
    }

    pub(super) fn set_link(&self, role: Role, link: Option<Arc<Link>>) {
        *self.links[role as usize].lock() = link;
    }

    /// Some of the known servers, in random order.
    pub(super) fn servers(&self) -> Vec<Address> {
        let mut servers = self.servers.lock().clone();
        fastrand::shuffle(&mut servers);
        servers
    }
}

impl LinkOwner for Shared {
    fn config(&self) -> &Config {
        &self.config
    }

    fn inbox(&self) -> String {
        self.names.inbox()
    }

    /// Reports a doubt at once, but not for each message.
    fn dropped(&self) {
        if self.overrun.begin() {
            self.arrivals().doubt(Scope::All);
        }
    }

    /// Servers are named by addresses, which a certificate rarely has.
    fn learn_servers(&self, named: &[String]) {
        if self.config.tls.is_some() {
            return;
        }
        let mut servers = self.servers.lock();
        servers.truncate(self.config.servers.len());
        for text in named {
            let Some((host, port)) = text.rsplit_once(':') else {
                continue;
            };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let Ok(port) = port.parse() else { continue };
            let address = Address {
                host: host.to_owned(),
                port,
            };
            if servers.len() < MAX_SERVERS && !servers.contains(&address) {
                servers.push(address);
            }
        }
    }

    fn known_servers(&self) -> usize {
        self.servers.lock().len()
    }
}

/// The subjects of a node, and what receives their messages.
pub(super) struct Joined {
    /// The subject of all nodes, and the subject of this node.
    pub(super) subjects: [String; 2],
    pub(super) arrivals: Arc<dyn ControlArrivals>,
}

/// Limits how often dropped messages are reported. After the last one a report follows.
#[derive(Default)]
pub(super) struct Overrun {
    state: Mutex<OverrunState>,
    begun: Notify,
}

#[derive(Default)]
struct OverrunState {
    reported: Option<Instant>,
    is_pending: bool,
}

impl Overrun {
    const PAUSE: Duration = Duration::from_millis(100);

    /// Returns whether to report it now; else [`Self::pending`] returns later.
    fn begin(&self) -> bool {
        let mut state = self.state.lock();
        let is_first = state.reported.is_none_or(|at| at.elapsed() > Self::PAUSE);
        if is_first {
            state.reported = Some(Instant::now());
        } else if !state.is_pending {
            state.is_pending = true;
            self.begun.notify_one();
        }
        is_first
    }

    /// When the newest report was, if another one must follow.
    fn due(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.reported.filter(|_| state.is_pending)
    }

    /// Waits until it must be reported again. Nothing is lost when this future is dropped.
    pub(super) async fn pending(&self) {
        let due = loop {
            match self.due() {
                Some(reported) => break reported + Self::PAUSE,
                None => self.begun.notified().await,
            }
        };
        tokio::time::sleep_until(due.into()).await;
        let mut state = self.state.lock();
        state.is_pending = false;
        state.reported = Some(Instant::now());
    }
}
