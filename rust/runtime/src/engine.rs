//! What all threads of a started manager share: what it serves, limits, counters, bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bus::Intake;
use bytes::Bytes;
use security::Origins;

use crate::catalog::Catalog;
use crate::config::{INTAKE_CAPACITY, Limits};
use crate::http::Streams;
use crate::metrics::Metrics;
use crate::resolver::{Authenticator, Resolver};
use crate::roster::Roster;
use crate::shared::SharedGroups;

/// What an engine is made of.
pub struct EngineConfig {
    /// What is served.
    pub catalog: Arc<Catalog>,
    /// Bounds of every queue.
    pub limits: Limits,
    /// Pages that may connect; `None`: any.
    pub origins: Option<Origins>,
    /// Calls the host's resolvers.
    pub resolver: Arc<dyn Resolver>,
    /// Asks the host who a client is; `None`: everyone may connect.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// The page for browsers.
    pub page: Option<Bytes>,
    /// Prefix of generated event ids, unique for each start.
    pub bus_name: String,
}

/// The shared state of one started manager.
pub struct Engine {
    /// Bounds of every queue.
    pub limits: Limits,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where events enter.
    pub intake: Arc<Intake>,
    /// Pages that may connect; `None`: any.
    pub origins: Option<Origins>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) shared: Arc<SharedGroups>,
    pub(crate) streams: Streams,
    /// Who is connected.
    pub roster: Roster,
    pub(crate) page: Option<Bytes>,
    /// Whether no further client is let in.
    draining: AtomicBool,
}

impl Engine {
    /// An engine without events and without subscriptions.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        Self {
            limits: config.limits,
            metrics: Arc::default(),
            intake: Arc::new(Intake::new(config.bus_name, INTAKE_CAPACITY)),
            origins: config.origins,
            catalog: config.catalog,
            resolver: config.resolver,
            authenticator: config.authenticator,
            shared: Arc::default(),
            streams: Streams::default(),
            roster: Roster::default(),
            page: config.page,
            draining: AtomicBool::new(false),
        }
    }

    /// Whether connections are being drained, so that no further client is let in.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }
}
