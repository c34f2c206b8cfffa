//! Publishes events through an engine: queues them, repeats failed attempts, and answers publishers.
//!
//! An [`Engine`] makes one attempt. [`Publisher::publish`] queues events from any thread. The
//! [`PublishDriver`] sends them on the engine's thread in batches of up to 64 events, with one batch in
//! flight for each partition. Events of one stream are sent in the order in which they were published.
//! An event that is sent again keeps its place and its id. Not here: the format of events (`envelope`),
//! and connections (`brokers`).

mod counts;
mod driver;
mod error;
mod future;
mod limits;
mod loss;
mod options;
mod partition;
mod publication;
mod queue;
mod shared;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::{Engine, Outgoing};
use queue::PublishQueue;
use shared::Shared;

pub use counts::PublishCounts;
pub use driver::PublishDriver;
pub use error::{Outcome, PublishError};
pub use future::Publishing;
pub use options::{OnUnavailable, PUBLISH_TIMEOUT, Pause, PublishOptions, full_jitter};
pub use publication::{PublishResult, Published};

/// Publishes events through an engine. Cheap to clone, and usable from any thread.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// Creates a publisher and its driver. Run the driver on the engine's thread.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, options: &PublishOptions) -> (Self, PublishDriver) {
        let shared = Shared::new(engine, options);
        let driver = PublishDriver {
            shared: shared.clone(),
        };
        (Self { shared }, driver)
    }

    /// Publishes events in order. Each has its own result: one may fail and the next succeed. Calls are
    /// ordered by when they are made, not by when their futures are first polled. The publisher waits
    /// until `until`, such as [`PUBLISH_TIMEOUT`] from now; the error may come up to 5 ms later.
    ///
    /// Events for which the queue has no room wait in order. They are cancelled with the future.
    ///
    /// # Errors
    ///
    /// At the call, before any event of the batch is sent: [`PublishError::ReadOnly`],
    /// [`PublishError::TooLarge`], [`PublishError::Closed`]. For each event later:
    /// [`PublishError::Failed`].
    pub fn publish(
        &self,
        batch: Vec<Outgoing>,
        until: Instant,
    ) -> Result<Publishing, PublishError> {
        self.check(&batch)?;
        let shared = &self.shared;
        let place = |event: Outgoing| (shared.engine.partition(&event.stream), event);
        let batch: Vec<_> = batch.into_iter().map(place).collect();
        if let Some(why) = batch
            .iter()
            .find_map(|(partition, _)| shared.away(*partition))
        {
            let refused = shared.with(|queue| queue.refuse(batch.len(), &why));
            return Ok(Publishing::ready(refused));
        }
        if shared.on_unavailable == OnUnavailable::Queue {
            let now = Instant::now();
            let queued = shared.with(|queue| queue.add_queued(batch, now))?;
            return Ok(Publishing::ready(queued));
        }
        let publication = shared.with(|queue| queue.add(batch, until))?;
        Ok(Publishing::waiting(shared.clone(), publication))
    }

    /// Refuses batches that can never be published.
    fn check(&self, batch: &[Outgoing]) -> Result<(), PublishError> {
        let capabilities = self.shared.engine.capabilities();
        if capabilities.is_read_only {
            return Err(PublishError::ReadOnly);
        }
        let limit = capabilities.max_event_bytes;
        for (index, event) in batch.iter().enumerate() {
            let bytes = event.envelope.len();
            if bytes > limit {
                return Err(PublishError::TooLarge {
                    index,
                    bytes,
                    limit,
                });
            }
        }
        Ok(())
    }

    /// Ends all pauses before further attempts: the engine can be reached again.
    pub fn try_now(&self) {
        self.shared.with(PublishQueue::try_now);
        self.shared.live.notify_waiters();
    }

    /// Refuses further events from this call on. Resolves when all earlier events are answered; those
    /// without an answer after `drain` fail.
    pub fn close(&self, drain: Duration) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.shared.clone();
        shared.with(|queue| queue.close(Instant::now(), drain));
        async move {
            // Created before the queue is read, so that no notification after the read is missed.
            let ended = shared.ended.notified();
            if !shared.with(|queue| queue.is_ended()) {
                ended.await;
            }
        }
    }

    /// The counters of publishing.
    #[must_use]
    pub fn counts(&self) -> PublishCounts {
        self.shared.with(|queue| queue.counts())
    }
}
