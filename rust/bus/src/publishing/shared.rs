//! What publishers, their futures and the driver share.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::options::{OnUnavailable, PublishOptions};
use super::queue::PublishQueue;
use crate::engine::{Engine, Health};

/// What a publisher is told that does not wait.
pub(super) const AWAY: &str = "the engine cannot be reached now";

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
        })
    }

    /// Works on the queue. Publishers whose events were answered are woken once, after the lock is free.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut PublishQueue) -> T) -> T {
        let mut queue = self.queue.lock();
        let done = work(&mut queue);
        let (publishers, is_driver_needed) = queue.changed(Instant::now());
        drop(queue);
        if is_driver_needed {
            self.changed.notify_one();
        }
        for publisher in publishers {
            publisher.wake();
        }
        done
    }

    /// Whether publishers are to be told at once that the engine cannot be reached.
    pub(super) fn fails_now(&self) -> bool {
        let is_away = || match self.engine.health() {
            Health::Away { .. } | Health::Closed => true,
            // The first link is waited for, as it is about to be there.
            Health::Starting | Health::Live | Health::Silent { .. } => false,
        };
        self.on_unavailable == OnUnavailable::Fail && is_away()
    }
}
