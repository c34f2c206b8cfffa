//! The state that the tasks of an engine share.

use std::sync::{Arc, OnceLock};

use bus::Epoch;
use bus::engine::{Arrivals, Role};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_postgres::Client;

use super::commits::Commits;
use super::config::Config;
use super::control::Joined;
use super::echoes::Echoes;
use super::fault::Fault;
use super::health::HealthBoard;
use super::recent::Recent;
use super::wants::Wants;
use crate::ignored::Ignored;
use crate::running::InFlight;

/// The state that the tasks of an engine share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) arrivals: OnceLock<Arc<dyn Arrivals>>,
    pub(super) health: HealthBoard,
    pub(super) wants: Wants,
    pub(super) echoes: Echoes,
    pub(super) commits: Commits,
    pub(super) recent: Recent,
    /// The links for statements: of the publisher, and of the reader.
    pub(super) publisher: LinkPlace,
    pub(super) reader: LinkPlace,
    /// How far the log was read; `None`: there is no link.
    pub(super) progress: watch::Sender<Option<Progress>>,
    /// Notified when the server shall say how far it has read the log.
    pub(super) look: Notify,
    /// Notified when it should be looked up which commits are visible.
    pub(super) look_at_commits: Notify,
    /// The name of this node, and the receiver of its messages.
    pub(super) control: Joined,
    /// How many calls are in flight; `None` after the engine was closed.
    pub(super) in_flight: InFlight,
}

/// How far the log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) epoch: Epoch,
    /// All that was committed up to this place in the log was delivered.
    pub(super) end: u64,
    /// Counts the links.
    pub(super) link: u64,
}

/// A place for a link.
#[derive(Default)]
pub(super) struct LinkPlace(Mutex<Option<Arc<Client>>>);

/// A link in its place; it leaves when this is dropped.
pub(super) struct Placed<'a>(&'a LinkPlace);

impl LinkPlace {
    pub(super) fn put(&self, client: Client) -> (Arc<Client>, Placed<'_>) {
        let client = Arc::new(client);
        *self.0.lock() = Some(client.clone());
        (client, Placed(self))
    }

    pub(super) fn current(&self) -> Option<Arc<Client>> {
        self.0.lock().clone()
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self {
            arrivals: OnceLock::new(),
            health: HealthBoard::default(),
            wants: Wants::default(),
            echoes: Echoes::default(),
            commits: Commits::default(),
            recent: Recent::new(config.history.clone()),
            publisher: LinkPlace::default(),
            reader: LinkPlace::default(),
            progress: watch::Sender::new(None),
            look: Notify::new(),
            look_at_commits: Notify::new(),
            control: OnceLock::new(),
            in_flight: InFlight::default(),
            config,
        }
    }

    /// The receiver of events. Set before the tasks that use it are started.
    pub(super) fn arrivals(&self) -> &Arc<dyn Arrivals> {
        self.arrivals.get_or_init(|| Arc::new(Ignored))
    }

    /// Returns the link of a role, or why there is none.
    pub(super) fn link(&self, role: Role) -> Result<Arc<Client>, Fault> {
        let place = match role {
            Role::Publisher => &self.publisher,
            Role::Reader | Role::Subscriber => &self.reader,
        };
        place.current().ok_or_else(|| self.health.fault(role))
    }
}
