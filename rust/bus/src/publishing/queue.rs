//! The events that wait for the engine, in their order, and what is known of each.
//!
//! Has no clock and does no I/O: it is told the time, and what the engine has answered. Not here: who
//! calls the engine (`driver`), and the events of one partition (`partition`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::counts::PublishCounts;
use super::error::PublishError;
use super::ledger::{Ledger, QueuedEvent};
use super::loss::Loss;
use super::options::{Pause, PublishOptions};
use super::partition::{Admitted, Partition, Step, far};
use super::publication::{Publication, PublishResult, Published};
use crate::Position;
use crate::engine::{AttemptError, Outgoing};

/// How much later than its deadline a publisher may be told, so that many are told at once.
const SWEEP: Duration = Duration::from_millis(5);
/// Cancelled events that stay until they reach the front of their queue (count).
const MAX_CANCELLED: usize = 1024;

/// All events that wait for the engine.
pub(super) struct PublishQueue {
    partitions: HashMap<u32, Partition>,
    /// Partitions with events for which there is no room yet, by the number of the first of them; it
    /// may have left since.
    crowded: BTreeMap<u64, u32>,
    ledger: Ledger,
    pause: Pause,
    queue_timeout: Duration,
    /// Events that were published so far (count).
    accepted: u64,
    /// When the next publisher has waited long enough.
    next_sweep: Option<Instant>,
    /// Partitions that have events, and nothing that sends them.
    to_start: Vec<u32>,
    /// Publishing has ended; until then what is left is tried.
    closing: Option<Instant>,
    is_ended: bool,
    /// Whether the driver has to look at the queue.
    is_driver_needed: bool,
}

/// What the driver has to do.
pub(super) struct Turn {
    /// Partitions for which a task is to be started.
    pub(super) starts: Vec<u32>,
    /// When to look again, at the latest.
    pub(super) wake_at: Option<Instant>,
    /// Whether all is done.
    pub(super) is_over: bool,
}

/// What follows from a change.
pub(super) struct Changed {
    /// Those whose events were answered.
    pub(super) publishers: Vec<Waker>,
    /// Whether the driver has to look at the queue.
    pub(super) is_driver_needed: bool,
    /// What is to be told of events that were lost.
    pub(super) loss: Option<Loss>,
}

impl PublishQueue {
    /// `idempotency`: for how long the engine knows an id.
    pub(super) fn new(options: &PublishOptions, idempotency: Option<Duration>) -> Self {
        Self {
            partitions: HashMap::new(),
            crowded: BTreeMap::new(),
            ledger: Ledger::new(options.max_events, options.max_bytes, idempotency),
            pause: options.pause.clone(),
            queue_timeout: options.queue_timeout,
            accepted: 0,
            next_sweep: None,
            to_start: Vec::new(),
            closing: None,
            is_ended: false,
            is_driver_needed: false,
        }
    }

    /// Adds the events of one call, each with its partition. They wait for room if there is none.
    pub(super) fn add(
        &mut self,
        batch: Vec<(u32, Outgoing)>,
        until: Instant,
    ) -> Result<Arc<Publication>, PublishError> {
        if self.closing.is_some() {
            return Err(PublishError::Closed);
        }
        Ok(self.enter(batch, until, false))
    }

    /// Adds the events for which there is room, and answers at once. From the first for which there
    /// is none on, none is added: those of one stream stay in order when the rest is published again.
    pub(super) fn add_queued(
        &mut self,
        mut batch: Vec<(u32, Outgoing)>,
        now: Instant,
    ) -> Result<Vec<PublishResult>, PublishError> {
        if self.closing.is_some() {
            return Err(PublishError::Closed);
        }
        let count = batch.len();
        let sizes = batch.iter().map(|(_, event)| event.envelope.len());
        let fitting = self.ledger.fitting(sizes);
        batch.truncate(fitting);
        if fitting > 0 {
            let until = far(now, self.queue_timeout);
            self.enter(batch, until, true);
        }
        let full = self.ledger.refuse(
            count - fitting,
            "the queue of events that wait for the engine is full",
        );
        let queued = std::iter::repeat_n(Ok(Published::Queued), fitting);
        Ok(queued.chain(full).collect())
    }

    /// Answers events that are not taken, as the engine cannot be reached.
    pub(super) fn refuse(&mut self, count: usize, message: &str) -> Vec<PublishResult> {
        self.ledger.refuse(count, message).collect()
    }

    fn enter(
        &mut self,
        batch: Vec<(u32, Outgoing)>,
        until: Instant,
        is_queued: bool,
    ) -> Arc<Publication> {
        let (partitions, events): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let sizes: Vec<_> = events.iter().map(|event| event.envelope.len()).collect();
        let first = self.accepted;
        let publication = Publication::new(events, partitions.clone(), first, until, is_queued);
        self.accepted += sizes.len() as u64;
        for (index, (number, bytes)) in partitions.into_iter().zip(sizes).enumerate() {
            let event = QueuedEvent::new(publication.clone(), index, bytes);
            let partition = self.partitions.entry(number).or_default();
            if !partition.is_crowded() {
                self.crowded.insert(event.number(), number);
            }
            partition.push(event);
            self.ledger.wait(bytes);
        }
        if self.next_sweep.is_none_or(|at| until < at) {
            self.next_sweep = Some(until);
            self.is_driver_needed = true;
        }
        publication
    }

    /// Finds places for events that wait for one, the oldest first. A partition without any event has
    /// room for one: it does not wait for another one that is stuck.
    fn admit(&mut self) {
        let mut from = 0;
        while let Some((&first, &number)) = self.crowded.range(from..).next() {
            from = first + 1;
            let Some(partition) = self.partitions.get_mut(&number) else {
                self.crowded.remove(&first);
                continue;
            };
            let next = partition.admit(&mut self.ledger);
            if partition.starts() {
                self.to_start.push(number);
            }
            match next {
                Admitted::NoRoom => {}
                Admitted::All => _ = self.crowded.remove(&first),
                Admitted::One { next } => {
                    self.crowded.remove(&first);
                    self.crowded.insert(next, number);
                }
            }
        }
    }

    /// Returns what the task of a partition has to do next.
    pub(super) fn next(&mut self, number: u32, now: Instant) -> Step {
        match self.partitions.get_mut(&number) {
            Some(partition) => partition.next(&mut self.ledger, now),
            None => Step::Done,
        }
    }

    /// Takes the answers to the batch of a partition, in its order.
    pub(super) fn settle(
        &mut self,
        number: u32,
        answers: Vec<Result<Position, AttemptError>>,
        now: Instant,
    ) {
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.settle(&mut self.ledger, answers, now, &*self.pause);
        }
    }

    /// The task of a partition has ended without answers: another one is started if there is something
    /// to send.
    pub(super) fn restart(&mut self, number: u32, now: Instant) {
        self.settle(number, Vec::new(), now);
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.is_running = false;
            if partition.starts() {
                self.to_start.push(number);
            }
        }
    }

    /// Tells publishers that have waited long enough.
    fn sweep(&mut self, now: Instant) {
        let partitions = self.partitions.values_mut();
        let next = partitions.filter_map(|partition| partition.sweep(&mut self.ledger, now));
        self.next_sweep = next.min().map(|at| at.max(now + SWEEP));
    }

    /// Removes what a publisher does not want any more and was not sent.
    pub(super) fn cancel(&mut self, publication: &Publication) {
        for (index, bytes) in publication.cancel() {
            let number = publication.first + index as u64;
            let partition = publication.partitions.get(index);
            let partition = partition.and_then(|number| self.partitions.get(number));
            let has_place = partition.is_some_and(|partition| partition.has_place(number));
            self.ledger.cancel(has_place, bytes);
        }
        if self.ledger.cancelled > MAX_CANCELLED.max(self.ledger.events()) {
            for partition in self.partitions.values_mut() {
                partition.forget_cancelled();
            }
            self.ledger.cancelled = 0;
        }
    }

    /// Fails what of a partition was certainly not published and is not under way, as its part of the engine
    /// cannot be reached.
    pub(super) fn fail_unsent(&mut self, partition: u32, message: &str) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.fail_unsent(&mut self.ledger, message);
        }
    }

    /// Ends all pauses.
    pub(super) fn try_now(&mut self) {
        for partition in self.partitions.values_mut() {
            partition.try_now();
        }
    }

    /// Returns what the driver has to do.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.sweep(now);
        }
        self.admit();
        self.is_driver_needed = false;
        Turn {
            starts: std::mem::take(&mut self.to_start),
            wake_at: self.next_sweep.into_iter().chain(self.closing).min(),
            is_over: self.is_over(now),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        let is_empty = self.ledger.events() == 0;
        self.closing.is_some_and(|end| is_empty || end <= now)
    }

    /// Takes nothing more, and ends when all is answered, or `drain` is over.
    pub(super) fn close(&mut self, now: Instant, drain: Duration) {
        let end = far(now, drain);
        self.closing = Some(self.closing.map_or(end, |earlier| earlier.min(end)));
        self.is_driver_needed = true;
    }

    /// Answers all that is left.
    pub(super) fn end(&mut self, now: Instant) {
        self.closing.get_or_insert(now);
        self.is_ended = true;
        for (_, partition) in self.partitions.drain() {
            partition.end(&mut self.ledger);
        }
        self.ledger.cancelled = 0;
        self.crowded.clear();
        self.to_start.clear();
        self.next_sweep = None;
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns what follows, after anything has changed.
    pub(super) fn changed(&mut self, now: Instant) -> Changed {
        self.admit();
        let is_over = !self.is_ended && self.is_over(now);
        let is_driver_needed =
            std::mem::take(&mut self.is_driver_needed) || !self.to_start.is_empty() || is_over;
        Changed {
            publishers: self.ledger.take_wakers(),
            is_driver_needed,
            loss: self.ledger.take_loss(),
        }
    }

    /// Cancelled events that still stand in a queue (count).
    #[cfg(test)]
    pub(super) fn stale(&self) -> usize {
        self.ledger.cancelled
    }

    pub(super) fn counts(&self) -> PublishCounts {
        self.ledger.counts()
    }
}
