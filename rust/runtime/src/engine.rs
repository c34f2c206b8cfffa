//! What all threads of a started manager share: what it serves, limits, counters, bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bus::{BusError, Draft, History, HistoryLimits, Intake, Stamp};
use bytes::Bytes;
use protocol::Transports;
use security::{Check, Policy, TenantIsolation, is_same_origin};

use crate::background::Background;
use crate::catalog::Catalog;
use crate::config::{INTAKE_CAPACITY, Limits};
use crate::http::Streams;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::rates::RateTable;
use crate::resolver::{Authenticator, Resolver};
use crate::roster::Roster;
use crate::shared::SharedGroups;
use crate::token::TokenVerifier;

/// What an engine is made of.
pub struct EngineConfig {
    /// What is served.
    pub catalog: Arc<Catalog>,
    /// Bounds of every queue.
    pub limits: Limits,
    /// What clients have to pass.
    pub policy: Policy,
    /// The ways to ask that are open.
    pub transports: Transports,
    /// Calls the host's resolvers.
    pub resolver: Arc<dyn Resolver>,
    /// Verifies tokens; `None`: they are not looked at.
    pub tokens: Option<Arc<TokenVerifier>>,
    /// Asks the host who a client is; `None`: everyone may connect.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// The page for browsers.
    pub page: Option<Bytes>,
    /// What is kept for clients that return; `None`: nothing.
    pub history: Option<HistoryLimits>,
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
    /// What is kept for clients that return.
    pub history: Option<Arc<History>>,
    /// What clients have to pass.
    pub policy: Policy,
    /// The ways to ask that are open.
    pub transports: Transports,
    pub(crate) places: Arc<Places>,
    pub(crate) rates: Option<RateTable>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) tokens: Option<Arc<TokenVerifier>>,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) shared: Arc<SharedGroups>,
    pub(crate) streams: Streams,
    pub(crate) background: Background,
    /// Who is connected.
    pub roster: Roster,
    pub(crate) page: Option<Bytes>,
    /// Whether no further client is let in.
    draining: AtomicBool,
    /// Whether the drain is to end now.
    hurried: AtomicBool,
}

impl Engine {
    /// An engine without events and without subscriptions.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        let run: Arc<str> = config.bus_name.as_str().into();
        let history = config.history.map(|limits| History::new(run, limits));
        let mut intake = Intake::new(config.bus_name, INTAKE_CAPACITY);
        if let Some(tenant) = config.policy.tenant.clone() {
            intake = intake.with_stamp(Box::new(TenantStamp(tenant)));
        }
        Self {
            places: Arc::new(Places::new(config.limits.max_connections)),
            limits: config.limits,
            metrics: Arc::default(),
            intake: Arc::new(intake),
            history: history.map(Arc::new),
            rates: config.policy.rates.map(RateTable::new),
            policy: config.policy,
            transports: config.transports,
            catalog: config.catalog,
            resolver: config.resolver,
            tokens: config.tokens,
            authenticator: config.authenticator,
            shared: Arc::default(),
            streams: Streams::default(),
            background: Background::default(),
            roster: Roster::default(),
            page: config.page,
            draining: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
        }
    }

    /// What the ids of results belong to; `None`: there are none.
    pub(crate) fn run(&self) -> Option<Arc<str>> {
        self.history.as_ref().map(|history| history.run().clone())
    }

    /// Whether clients have identities, which may end.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        self.authenticator.is_some() || self.tokens.is_some()
    }

    /// Checks the headers of a handshake, before anything of the client is taken.
    ///
    /// # Errors
    ///
    /// The check that it does not pass.
    pub fn admit_handshake(&self, origin: Option<&str>, host: Option<&str>) -> Result<(), Check> {
        // The host is known to be ours where hosts are listed, as it passed the check then.
        let is_own_page = self.policy.hosts.is_some()
            && origin
                .zip(host)
                .is_some_and(|(origin, host)| is_same_origin(origin, host));
        let check = if self
            .policy
            .hosts
            .as_ref()
            .is_some_and(|hosts| !hosts.allow(host))
        {
            Check::Host
        } else if self
            .policy
            .origins
            .as_ref()
            .is_some_and(|origins| !is_own_page && !origins.allow(origin))
        {
            Check::Origin
        } else {
            return Ok(());
        };
        self.metrics.denied(check);
        tracing::warn!(target: "fraiseql_subs.audit", check = check.name(), origin, host, "handshake denied");
        Err(check)
    }

    /// Whether connections are being drained, so that no further client is let in.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed)
    }

    pub(crate) fn set_hurried(&self, hurried: bool) {
        self.hurried.store(hurried, Ordering::Relaxed);
    }
}

/// Says of events whose they are.
#[derive(Debug)]
struct TenantStamp(TenantIsolation);

impl Stamp for TenantStamp {
    fn stamp(&self, draft: &mut Draft) -> Result<(), BusError> {
        let stamped = self.0.stamp(draft.tenant_id.as_deref(), &draft.data);
        draft.tenant_id = stamped.map_err(|conflict| BusError::TenantConflict {
            stamped: conflict.stamped,
            found: conflict.found,
        })?;
        Ok(())
    }
}
