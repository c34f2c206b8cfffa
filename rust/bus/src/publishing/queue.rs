//! All events that wait for the engine, in order.
//!
//! Has no clock and does no I/O: callers pass the time and the answers of the engine. Not here: calls
//! to the engine (`driver`), and the events of one partition (`partition`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::counts::PublishCounts;
use super::error::PublishError;
use super::limits::{QueueLimits, QueuedEvent};
use super::loss::Loss;
use super::options::{Pause, PublishOptions};
use super::partition::{Admitted, Partition, Step, far};
use super::publication::{Publication, PublishResult, Published};
use crate::Position;
use crate::engine::{AttemptError, Outgoing};

/// How much later than its deadline a publisher may receive its error, so that one sweep handles many.
const SWEEP: Duration = Duration::from_millis(5);
/// Cancelled events that may remain in the queues (count). Beyond it, and beyond the number of other
/// events, they are removed.
const MAX_CANCELLED: usize = 1024;

/// All events that wait for the engine.
pub(super) struct PublishQueue {
    partitions: HashMap<u32, Partition>,
    /// Partitions with events that wait for room. The key is the number of the first of them, which may
    /// have been answered since.
    waiting: BTreeMap<u64, u32>,
    limits: QueueLimits,
    pause: Pause,
    queue_timeout: Duration,
    /// Events that were accepted so far (count).
    accepted: u64,
    /// The earliest deadline of an event.
    next_sweep: Option<Instant>,
    /// Partitions with events and without a task.
    to_start: Vec<u32>,
    /// When the drain ends; `None` until the queue is closed.
    closing: Option<Instant>,
    is_ended: bool,
    /// Whether the driver must be woken.
    is_driver_needed: bool,
}

/// What the driver has to do.
pub(super) struct Turn {
    /// Partitions that need a task.
    pub(super) starts: Vec<u32>,
    /// When to call again, at the latest.
    pub(super) wake_at: Option<Instant>,
    /// Whether the driver can end.
    pub(super) is_over: bool,
}

/// What a change of the queue requires.
pub(super) struct Changed {
    /// The wakers of publishers whose events were answered.
    pub(super) publishers: Vec<Waker>,
    /// Whether the driver must be woken.
    pub(super) is_driver_needed: bool,
    /// Lost events to log.
    pub(super) loss: Option<Loss>,
}

impl PublishQueue {
    /// `idempotency`: how long the engine recognizes an id.
    pub(super) fn new(options: &PublishOptions, idempotency: Option<Duration>) -> Self {
        Self {
            partitions: HashMap::new(),
            waiting: BTreeMap::new(),
            limits: QueueLimits::new(options, idempotency),
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

    /// Adds the events of one call, each with its partition. Events without room wait.
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

    /// Adds the events for which there is room, and returns results at once. After the first event
    /// without room none is added, so that the events of a stream stay in order when the caller
    /// publishes the rest again.
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
        let fitting = self.limits.fitting(sizes);
        batch.truncate(fitting);
        if fitting > 0 {
            let until = far(now, self.queue_timeout);
            self.enter(batch, until, true);
        }
        let full = self.limits.refuse(
            count - fitting,
            "the queue of events that wait for the engine is full",
        );
        let queued = std::iter::repeat_n(Ok(Published::Queued), fitting);
        Ok(queued.chain(full).collect())
    }

    /// Answers events that are refused because the engine cannot be reached.
    pub(super) fn refuse(&mut self, count: usize, message: &str) -> Vec<PublishResult> {
        self.limits.refuse(count, message).collect()
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
            if !partition.has_waiting() {
                self.waiting.insert(event.number(), number);
            }
            partition.push(event);
            self.limits.wait(bytes);
        }
        if self.next_sweep.is_none_or(|at| until < at) {
            self.next_sweep = Some(until);
            self.is_driver_needed = true;
        }
        publication
    }

    /// Admits events that wait for a place, the oldest first. A partition without events always accepts
    /// one, so that it does not wait for a partition that makes no progress.
    fn admit(&mut self) {
        let mut from = 0;
        while let Some((&first, &number)) = self.waiting.range(from..).next() {
            from = first + 1;
            let Some(partition) = self.partitions.get_mut(&number) else {
                self.waiting.remove(&first);
                continue;
            };
            let next = partition.admit(&mut self.limits);
            if partition.starts() {
                self.to_start.push(number);
            }
            match next {
                Admitted::NoRoom => {}
                Admitted::All => _ = self.waiting.remove(&first),
                Admitted::One { next } => {
                    self.waiting.remove(&first);
                    self.waiting.insert(next, number);
                }
            }
        }
    }

    /// Returns what the task of a partition has to do next.
    pub(super) fn next(&mut self, number: u32, now: Instant) -> Step {
        match self.partitions.get_mut(&number) {
            Some(partition) => partition.next(&mut self.limits, now),
            None => Step::Done,
        }
    }

    /// Handles the answers to the batch of a partition, in its order.
    pub(super) fn settle(
        &mut self,
        number: u32,
        answers: Vec<Result<Position, AttemptError>>,
        now: Instant,
    ) {
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.settle(&mut self.limits, answers, now, &*self.pause);
        }
    }

    /// Handles a task that ended without answers. Schedules another one if the partition has events.
    pub(super) fn restart(&mut self, number: u32, now: Instant) {
        self.settle(number, Vec::new(), now);
        if let Some(partition) = self.partitions.get_mut(&number) {
            partition.is_running = false;
            if partition.starts() {
                self.to_start.push(number);
            }
        }
    }

    /// Fails events whose deadline has passed.
    fn sweep(&mut self, now: Instant) {
        let partitions = self.partitions.values_mut();
        let next = partitions.filter_map(|partition| partition.sweep(&mut self.limits, now));
        self.next_sweep = next.min().map(|at| at.max(now + SWEEP));
    }

    /// Removes the unsent events of a cancelled call.
    pub(super) fn cancel(&mut self, publication: &Publication) {
        for (index, bytes) in publication.cancel() {
            let number = publication.first + index as u64;
            let partition = publication.partitions.get(index);
            let partition = partition.and_then(|number| self.partitions.get(number));
            let has_place = partition.is_some_and(|partition| partition.has_place(number));
            self.limits.cancel(has_place, bytes);
        }
        if self.limits.cancelled > MAX_CANCELLED.max(self.limits.events()) {
            for partition in self.partitions.values_mut() {
                partition.forget_cancelled();
            }
            self.limits.cancelled = 0;
        }
    }

    /// Fails the events of a partition that were certainly not published and are not in flight: its
    /// part of the engine cannot be reached.
    pub(super) fn fail_unsent(&mut self, partition: u32, message: &str) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.fail_unsent(&mut self.limits, message);
        }
    }

    /// Ends all pauses before further attempts.
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
        let is_empty = self.limits.events() == 0;
        self.closing.is_some_and(|end| is_empty || end <= now)
    }

    /// Refuses further events. The driver ends when all are answered, or `drain` is over.
    pub(super) fn close(&mut self, now: Instant, drain: Duration) {
        let end = far(now, drain);
        self.closing = Some(self.closing.map_or(end, |earlier| earlier.min(end)));
        self.is_driver_needed = true;
    }

    /// Fails all remaining events.
    pub(super) fn end(&mut self, now: Instant) {
        self.closing.get_or_insert(now);
        self.is_ended = true;
        for (_, partition) in self.partitions.drain() {
            partition.end(&mut self.limits);
        }
        self.limits.cancelled = 0;
        self.waiting.clear();
        self.to_start.clear();
        self.next_sweep = None;
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns what the last change requires.
    pub(super) fn changed(&mut self, now: Instant) -> Changed {
        self.admit();
        let is_over = !self.is_ended && self.is_over(now);
        let is_driver_needed =
            std::mem::take(&mut self.is_driver_needed) || !self.to_start.is_empty() || is_over;
        Changed {
            publishers: self.limits.take_wakers(),
            is_driver_needed,
            loss: self.limits.take_loss(),
        }
    }

    /// Cancelled events that are still in a queue (count).
    #[cfg(test)]
    pub(super) fn cancelled(&self) -> usize {
        self.limits.cancelled
    }

    pub(super) fn counts(&self) -> PublishCounts {
        self.limits.counts()
    }
}
