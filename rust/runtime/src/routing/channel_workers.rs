//! Which workers have subscriptions on a channel, so that an event wakes no other worker.
//!
//! Written by the workers, read by whoever broadcasts. Not here: which subscriptions of a worker an
//! event reaches (`index`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use dashmap::DashMap;

/// The number of a worker, unique in its manager.
pub(crate) type WorkerNumber = u32;

/// The workers with subscriptions, by channel.
#[derive(Debug, Default)]
pub(crate) struct ChannelWorkers {
    channels: DashMap<Box<str>, Vec<Holder>>,
    last: AtomicU32,
}

/// A worker, and how often it holds the channel.
#[derive(Debug)]
struct Holder {
    worker: WorkerNumber,
    holds: usize,
}

impl ChannelWorkers {
    /// Adds a worker.
    #[must_use]
    pub(crate) fn join(self: &Arc<Self>) -> WorkerChannels {
        WorkerChannels {
            workers: self.clone(),
            number: self.last.fetch_add(1, Relaxed),
        }
    }

    fn hold(self: &Arc<Self>, channel: &str, worker: WorkerNumber) -> ChannelHold {
        let channel: Box<str> = channel.into();
        let mut holders = self.channels.entry(channel.clone()).or_default();
        match holders.iter_mut().find(|holder| holder.worker == worker) {
            Some(holder) => holder.holds += 1,
            None => holders.push(Holder { worker, holds: 1 }),
        }
        ChannelHold {
            workers: self.clone(),
            channel,
            worker,
        }
    }

    /// Adds the workers with subscriptions on a channel to `found`, each once.
    pub(crate) fn add_to(&self, channel: &str, found: &mut Vec<WorkerNumber>) {
        let Some(holders) = self.channels.get(channel) else {
            return;
        };
        for holder in holders.iter() {
            if !found.contains(&holder.worker) {
                found.push(holder.worker);
            }
        }
    }

    fn release(&self, channel: &str, worker: WorkerNumber) {
        let is_unused = self.channels.get_mut(channel).is_some_and(|mut holders| {
            for holder in holders.iter_mut().filter(|holder| holder.worker == worker) {
                holder.holds -= 1;
            }
            holders.retain(|holder| holder.holds > 0);
            holders.is_empty()
        });
        if is_unused {
            // Another thread may have added a worker since.
            self.channels
                .remove_if(channel, |_, holders| holders.is_empty());
        }
    }
}

/// The channels of one worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerChannels {
    workers: Arc<ChannelWorkers>,
    number: WorkerNumber,
}

impl WorkerChannels {
    /// The number of the worker.
    #[must_use]
    pub(crate) fn number(&self) -> WorkerNumber {
        self.number
    }

    /// Sends the events of a channel to the worker until the returned value is dropped: those whose
    /// broadcast begins after this call.
    pub(crate) fn hold(&self, channel: &str) -> ChannelHold {
        self.workers.hold(channel, self.number)
    }
}

impl PartialEq for WorkerChannels {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && Arc::ptr_eq(&self.workers, &other.workers)
    }
}

impl Eq for WorkerChannels {}

/// Sends the events of a channel to a worker until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct ChannelHold {
    workers: Arc<ChannelWorkers>,
    channel: Box<str>,
    worker: WorkerNumber,
}

impl Drop for ChannelHold {
    fn drop(&mut self) {
        self.workers.release(&self.channel, self.worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(workers: &ChannelWorkers, channel: &str) -> Vec<WorkerNumber> {
        let mut found = Vec::new();
        workers.add_to(channel, &mut found);
        found
    }

    #[test]
    fn a_channel_has_the_workers_that_hold_it() {
        let workers = Arc::<ChannelWorkers>::default();
        let (one, other) = (workers.join(), workers.join());
        let held = [one.hold("orders"), other.hold("orders")];
        let twice = one.hold("orders");
        let (one, other) = (one.number(), other.number());
        assert_eq!(found(&workers, "orders"), [one, other]);
        assert_eq!(found(&workers, "users"), [0; 0]);
        drop(held);
        assert_eq!(found(&workers, "orders"), [one]);
        drop(twice);
        assert_eq!(found(&workers, "orders"), [0; 0]);
        assert!(workers.channels.is_empty());
    }
}
