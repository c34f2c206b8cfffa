//! Links a manager to its engine: publishes, reads history, and delivers the wanted streams in order. A
//! gap is filled or reported, never silent.
//!
//! Not here: implementations of engines (`brokers`), which subscriptions an event reaches (`runtime`).

mod counters;
mod decode;
mod health_log;
mod inbox;
mod interest;
mod outbox;
mod tasks;
mod without_tenant;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use counters::LinkCounters;
pub use counters::LinkSnapshot;
pub use interest::Interest;
pub use outbox::LinkPublishing;

use self::decode::Decoder;
use self::inbox::Inbox;
use self::outbox::Outbox;
use self::without_tenant::WithoutTenant;
use crate::engine::{Engine, EngineHealth, Health, Numbering, Pending, ReadError};
use crate::publishing::{PublishCounts, PublishOptions};
use crate::{BatchError, Draft, HistogramSnapshot, Intake, Position, Stream, StreamKey, Streams};

/// The link of a manager to its engine.
pub struct EngineLink {
    engine: Arc<dyn Engine>,
    inbox: Arc<Inbox>,
    outbox: Outbox,
    /// Limits the reads for resuming clients.
    reads: Arc<Semaphore>,
    counters: Arc<LinkCounters>,
    decoder: Decoder,
    made_at: Instant,
    has_clients: bool,
}

/// Limit of concurrent reads of the engine's history: so many for gaps, and as many for resuming
/// clients (count).
const READS_AT_ONCE: usize = 64;

/// Settings of a link.
#[derive(Clone)]
pub struct LinkOptions {
    /// Settings of publishing.
    pub publish: PublishOptions,
    /// How long a publisher waits for the engine (default 5 s).
    pub publish_timeout: Duration,
    /// Whether bare JSON is accepted as an event, for publishers that do not write envelopes.
    pub accept_raw: bool,
}

/// Events that were read from the history of an engine.
#[derive(Debug, Clone)]
pub struct ReadPage {
    /// Oldest first; `None` stands for an event that cannot be read.
    pub events: Vec<(Position, Option<Draft>)>,
    /// The position of the newest event of the stream.
    pub head: Position,
}

impl std::fmt::Debug for EngineLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineLink")
            .field("health", &self.engine.health())
            .finish_non_exhaustive()
    }
}

impl EngineLink {
    /// Creates a link that is not connected yet. [`Self::run`] connects it. Events of the engine go
    /// into `intake`.
    #[must_use]
    pub fn new(
        engine: Arc<dyn Engine>,
        options: &LinkOptions,
        streams: Arc<Streams>,
        intake: Arc<Intake>,
    ) -> Self {
        let counters = Arc::<LinkCounters>::default();
        let capabilities = engine.capabilities().clone();
        let decoder = Decoder {
            counters: counters.clone(),
            accept_raw: options.accept_raw,
        };
        Self {
            outbox: Outbox::new(engine.clone(), options, streams),
            inbox: Arc::new(Inbox::new(intake, capabilities, decoder.clone())),
            engine,
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            counters,
            decoder,
            made_at: Instant::now(),
            has_clients: true,
        }
    }

    /// For a program that only publishes: what is logged is about publishing alone.
    #[must_use]
    pub fn without_clients(mut self) -> Self {
        self.has_clients = false;
        self
    }

    /// Counts and logs events without a tenant that other programs publish on these channels. For
    /// managers that isolate tenants. Call it once, before [`Self::run`].
    #[must_use]
    pub fn counting_without_tenant(self, channels: Vec<Arc<str>>) -> Self {
        let without_tenant = WithoutTenant::new(channels, self.outbox.node());
        self.inbox.watch_without_tenant(without_tenant);
        self
    }

    /// Connects, and runs the link until the future is dropped. Runs on a tokio runtime with its own
    /// thread.
    pub async fn run(self: Arc<Self>) {
        self.engine.start(self.inbox.clone());
        for stream in self
            .inbox
            .without_tenant()
            .into_iter()
            .flat_map(WithoutTenant::streams)
        {
            self.engine.want(&stream);
        }
        // A task of its own: it runs when those that read have no more for now.
        let mut pass_on = JoinSet::new();
        let inbox = self.inbox.clone();
        pass_on.spawn(async move { inbox.pass_on().await });
        tokio::join!(
            self.outbox.run(),
            tasks::read_gaps(self.clone()),
            tasks::maintain(self.clone()),
            tasks::resume_publishing(self.clone()),
            tasks::log_health(self.clone())
        );
    }

    /// Publishes events in the order of the calls. Await the returned future for the receipts.
    ///
    /// # Errors
    ///
    /// At the call, before anything is sent: an event cannot be written, or is too large; the link is
    /// closed.
    pub fn publish(&self, drafts: Vec<Draft>) -> Result<LinkPublishing, BatchError> {
        self.outbox.publish(drafts)
    }

    /// Requests the events of a stream from the engine until the interest is dropped.
    #[must_use]
    pub fn interest(&self, stream: &Arc<Stream>) -> Interest {
        let is_ready = self.inbox.want(stream, |key| self.engine.want(key));
        Interest::new(self.inbox.clone(), stream.key().clone(), is_ready)
    }

    /// Whether the engine keeps events.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.engine.capabilities().history.is_some()
    }

    /// Whether events belong to transactions of a database.
    #[must_use]
    pub fn has_transactions(&self) -> bool {
        self.engine.capabilities().transactions.is_some()
    }

    /// As [`Engine::settled`].
    #[must_use]
    pub fn settled(&self, at: Position) -> Option<Pending<()>> {
        self.engine.settled(at)
    }

    /// Whether offsets only order events: the newest one of a stream cannot be told from its head.
    #[must_use]
    pub fn is_sparse(&self) -> bool {
        self.engine.capabilities().numbering == Numbering::Sparse
    }

    /// Whether all events of a stream that the engine has delivered were passed on.
    #[must_use]
    pub fn has_passed_on(&self, stream: &Stream) -> bool {
        self.inbox.is_live(stream.key())
    }

    /// Reads up to `limit` events of a stream after a position.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::read`].
    pub fn read(
        &self,
        stream: &Stream,
        after: Position,
        limit: usize,
    ) -> Pending<Result<ReadPage, ReadError>> {
        let (key, decoder) = (stream.key().clone(), self.decoder.clone());
        counters::count(&self.counters.reads);
        let (engine, reads) = (self.engine.clone(), self.reads.clone());
        let is_lossy = self.inbox.is_history_lossy();
        Box::pin(async move {
            let closed = |_| ReadError::Unavailable("the link is closed".to_owned());
            let _turn = reads.acquire_owned().await.map_err(closed)?;
            let page = engine.read(&key, after, limit).await?;
            if is_lossy {
                return Err(ReadError::TooLate { head: page.head });
            }
            let decoded = |(position, envelope)| {
                let decoded = decoder.decode(&key, &envelope);
                (position, decoded.draft)
            };
            Ok(ReadPage {
                events: page.events.into_iter().map(decoded).collect(),
                head: page.head,
            })
        })
    }

    /// Reports to the subscribers of one stream, or of all, that events were lost before they reached the
    /// engine.
    pub fn report_loss(&self, lost: Option<&StreamKey>) {
        self.inbox.lose(lost);
    }

    /// Positions in the engine's history may be from before a loss, for this time: nobody goes on from
    /// there.
    pub fn distrust_history(&self, lasts: Duration) {
        self.inbox.distrust_history(Instant::now() + lasts);
    }

    /// Watches the state of the engine's links.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<EngineHealth> {
        self.inbox.health()
    }

    /// For how long the engine has not been reachable; `None` if it is.
    #[must_use]
    pub fn away_for(&self, now: Instant) -> Option<Duration> {
        let since = match *self.engine.health().worst() {
            Health::Live => return None,
            Health::Starting | Health::Closed => self.made_at,
            Health::Silent { since } | Health::Away { since, .. } => since,
        };
        Some(now.saturating_duration_since(since))
    }

    /// The counters at this moment.
    #[must_use]
    pub fn snapshot(&self) -> LinkSnapshot {
        LinkSnapshot {
            without_tenant: self.inbox.without_tenant().map_or(0, WithoutTenant::seen),
            ..self.counters.snapshot(self.inbox.len() as u64)
        }
    }

    /// How long events took from their publisher, on any node, to this process.
    #[must_use]
    pub fn delays(&self) -> HistogramSnapshot {
        self.counters.delay.snapshot()
    }

    /// The counters of publishing.
    #[must_use]
    pub fn publish_counts(&self) -> PublishCounts {
        self.outbox.counts()
    }

    /// Closes the links to the engine, after all published events are answered or `drain` is over.
    pub fn close(&self, drain: Duration) -> Pending<()> {
        let answered = self.outbox.close(drain);
        let engine = self.engine.clone();
        Box::pin(async move {
            answered.await;
            engine.close(drain).await;
        })
    }
}
