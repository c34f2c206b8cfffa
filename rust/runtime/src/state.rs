//! What all threads of a started manager share: what it serves, limits, counters, bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bus::cluster::{Cluster, NodeIdentity, Owner, Revocations};
use bus::engine::Engine;
use bus::source::Source;
use bus::{
    BatchError, BusError, Draft, EngineLink, History, HistoryLimits, Intake, LinkOptions, Stamp,
    Stream, Streams as EventStreams,
};
use bytes::Bytes;
use graphql::GraphQLError;
use parking_lot::Mutex;
use protocol::http::Response;
use protocol::{Close, Transports};
use security::{Check, Denied, Policy, RequestSource, TenantIsolation};

use crate::admission::Authenticator;
use crate::audit;
use crate::background::Background;
use crate::catalog::{Catalog, PublishNotices};
use crate::client::{Buckets, Client, RateTable, Roster, TokenVerifier};
use crate::config::{INTAKE_CAPACITY, Limits};
use crate::metrics::{Family, Metrics, Reading, Snapshot};
use crate::places::Places;
use crate::readiness::Readiness;
use crate::routing::{ChannelWorkers, Route};
use crate::subscription::{CallGroups, HistorySources, LaneContext, Resolver};
use crate::timings::Timings;

/// No drain is to end now; see `RuntimeState::hurried`.
const UNHURRIED: u64 = u64::MAX;

/// A page for browsers.
#[derive(Debug, Clone)]
pub struct Page {
    /// All of it.
    pub html: Bytes,
    /// What it may load and do: its `content-security-policy`.
    pub policy: Arc<str>,
}

/// What a manager is started with.
pub struct RuntimeConfig {
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
    pub page: Option<Page>,
    /// What carries events between processes; `None`: there is one process.
    pub engine: Option<EngineConfig>,
    /// What is kept for clients that return; `None`: nothing.
    pub history: Option<HistoryLimits>,
    /// What this process tells other nodes of itself.
    pub node: NodeIdentity,
    /// How long the engine may be away before no further clients should be sent here; `None`: for ever.
    pub unready_after: Option<Duration>,
    /// Collects what has ended, for spans of tracing; `None`: it is off.
    pub timings: Option<Arc<Timings>>,
    /// What makes the ids of this start, and none of any other: random.
    pub key: [u8; 16],
}

/// What carries events between processes.
pub struct EngineConfig {
    /// Its name in metrics.
    pub name: &'static str,
    /// The engine, which has not started.
    pub engine: Arc<dyn Engine>,
    /// How its link works.
    pub link: LinkOptions,
    /// What is published elsewhere, and enters the engine through one of the nodes.
    pub sources: Vec<Arc<dyn Source>>,
}

/// What all threads of one started manager share.
pub struct RuntimeState {
    /// Bounds of every queue.
    pub limits: Limits,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What the offsets of events count.
    pub event_streams: Arc<EventStreams>,
    /// Where events enter.
    pub intake: Arc<Intake>,
    /// The link to the engine that carries events between processes; `None`: there is one process.
    pub link: Option<Arc<EngineLink>>,
    /// This process among those that share the engine; `None`: there is one process.
    pub cluster: Option<Arc<Cluster>>,
    /// What enters the engine through one of the nodes.
    pub(crate) sources: Vec<Arc<dyn Source>>,
    /// What this process tells other nodes of itself.
    pub node: NodeIdentity,
    /// Who may not connect for a while.
    pub revocations: Arc<Revocations>,
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
    pub(crate) call_groups: Arc<CallGroups>,
    /// The workers that an event is sent to.
    pub(crate) channel_workers: Arc<ChannelWorkers>,
    pub(crate) background: Background,
    /// Who is connected.
    pub roster: Roster,
    pub(crate) page: Option<Page>,
    pub(crate) notices: Mutex<PublishNotices>,
    unready_after: Option<Duration>,
    /// Name of the engine; `None`: there is one process.
    engine_name: Option<&'static str>,
    /// The end of the time in which further clients should go elsewhere, and are still let in;
    /// `None`: they should not.
    leaving: Mutex<Option<Instant>>,
    /// Whether there is such a time; read for each request.
    is_leaving: AtomicBool,
    /// Whether no further client is let in.
    draining: AtomicBool,
    /// How long an engine may still take to accept events in a drain that is to end now
    /// (milliseconds); [`UNHURRIED`]: it is not to.
    hurried: AtomicU64,
    /// Whether no client is let in again after a drain.
    ending: AtomicBool,
}

impl RuntimeState {
    /// The state of a manager without events and without subscriptions.
    #[must_use]
    pub fn new(config: RuntimeConfig) -> Self {
        let by_tenant = config.policy.tenant.is_some();
        let mut event_streams = EventStreams::new(config.key, by_tenant);
        if config.engine.is_some() {
            event_streams = event_streams.of_engine();
        }
        let event_streams = Arc::new(event_streams);
        let authenticates = config.authenticator.is_some() || config.tokens.is_some();
        let mut intake = Intake::new(event_streams.clone(), INTAKE_CAPACITY);
        if let Some(tenant) = config.policy.tenant.clone() {
            intake = intake.with_stamp(Box::new(TenantStamp(tenant)));
        }
        let intake = Arc::new(intake);
        let notices = Mutex::new(PublishNotices::new(&config.catalog, by_tenant));
        let revocations = Arc::<Revocations>::default();
        let cluster = config.engine.as_ref().map(|engine| {
            let (node, revocations) = (config.node.clone(), revocations.clone());
            Arc::new(Cluster::join(node, engine.engine.clone(), revocations))
        });
        let sources = config.engine.as_ref().map(|engine| engine.sources.clone());
        let declared = config.catalog.definitions();
        let declared = declared.filter_map(|definition| definition.channel.as_ref()?.text());
        let declared = declared.map(Arc::from);
        let engine_name = config.engine.as_ref().map(|engine| engine.name);
        let link = config.engine.map(|config| {
            let (streams, intake) = (event_streams.clone(), intake.clone());
            let link = EngineLink::new(config.engine, &config.link, streams, intake);
            Arc::new(if by_tenant {
                link.counting_without_tenant(declared.collect())
            } else {
                link
            })
        });
        Self {
            places: Arc::new(Places::new(config.limits.max_connections)),
            limits: config.limits,
            metrics: Arc::new(Metrics::of_fields(config.catalog.fields(), config.timings)),
            engine_name,
            intake,
            event_streams,
            link,
            cluster,
            sources: sources.unwrap_or_default(),
            node: config.node,
            revocations,
            history: config.history.map(History::new).map(Arc::new),
            rates: config
                .policy
                .rates
                .map(|rates| RateTable::new(rates, authenticates)),
            policy: config.policy,
            transports: config.transports,
            catalog: config.catalog,
            resolver: config.resolver,
            tokens: config.tokens,
            authenticator: config.authenticator,
            call_groups: Arc::default(),
            channel_workers: Arc::default(),
            background: Background::default(),
            roster: Roster::default(),
            page: config.page,
            notices,
            unready_after: config.unready_after,
            leaving: Mutex::default(),
            is_leaving: AtomicBool::default(),
            draining: AtomicBool::new(false),
            hurried: AtomicU64::new(UNHURRIED),
            ending: AtomicBool::new(false),
        }
    }

    /// What lanes need of it.
    pub(crate) fn lane_context(&self) -> LaneContext {
        LaneContext {
            policy: self.limits.slow_consumer,
            metrics: self.metrics.clone(),
            resolver: self.resolver.clone(),
            link: self.link.clone(),
        }
    }

    /// Returns what subscriptions that resume are replayed from.
    pub(crate) fn history_sources(&self) -> HistorySources<'_> {
        HistorySources {
            history: self.history.as_ref(),
            link: self.link.as_ref(),
            metrics: &self.metrics,
        }
    }

    /// Whether results have ids.
    pub(crate) fn can_resume(&self) -> bool {
        self.history.is_some()
    }

    /// The stream whose events are found on a route.
    pub(crate) fn stream_of(&self, route: &Route) -> Arc<Stream> {
        self.event_streams.of(route.channel(), route.tenant())
    }

    /// Completes and checks events that go to an engine, and tells of what their publisher may not
    /// know.
    ///
    /// # Errors
    ///
    /// As [`Intake::check`], of the first event that is refused.
    pub fn check_published(&self, drafts: &mut [Draft]) -> Result<(), BatchError> {
        BatchError::check_each(drafts, |draft| self.check_one(draft))
    }

    fn check_one(&self, draft: &mut Draft) -> Result<(), BusError> {
        self.intake.check(draft)?;
        let mut notices = self.notices.lock();
        notices.look_at(&draft.channel, draft.tenant_id.is_some());
        drop(notices);
        if draft.tenant_id.is_none() && self.policy.tenant.is_some() {
            self.metrics.events_without_tenant.add(1);
        }
        Ok(())
    }

    /// Whether clients have identities, which may end.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        self.authenticator.is_some() || self.tokens.is_some()
    }

    /// Checks where a request comes from.
    ///
    /// # Errors
    ///
    /// The check that it does not pass.
    pub(crate) fn admit(
        &self,
        source: &RequestSource<'_>,
        arriving: Arriving,
    ) -> Result<(), Check> {
        self.told(self.policy.admit(source), source, arriving)
    }

    /// Checks for which host `/health` or `/metrics` is asked.
    ///
    /// # Errors
    ///
    /// [`Check::Host`]: it is none of the server's.
    pub fn admit_to_status(&self, host: Option<&str>) -> Result<(), Check> {
        let source = RequestSource {
            host,
            ..RequestSource::default()
        };
        self.told(
            self.policy.admit_to_status(host),
            &source,
            Arriving::ForStatus,
        )
    }

    /// Counts and logs a denial, with the setting that lets such a client in.
    fn told(
        &self,
        result: Result<(), Check>,
        source: &RequestSource<'_>,
        arriving: Arriving,
    ) -> Result<(), Check> {
        result.inspect_err(|check| {
            let setting = match (check, arriving) {
                (Check::Host, Arriving::ForStatus) => "Security.hosts or Security.status_hosts",
                (Check::Host, _) => "Security.hosts",
                _ => "Security.origins",
            };
            self.metrics.denied(*check);
            match arriving {
                Arriving::Handshake => audit::handshake_denied(*check, source, setting),
                Arriving::Request | Arriving::ForStatus => {
                    audit::source_denied(*check, source, setting);
                }
            }
        })
    }

    /// The counters at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            events_accepted: self.intake.accepted(),
            ..self.metrics.snapshot()
        };
        self.revocations.expire(Instant::now());
        snapshot.revocations = self.revocations.len() as u64;
        if let Some(link) = &self.link {
            add_link(&mut snapshot, link);
        }
        add_sources(&mut snapshot, &self.sources);
        if let Some(cluster) = &self.cluster {
            snapshot.bus_nodes = 1 + cluster.nodes().len() as u64;
            snapshot.bus_control_unreadable = cluster.unreadable();
        }
        snapshot
    }

    /// All metrics at this moment, with their labels.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let reading = Reading {
            metrics: &self.metrics,
            snapshot: self.snapshot(),
            engine: self.engine_name,
            delays: self.link.as_ref().map(|link| link.delays()),
        };
        reading.families()
    }

    /// Whether a client of an address that is not known yet may come; a denial is counted.
    ///
    /// # Errors
    ///
    /// The response that says when to come back.
    pub(crate) fn admit_peer(&self, peer: Option<&str>) -> Result<(), Response> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        rates
            .look(peer)
            .map_err(|wait| self.rate_limited(peer, wait))
    }

    /// As [`Self::admit_peer`], of a request, which is a message of its client.
    ///
    /// # Errors
    ///
    /// The response that says when to come back.
    pub(crate) fn admit_request(&self, peer: Option<&str>) -> Result<(), Response> {
        self.admit_peer(peer)?;
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        let taken = rates.take_request(peer);
        taken.map_err(|wait| self.rate_limited(peer, wait))
    }

    /// Counts a denial of a request, and tells it.
    pub(crate) fn rate_limited(&self, peer: Option<&str>, wait: Duration) -> Response {
        self.deny_request(peer);
        Response::rate_limited("too many requests: try again later", wait)
    }

    /// As [`Self::rate_limited`], where it is the operation that is one too many.
    pub(crate) fn too_many_operations(&self, peer: Option<&str>, wait: Duration) -> Response {
        self.deny_request(peer);
        Response::rate_limited(&Denied::Rate.to_string(), wait)
    }

    /// What bounds how often a client inside the process acts; `None`: nothing.
    pub(crate) fn in_process_account(&self, client: &Client) -> Option<Arc<Buckets>> {
        self.rates.as_ref()?.in_process(client)
    }

    /// Counts that a client inside the process starts operations too often, and tells it.
    pub(crate) fn operation_denied(&self, client: &Client) -> GraphQLError {
        self.metrics.denied(Check::Rate);
        audit::operation_denied(client.identity.as_deref(), None);
        GraphQLError::new(Denied::Rate.to_string()).with_code(Denied::Rate.code())
    }

    fn deny_request(&self, peer: Option<&str>) {
        self.metrics.denied(Check::Rate);
        audit::request_denied(peer);
    }

    /// Counts a client that was refused, or has left, before it was known.
    pub(crate) fn refused(&self, peer: Option<&str>) {
        if let Some(rates) = &self.rates {
            rates.refused(peer);
        }
    }

    /// How a client is to be closed that may not connect for a while; `None`: it may.
    pub(crate) fn revoked(&self, owner: Owner<'_>) -> Option<Close> {
        let closing = self.revocations.find(owner, Instant::now())?;
        Some(Close::new(closing.code, &*closing.reason))
    }

    /// How long the engine cannot be reached; `None`: it can, or there is none.
    #[must_use]
    pub fn bus_away_for(&self) -> Option<Duration> {
        self.link.as_ref()?.away_for(Instant::now())
    }

    /// Whether clients should be sent to this process; `with_bus`: only if its engine can be reached.
    #[must_use]
    pub fn readiness(&self, with_bus: bool) -> Readiness {
        let away_for = self.bus_away_for();
        Readiness::of(self.is_leaving(), away_for, with_bus, self.unready_after)
    }

    /// Whether further clients should go elsewhere.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Whether connections are being drained, so that no further client is let in.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Says that further clients should go elsewhere, and lets them in until `end`, or until an
    /// earlier time that it was told before. Returns whether this is the first time.
    pub(crate) fn leave_by(&self, end: Instant) -> bool {
        let mut leaving = self.leaving.lock();
        let is_first = leaving.is_none();
        *leaving = Some(leaving.map_or(end, |earlier| earlier.min(end)));
        self.is_leaving.store(true, Ordering::Relaxed);
        is_first
    }

    /// Whether further clients should go elsewhere, and are still let in.
    pub(crate) fn is_announcing(&self) -> bool {
        let end = *self.leaving.lock();
        end.is_some_and(|end| Instant::now() < end)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        let mut leaving = self.leaving.lock();
        *leaving = draining.then(Instant::now);
        self.is_leaving.store(draining, Ordering::Relaxed);
        self.draining.store(draining, Ordering::Relaxed);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    pub(crate) fn set_ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed) != UNHURRIED
    }

    /// How long an engine may still take in a drain that is hurried.
    pub(crate) fn close_time(&self) -> Duration {
        Duration::from_millis(self.hurried.load(Ordering::Relaxed))
    }

    /// The shortest time counts.
    pub(crate) fn hurry(&self, close_time: Duration) {
        let millis = u64::try_from(close_time.as_millis()).unwrap_or(UNHURRIED - 1);
        self.hurried.fetch_min(millis, Ordering::Relaxed);
    }

    pub(crate) fn end_hurry(&self) {
        self.hurried.store(UNHURRIED, Ordering::Relaxed);
    }
}

/// Adds what the link to an engine has counted.
fn add_link(snapshot: &mut Snapshot, link: &EngineLink) {
    let (received, published) = (link.snapshot(), link.publish_counts());
    snapshot.bus_is_live = u64::from(link.health().borrow().is_live());
    snapshot.events_without_tenant += received.without_tenant;
    snapshot.bus_links_lost = received.links_lost;
    snapshot.bus_streams = received.streams;
    snapshot.bus_duplicates = received.duplicates;
    snapshot.bus_gaps = received.gaps;
    snapshot.bus_gap_events = received.gap_events;
    snapshot.bus_missed = received.missed;
    snapshot.bus_reads = received.reads;
    snapshot.bus_unreadable = received.unreadable;
    snapshot.bus_other_stream = received.other_stream;
    snapshot.bus_published = published.published;
    snapshot.bus_retried = published.retried;
    snapshot.bus_not_sent = published.failed_not_sent;
    snapshot.bus_unknown = published.failed_unknown;
    snapshot.bus_lost = published.lost;
    snapshot.bus_queue_events = published.queue_events as u64;
    snapshot.bus_queue_bytes = published.queue_bytes as u64;
}

/// Adds what is known of the sources.
fn add_sources(snapshot: &mut Snapshot, sources: &[Arc<dyn Source>]) {
    let statuses: Vec<_> = sources.iter().map(|source| source.status()).collect();
    let is_live = !statuses.is_empty() && statuses.iter().all(|status| status.is_live);
    snapshot.source_is_live = u64::from(is_live);
    for status in statuses {
        snapshot.source_reads += u64::from(status.is_reader);
        snapshot.source_events += status.events;
        snapshot.source_lag_bytes += status.lag_bytes;
        snapshot.source_confirmed += status.confirmed;
        snapshot.source_losses += status.losses;
    }
}

/// What a client comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arriving {
    /// The handshake of a WebSocket.
    Handshake,
    /// A request over HTTP.
    Request,
    /// A request for `/health` or `/metrics`.
    ForStatus,
}

/// Says of events whose they are.
#[derive(Debug)]
pub(crate) struct TenantStamp(pub(crate) TenantIsolation);

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
