//! What publishers, their futures and the driver share.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::options::{OnUnavailable, PublishOptions};
use super::queue::PublishQueue;
use crate::Throttle;
use crate::engine::{Engine, Health, Role};

/// What a publisher is told that does not wait.
const AWAY: &str = "the engine cannot be reached now";

pub(super) struct Shared {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) on_unavailable: OnUnavailable,
    queue: Mutex<PublishQueue>,
    /// The driver has something to do.
    pub(super) changed: Notify,
    /// Pauses are over.
    pub(super) live: Notify,
    /// The driver has ended.
    pub(super) ended: Notify,
    /// How often it is told that the engine refuses this program.
    denials: Mutex<Throttle>,
}

impl Shared {
    pub(super) fn new(engine: Arc<dyn Engine>, options: &PublishOptions) -> Arc<Self> {
        let queue = PublishQueue::new(options, engine.capabilities().idempotency);
        Arc::new(Self {
            engine,
            on_unavailable: options.on_unavailable,
            queue: Mutex::new(queue),
            changed: Notify::new(),
            live: Notify::new(),
            ended: Notify::new(),
            denials: Mutex::default(),
        })
    }

    /// Works on the queue. Publishers whose events were answered are woken once, after the lock is free.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut PublishQueue) -> T) -> T {
        let mut queue = self.queue.lock();
        let done = work(&mut queue);
        let changed = queue.changed(Instant::now());
        drop(queue);
        if changed.is_driver_needed {
            self.changed.notify_one();
        }
        for publisher in changed.publishers {
            publisher.wake();
        }
        if let Some(loss) = changed.loss {
            loss.tell();
        }
        done
    }

    /// Why publishers are to be told at once that nothing can be published to a partition; `None`: they are
    /// not.
    pub(super) fn away(&self, partition: u32) -> Option<String> {
        if self.on_unavailable != OnUnavailable::Fail {
            return None;
        }
        // What the other links do is no matter of a publisher.
        match self.engine.publisher_health(partition) {
            Health::Away { reason, .. } => Some(format!("{AWAY}: {reason}")),
            Health::Closed => Some(AWAY.to_owned()),
            // The first link is waited for, as it is about to be there.
            Health::Starting | Health::Live | Health::Silent { .. } => None,
        }
    }

    /// Tells in the log that the engine refuses this program, while there is a link. That there is
    /// none for this reason is told by those that keep it.
    pub(super) fn tell_denial(&self, reason: &str) {
        if !self.engine.health().of(Role::Publisher).is_live() {
            return;
        }
        let untold = self.denials.lock().admit(std::time::Instant::now());
        if untold.is_some() {
            tracing::error!(
                target: "fraiseql_subs",
                reason,
                "the bus refuses what this program publishes: correct its configuration; events wait as if the bus could not be reached"
            );
        }
    }
}
