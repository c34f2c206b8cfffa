//! The events of one partition of the engine: a queue, and one batch in flight.
//!
//! Not here: how partitions share the capacity (`queue`).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{QueueLimits, QueuedEvent};
use crate::Position;
use crate::engine::{AttemptError, Outgoing};

/// Limit of the events of a batch (count).
const MAX_BATCH_EVENTS: usize = 64;
/// Limit of the envelopes of a batch (bytes). A larger event is sent in a batch of its own.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// The shortest pause before an attempt.
const MIN_PAUSE: Duration = Duration::from_millis(1);
/// Why an event without a place was not published.
const NO_ROOM: &str = "there is no room in the queue";

/// The events of one partition of the engine.
#[derive(Default)]
pub(super) struct Partition {
    /// In the order of their numbers.
    queue: VecDeque<QueuedEvent>,
    /// Events before this number have a place; the others wait for room.
    admitted: u64,
    /// The batch that was sent and is not answered.
    in_flight: Vec<QueuedEvent>,
    /// Whether a task sends what is queued.
    pub(super) is_running: bool,
    /// Failed attempts since the last successful one (count).
    failures: u32,
    /// When the next attempt may be made; `None`: now.
    retry_at: Option<Instant>,
    /// Why the last attempt failed.
    reason: String,
}

/// What the task of a partition has to do.
pub(super) enum Step {
    /// Send these events, and pass the answers to [`Partition::settle`].
    Send(Vec<Outgoing>),
    /// Wait until then.
    Wait(Instant),
    /// There is nothing to send.
    Done,
}

/// The result of [`Partition::admit`].
pub(super) enum Admitted {
    NoRoom,
    /// No event waits for a place any more.
    All,
    One {
        /// The number of the event that comes next.
        next: u64,
    },
}

impl Partition {
    /// Whether the event with this number has, or had, a place.
    pub(super) fn has_place(&self, number: u64) -> bool {
        number < self.admitted
    }

    /// Whether there are events that wait for a place.
    pub(super) fn has_waiting(&self) -> bool {
        let last = self.queue.back();
        last.is_some_and(|last| !self.has_place(last.number()))
    }

    /// Adds an event that waits for a place.
    pub(super) fn push(&mut self, event: QueuedEvent) {
        self.queue.push_back(event);
    }

    /// Returns whether a task has to be started for the partition, and marks it as running.
    pub(super) fn starts(&mut self) -> bool {
        let starts = !self.is_running && self.has_work();
        self.is_running |= starts;
        starts
    }

    fn has_work(&self) -> bool {
        let first = self.queue.front();
        first.is_some_and(|first| self.has_place(first.number()))
    }

    /// Admits the next event if there is a place. An empty partition always has one.
    pub(super) fn admit(&mut self, limits: &mut QueueLimits) -> Admitted {
        let has_place = |event: &QueuedEvent| self.has_place(event.number());
        let places = self.queue.partition_point(has_place);
        let Some(event) = self.queue.get(places) else {
            return Admitted::All;
        };
        if event.is_waiting() {
            let is_empty = places == 0 && self.in_flight.is_empty();
            if !is_empty && !limits.has_room(event.bytes) {
                return Admitted::NoRoom;
            }
            limits.admit(event.bytes);
        }
        self.admitted = event.number() + 1;
        match self.queue.get(places + 1) {
            Some(next) => Admitted::One {
                next: next.number(),
            },
            None => Admitted::All,
        }
    }

    /// Returns what the task of the partition has to do next.
    pub(super) fn next(&mut self, limits: &mut QueueLimits, now: Instant) -> Step {
        if let Some(at) = self.retry_at
            && at > now
            && self.has_work()
        {
            return Step::Wait(at);
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < MAX_BATCH_EVENTS
            && self.has_work()
            && let Some(mut event) = self.queue.pop_front()
        {
            if !batch.is_empty() && bytes + event.bytes > MAX_BATCH_BYTES {
                self.queue.push_front(event);
                break;
            }
            if limits.expire(&event, true, now, &self.reason) {
                continue;
            }
            let Some(outgoing) = event.send(now) else {
                limits.forget_cancelled();
                continue;
            };
            bytes += event.bytes;
            batch.push(outgoing);
            self.in_flight.push(event);
        }
        if batch.is_empty() {
            self.is_running = false;
            // Frees the memory of a burst.
            self.queue.shrink_to(MAX_BATCH_EVENTS);
            return Step::Done;
        }
        limits.in_flight += batch.len();
        Step::Send(batch)
    }

    /// Handles the answers to the batch in flight, in its order. A missing answer counts as unknown.
    /// Events that may be tried again return to the front of the queue.
    pub(super) fn settle(
        &mut self,
        limits: &mut QueueLimits,
        answers: Vec<Result<Position, AttemptError>>,
        now: Instant,
        pause: &dyn Fn(u32) -> Duration,
    ) {
        let sent = std::mem::take(&mut self.in_flight);
        limits.in_flight -= sent.len();
        let mut answers = answers.into_iter();
        let mut again = Vec::new();
        let mut is_answered = false;
        for mut event in sent {
            let none = || {
                Err(AttemptError::Unknown(
                    "there is no answer for this event".to_owned(),
                ))
            };
            match answers.next().unwrap_or_else(none) {
                Ok(position) => {
                    is_answered = true;
                    limits.confirm(&event, position);
                }
                Err(error @ AttemptError::Refused(_)) => {
                    is_answered = true;
                    limits.fail(&event, true, false, error.to_string());
                }
                Err(error) => {
                    event.is_unknown |= matches!(error, AttemptError::Unknown(_));
                    self.reason = error.to_string();
                    if !limits.may_repeat(&event, now) {
                        limits.fail(&event, true, false, error.to_string());
                    } else if event.wait_again() {
                        again.push(event);
                    } else {
                        limits.release(true, event.bytes);
                    }
                }
            }
        }
        if again.is_empty() {
            self.try_now();
            return;
        }
        let failures = if is_answered { 0 } else { self.failures };
        self.failures = failures.saturating_add(1);
        self.retry_at = Some(far(now, pause(self.failures).max(MIN_PAUSE)));
        limits.counts.retried += again.len() as u64;
        for event in again.into_iter().rev() {
            self.queue.push_front(event);
        }
    }

    /// Allows the next attempt at once.
    pub(super) fn try_now(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    /// Fails events whose deadline has passed. Returns the next deadline.
    pub(super) fn sweep(&mut self, limits: &mut QueueLimits, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut wait = |until: Instant| next = Some(next.map_or(until, |at| at.min(until)));
        self.queue.retain(|event| {
            if !event.is_waiting() {
                limits.forget_cancelled();
                return false;
            }
            let has_place = event.number() < self.admitted;
            let reason = if has_place { &*self.reason } else { NO_ROOM };
            if limits.expire(event, has_place, now, reason) {
                return false;
            }
            wait(event.publication.until);
            true
        });
        for event in &self.in_flight {
            if event.publication.until <= now {
                limits.fail_in_flight(event, now);
            } else if event.is_open() {
                wait(event.publication.until);
            }
        }
        next
    }

    /// Removes cancelled events from the queue.
    pub(super) fn forget_cancelled(&mut self) {
        self.queue.retain(QueuedEvent::is_waiting);
    }

    /// Fails the queued events that were certainly not published.
    pub(super) fn fail_unsent(&mut self, limits: &mut QueueLimits, message: &str) {
        self.queue.retain(|event| {
            let is_kept = event.is_unknown || !event.is_waiting();
            if !is_kept {
                let has_place = event.number() < self.admitted;
                limits.fail(event, has_place, true, message.to_owned());
            }
            is_kept
        });
    }

    /// Fails all remaining events.
    pub(super) fn end(mut self, limits: &mut QueueLimits) {
        limits.in_flight -= self.in_flight.len();
        for event in &mut self.in_flight {
            event.is_unknown = true;
            let message = "the bus was closed before the engine had answered";
            limits.fail(event, true, false, message.to_owned());
        }
        for event in self.queue.iter().filter(|event| event.is_waiting()) {
            let message = "the bus was closed before the event was published";
            let has_place = self.has_place(event.number());
            limits.fail(event, has_place, false, message.to_owned());
        }
    }
}

/// Returns `now` plus `time`, at most ten years later.
pub(super) fn far(now: Instant, time: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);
    now + time.min(LONGEST)
}
