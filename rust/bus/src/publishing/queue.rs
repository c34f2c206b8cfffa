//! The events that wait for the engine, in their order, and what is known of each.
//!
//! Has no clock and does no I/O: it is told the time, and what the engine has answered. Not here: who
//! calls the engine (`driver`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::ledger::{Ledger, QueuedEvent};
use super::publication::{Publication, PublishResult, Published};
use super::{Pause, PublishCounts, PublishError, PublishOptions};
use crate::Position;
use crate::engine::{AttemptError, Outgoing};

/// The most events of one batch (count).
pub(super) const MAX_BATCH_EVENTS: usize = 64;
/// What the envelopes of a batch may take (bytes); one event is sent whatever its size.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// How much later than its deadline a publisher may be told, so that many are told at once.
const SWEEP: Duration = Duration::from_millis(5);
/// The shortest pause before an attempt.
const MIN_PAUSE: Duration = Duration::from_millis(1);
/// Why an event was not published that had no place.
const NO_ROOM: &str = "there is no room in the queue";
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

/// The events of one part of the engine.
#[derive(Default)]
struct Partition {
    /// By their numbers.
    queue: VecDeque<QueuedEvent>,
    /// Events before this number have a place; the others wait for room.
    admitted: u64,
    /// The batch that was sent and is not answered.
    in_flight: Vec<QueuedEvent>,
    /// Whether a task sends what is queued.
    is_running: bool,
    /// Attempts that have failed since one did not (count).
    failures: u32,
    /// Nothing is sent before.
    retry_at: Option<Instant>,
    /// Why the last attempt has failed.
    reason: String,
}

/// What is to be done for a partition.
pub(super) enum Step {
    /// Send these, and tell what the engine answers.
    Send(Vec<Outgoing>),
    /// Wait until then.
    Wait(Instant),
    /// There is nothing to send.
    Done,
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
            if partition
                .queue
                .back()
                .is_none_or(|last| partition.has_place(last))
            {
                self.crowded.insert(event.number(), number);
            }
            partition.queue.push_back(event);
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
            let places = partition.places();
            if let Some(event) = partition.queue.get(places) {
                if event.is_waiting() {
                    let is_empty = places == 0 && partition.in_flight.is_empty();
                    if !is_empty && !self.ledger.has_room(event.bytes) {
                        continue;
                    }
                    self.ledger.admit(event.bytes);
                }
                partition.admitted = event.number() + 1;
                if !partition.is_running {
                    partition.is_running = true;
                    self.to_start.push(number);
                }
            }
            self.crowded.remove(&first);
            if let Some(next) = partition.queue.get(places + 1) {
                self.crowded.insert(next.number(), number);
            }
        }
    }

    /// Returns what the task of a partition has to do next.
    pub(super) fn next(&mut self, number: u32, now: Instant) -> Step {
        let Some(partition) = self.partitions.get_mut(&number) else {
            return Step::Done;
        };
        if let Some(at) = partition.retry_at
            && at > now
            && partition.has_work()
        {
            return Step::Wait(at);
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < MAX_BATCH_EVENTS
            && partition.has_work()
            && let Some(mut event) = partition.queue.pop_front()
        {
            if !batch.is_empty() && bytes + event.bytes > MAX_BATCH_BYTES {
                partition.queue.push_front(event);
                break;
            }
            if self.ledger.expire(&event, true, now, &partition.reason) {
                continue;
            }
            let Some(outgoing) = event.send(now) else {
                self.ledger.forget_cancelled();
                continue;
            };
            bytes += event.bytes;
            batch.push(outgoing);
            partition.in_flight.push(event);
        }
        if batch.is_empty() {
            partition.is_running = false;
            // Room for a burst is not kept by each partition.
            partition.queue.shrink_to(MAX_BATCH_EVENTS);
            return Step::Done;
        }
        self.ledger.in_flight += batch.len();
        Step::Send(batch)
    }

    /// Takes the answers to the batch under way, in its order. What may be tried again comes before
    /// all that is queued.
    pub(super) fn settle(
        &mut self,
        number: u32,
        answers: Vec<Result<Position, AttemptError>>,
        now: Instant,
    ) {
        let Some(partition) = self.partitions.get_mut(&number) else {
            return;
        };
        let sent = std::mem::take(&mut partition.in_flight);
        self.ledger.in_flight -= sent.len();
        let mut answers = answers.into_iter();
        let mut again = Vec::new();
        let mut is_answered = false;
        for mut event in sent {
            let none = || {
                Err(AttemptError::Unknown(
                    "it has no answer for this event".into(),
                ))
            };
            match answers.next().unwrap_or_else(none) {
                Ok(position) => {
                    is_answered = true;
                    self.ledger.confirm(&event, position);
                }
                Err(error @ AttemptError::Refused(_)) => {
                    is_answered = true;
                    self.ledger.fail(&event, true, false, error.to_string());
                }
                Err(error) => {
                    event.is_unknown |= matches!(error, AttemptError::Unknown(_));
                    partition.reason = error.to_string();
                    if !self.ledger.may_repeat(&event, now) {
                        self.ledger.fail(&event, true, false, error.to_string());
                    } else if event.wait_again() {
                        again.push(event);
                    } else {
                        self.ledger.release(true, event.bytes);
                    }
                }
            }
        }
        if again.is_empty() {
            partition.failures = 0;
            partition.retry_at = None;
            return;
        }
        let failures = if is_answered { 0 } else { partition.failures };
        partition.failures = failures.saturating_add(1);
        let pause = (self.pause)(partition.failures).max(MIN_PAUSE);
        partition.retry_at = Some(far(now, pause));
        self.ledger.counts.retried += again.len() as u64;
        for event in again.into_iter().rev() {
            partition.queue.push_front(event);
        }
    }

    /// The task of a partition has ended, whatever the reason: another one is started if there is
    /// something to send.
    pub(super) fn restart(&mut self, number: u32, now: Instant) {
        self.settle(number, Vec::new(), now);
        let Some(partition) = self.partitions.get_mut(&number) else {
            return;
        };
        partition.is_running = partition.has_work();
        if partition.is_running {
            self.to_start.push(number);
        }
    }

    /// Tells publishers that have waited long enough.
    fn sweep(&mut self, now: Instant) {
        let ledger = &mut self.ledger;
        let mut next: Option<Instant> = None;
        let mut wait = |until: Instant| next = Some(next.map_or(until, |at| at.min(until)));
        for partition in self.partitions.values_mut() {
            let Partition {
                queue,
                admitted,
                reason,
                ..
            } = partition;
            queue.retain(|event| {
                if !event.is_waiting() {
                    ledger.forget_cancelled();
                    return false;
                }
                let has_place = event.number() < *admitted;
                let reason = if has_place { &**reason } else { NO_ROOM };
                if ledger.expire(event, has_place, now, reason) {
                    return false;
                }
                wait(event.publication.until);
                true
            });
        }
        for event in self
            .partitions
            .values()
            .flat_map(|partition| &partition.in_flight)
        {
            if event.publication.until <= now {
                ledger.tell_unknown(event, now);
            } else if event.is_open() {
                wait(event.publication.until);
            }
        }
        self.next_sweep = next.map(|at| at.max(now + SWEEP));
    }

    /// Removes what a publisher does not want any more and was not sent.
    pub(super) fn cancel(&mut self, publication: &Publication) {
        for (index, bytes) in publication.cancel() {
            let number = publication.first + index as u64;
            let partition = publication.partitions.get(index);
            let partition = partition.and_then(|number| self.partitions.get(number));
            let has_place = partition.is_some_and(|partition| number < partition.admitted);
            self.ledger.cancel(has_place, bytes);
        }
        if self.ledger.cancelled > MAX_CANCELLED.max(self.ledger.events()) {
            for Partition { queue, .. } in self.partitions.values_mut() {
                queue.retain(QueuedEvent::is_waiting);
            }
            self.ledger.cancelled = 0;
        }
    }

    /// Fails what was certainly not published and is not under way, as the engine cannot be reached.
    pub(super) fn fail_unsent(&mut self, message: &str) {
        let ledger = &mut self.ledger;
        for Partition {
            queue, admitted, ..
        } in self.partitions.values_mut()
        {
            queue.retain(|event| {
                let is_kept = event.is_unknown || !event.is_waiting();
                if !is_kept {
                    let has_place = event.number() < *admitted;
                    ledger.fail(event, has_place, true, message.to_owned());
                }
                is_kept
            });
        }
    }

    /// Ends all pauses.
    pub(super) fn try_now(&mut self) {
        for partition in self.partitions.values_mut() {
            partition.failures = 0;
            partition.retry_at = None;
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
        let ledger = &mut self.ledger;
        for (_, mut partition) in self.partitions.drain() {
            ledger.in_flight -= partition.in_flight.len();
            for event in &mut partition.in_flight {
                event.is_unknown = true;
                let message = "the bus was closed before the engine had answered";
                ledger.fail(event, true, false, message.to_owned());
            }
            for event in partition.queue.iter().filter(|event| event.is_waiting()) {
                let message = "the bus was closed before the event was published";
                ledger.fail(event, partition.has_place(event), false, message.to_owned());
            }
        }
        ledger.cancelled = 0;
        self.crowded.clear();
        self.to_start.clear();
        self.next_sweep = None;
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns the publishers to wake and whether to wake the driver, after anything has changed.
    pub(super) fn changed(&mut self, now: Instant) -> (Vec<Waker>, bool) {
        self.admit();
        let is_over = !self.is_ended && self.is_over(now);
        let is_driver_needed =
            std::mem::take(&mut self.is_driver_needed) || !self.to_start.is_empty() || is_over;
        (self.ledger.take_wakers(), is_driver_needed)
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

impl Partition {
    fn has_place(&self, event: &QueuedEvent) -> bool {
        event.number() < self.admitted
    }

    /// How many events of the queue have a place.
    fn places(&self) -> usize {
        self.queue.partition_point(|event| self.has_place(event))
    }

    /// Whether there is something to send.
    fn has_work(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|event| self.has_place(event))
    }
}

/// A moment that is so much later; the farthest that there is if it is too far.
fn far(now: Instant, time: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);
    now + time.min(LONGEST)
}
