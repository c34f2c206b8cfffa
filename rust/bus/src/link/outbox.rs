//! Publishes to the engine for a manager: converts drafts to envelopes, and answers to receipts.
//!
//! Not here: waiting for the engine, and further attempts (`publishing`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::LinkOptions;
use crate::engine::{Engine, Numbering, Outgoing};
use crate::publishing::{
    OnUnavailable, PublishCounts, PublishDriver, Published, Publisher, Publishing,
};
use crate::{BatchError, BusError, Draft, Envelope, EventId, Position, Receipt, Streams};

/// Publishes to an engine.
pub(super) struct Outbox {
    publisher: Publisher,
    /// Taken when the link starts.
    driver: Mutex<Option<PublishDriver>>,
    streams: Arc<Streams>,
    timeout: Duration,
    /// Whether an event without an id is given one before it is published, as its position may stay
    /// unknown: publishers do not wait for the engine, or it does not number events one by one.
    names_events: bool,
    /// A random number that identifies this process, so that event ids of two processes differ.
    node: u64,
    published: AtomicU64,
}

/// Events that are being published. Resolves to a receipt for each.
pub struct LinkPublishing {
    publishing: Publishing,
    /// The id of each event that has one when it is published, in order.
    ids: Vec<Option<Arc<str>>>,
}

impl Outbox {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        options: &LinkOptions,
        streams: Arc<Streams>,
    ) -> Self {
        let is_sparse = engine.capabilities().numbering == Numbering::Sparse;
        let (publisher, driver) = Publisher::new(engine, &options.publish);
        Self {
            publisher,
            driver: Mutex::new(Some(driver)),
            streams,
            timeout: options.publish_timeout,
            names_events: is_sparse || options.publish.on_unavailable == OnUnavailable::Queue,
            node: random_node(),
            published: AtomicU64::new(0),
        }
    }

    /// Sends published events until the publisher is closed.
    pub(super) async fn run(&self) {
        let driver = self.driver.lock().take();
        if let Some(driver) = driver {
            driver.run().await;
        }
    }

    pub(super) fn publish(&self, drafts: Vec<Draft>) -> Result<LinkPublishing, BatchError> {
        let mut drafts = drafts;
        if self.names_events {
            // Without a position the id is all that identifies the event.
            for draft in &mut drafts {
                draft.id.get_or_insert_with(|| self.next_id());
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let published_at = now.map_or(0, |since| since.as_millis() as u64);
        let outgoing = drafts
            .iter()
            .enumerate()
            .map(|(index, draft)| {
                let outgoing = self.outgoing(draft, published_at);
                outgoing.map_err(|error| BatchError::of_event(index, error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let until = Instant::now() + self.timeout;
        Ok(LinkPublishing {
            publishing: self.publisher.publish(outgoing, until)?,
            ids: drafts.into_iter().map(|draft| draft.id).collect(),
        })
    }

    /// The number of this process in envelopes.
    pub(super) fn node(&self) -> u32 {
        self.node as u32
    }

    fn next_id(&self) -> Arc<str> {
        let number = self.published.fetch_add(1, Relaxed);
        format!("{:016x}-{number:x}", self.node).into()
    }

    fn outgoing(&self, draft: &Draft, published_at: u64) -> Result<Outgoing, BusError> {
        // An event that is sent again has the same id, so that the engine recognizes it.
        let id = draft.id.clone().unwrap_or_else(|| self.next_id());
        Ok(Outgoing {
            stream: self.streams.key(&draft.channel, draft.tenant_id.as_deref()),
            id,
            envelope: Envelope::write(draft, published_at, self.node())?,
        })
    }

    /// Ends all pauses before further attempts: the engine can be reached again.
    pub(super) fn try_now(&self) {
        self.publisher.try_now();
    }

    pub(super) fn counts(&self) -> PublishCounts {
        self.publisher.counts()
    }

    pub(super) fn close(&self, drain: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.publisher.close(drain)
    }
}

/// Returns a number that no other process has. A forked process needs another one, so it is read from
/// the system: the state of a generator in memory would be copied.
fn random_node() -> u64 {
    let mut node = [0; 8];
    if getrandom::fill(&mut node).is_err() {
        // The system has no random bytes: the process id and the time distinguish processes.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanoseconds = now.map_or(0, |since| since.as_nanos() as u64);
        return nanoseconds ^ u64::from(std::process::id()).rotate_left(40);
    }
    u64::from_le_bytes(node)
}

impl LinkPublishing {
    /// Resolves to a receipt or an error for each event.
    pub async fn each(self) -> Vec<Result<Receipt, BusError>> {
        let Self { publishing, ids } = self;
        let results = publishing.await;
        ids.into_iter().zip(results).map(receipt).collect()
    }
}

impl Future for LinkPublishing {
    type Output = Result<Vec<Receipt>, BusError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(results) = Pin::new(&mut self.publishing).poll(cx) else {
            return Poll::Pending;
        };
        let ids = std::mem::take(&mut self.ids);
        Poll::Ready(ids.into_iter().zip(results).map(receipt).collect())
    }
}

fn receipt(
    (id, published): (Option<Arc<str>>, crate::publishing::PublishResult),
) -> Result<Receipt, BusError> {
    let position = match published? {
        Published::At(Position::UNKNOWN) | Published::Queued => None,
        Published::At(position) => Some(position),
    };
    let event_id = match (id, position) {
        (Some(id), _) => EventId::Given(id),
        (None, Some(position)) => EventId::At(position),
        (None, None) => EventId::None,
    };
    Ok(Receipt { event_id, position })
}
