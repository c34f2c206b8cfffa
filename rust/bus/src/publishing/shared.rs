//! State that publishers, their futures and the driver share.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::options::{OnUnavailable, PublishOptions};
use super::queue::PublishQueue;
use crate::Throttle;
use crate::engine::{Engine, Health, Role};

/// Why an event was not published, for a publisher that does not wait.
const AWAY: &str = "the engine cannot be reached now";

pub(super) struct Shared {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) on_unavailable: OnUnavailable,
    queue: Mutex<PublishQueue>,
    /// Notified when the driver has something to do.
    pub(super) changed: Notify,
    /// Notified when pauses end.
    pub(super) live: Notify,
    /// Notified when the driver has ended.
    pub(super) ended: Notify,
    /// Limits how often a refusal of this program is logged.
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

    /// Changes the queue. Wakes publishers whose events were answered after the lock is released, each
    /// once.
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
            loss.log();
        }
        done
    }

    /// Returns why publishers must fail at once for a partition; `None` if they may wait.
    pub(super) fn away(&self, partition: u32) -> Option<String> {
        if self.on_unavailable != OnUnavailable::Fail {
            return None;
        }
        // Only the links that publish matter, not those that read or subscribe.
        match self.engine.publisher_health(partition) {
            Health::Away { reason, .. } => Some(format!("{AWAY}: {reason}")),
            Health::Closed => Some(AWAY.to_owned()),
            // The first link is being made: publishers wait for it.
            Health::Starting | Health::Live | Health::Silent { .. } => None,
        }
    }

    /// Logs that the engine refuses the events of this program, while a link exists. If it refuses the
    /// link itself, `link::health_log` logs that.
    pub(super) fn log_denial(&self, reason: &str) {
        if !self.engine.health().of(Role::Publisher).is_live() {
            return;
        }
        let suppressed = self.denials.lock().admit(std::time::Instant::now());
        if suppressed.is_some() {
            tracing::error!(
                name: "bus.refused",
                target: "fraiseql_subs",
                reason,
                "the bus refuses what this program publishes: correct its configuration; events wait as if the bus could not be reached"
            );
        }
    }
}
