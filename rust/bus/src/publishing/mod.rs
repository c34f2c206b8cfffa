//! Awaits the answers of an engine for those who publish.
//!
//! An [`Engine`] makes one attempt. Here is what repeats it: [`Publisher::publish`] queues events from
//! any thread, the [`PublishDriver`] sends them on the engine's thread, in batches of up to 64, one
//! under way for each partition. Events of one stream are sent in the order in which they were
//! published, also when they are sent again, which they are with the same ids. Not here: what events
//! look like (`envelope`), and links (`brokers`).

mod counts;
mod driver;
mod error;
mod future;
mod ledger;
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

/// Publishes events through an engine. Cheap to clone; from any thread.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// Makes a publisher, and the driver that has to be run for it on the engine's thread.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, options: &PublishOptions) -> (Self, PublishDriver) {
        let shared = Shared::new(engine, options);
        let driver = PublishDriver {
            shared: shared.clone(),
        };
        (Self { shared }, driver)
    }

    /// Publishes events in this order, each by its own: one may fail where the next succeeds. The order
    /// is that of the calls, not of the first look at their futures. `until` is when the publisher
    /// does not wait any more, such as [`PUBLISH_TIMEOUT`] from now; it is told up to 5 ms later.
    ///
    /// What the queue has no room for waits, in order, and stays part of the future.
    ///
    /// # Errors
    ///
    /// At the call, before anything of the batch is sent: [`PublishError::ReadOnly`],
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

    /// Finds what can never be published.
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

    /// Tries again at once what waits for its next attempt: the engine can be reached again.
    pub fn try_now(&self) {
        self.shared.with(PublishQueue::try_now);
        self.shared.live.notify_waiters();
    }

    /// Takes nothing more, from this call on. Resolves when all that was published before is answered;
    /// what is not when `drain` is over fails.
    pub fn close(&self, drain: Duration) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.shared.clone();
        shared.with(|queue| queue.close(Instant::now(), drain));
        async move {
            // Before the look at the queue: it hears of what happens from here on.
            let ended = shared.ended.notified();
            if !shared.with(|queue| queue.is_ended()) {
                ended.await;
            }
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> PublishCounts {
        self.shared.with(|queue| queue.counts())
    }
}
