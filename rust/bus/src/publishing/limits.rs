//! Counts queued events, limits them, and answers them.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::counts::PublishCounts;
use super::error::{Outcome, PublishError};
use super::loss::{Loss, LossLog};
use super::options::PublishOptions;
use super::publication::{Publication, PublishResult, Published};
use crate::Position;
use crate::engine::Outgoing;

/// Longer than any program runs.
const ALWAYS: Duration = Duration::from_hours(10 * 365 * 24);

/// One event that waits for the engine.
pub(super) struct QueuedEvent {
    pub(super) publication: Arc<Publication>,
    index: usize,
    pub(super) bytes: usize,
    first_sent: Option<Instant>,
    /// Whether an attempt had no answer: the event may have been published.
    pub(super) is_unknown: bool,
}

/// A number of events, and the size of their envelopes (bytes).
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    events: usize,
    bytes: usize,
}

/// Counts queued events, and enforces the limits of the queue.
pub(super) struct QueueLimits {
    max_events: usize,
    max_bytes: usize,
    /// How long after its first attempt an event without an answer may be sent again; `None`: it may
    /// not.
    repeat_within: Option<Duration>,
    /// Admitted events: they have a place in the queue.
    held: Size,
    /// Events that wait for a place.
    waiting: Size,
    /// Cancelled events that are still in a queue (count).
    pub(super) cancelled: usize,
    pub(super) in_flight: usize,
    pub(super) counts: PublishCounts,
    losses: LossLog,
    wakers: Vec<Waker>,
}

impl QueuedEvent {
    pub(super) fn new(publication: Arc<Publication>, index: usize, bytes: usize) -> Self {
        Self {
            publication,
            index,
            bytes,
            first_sent: None,
            is_unknown: false,
        }
    }

    /// The number of the event among all events that were ever queued.
    pub(super) fn number(&self) -> u64 {
        self.publication.first + self.index as u64
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.publication.is_waiting(self.index)
    }

    pub(super) fn is_open(&self) -> bool {
        self.publication.is_open(self.index)
    }

    pub(super) fn wait_again(&self) -> bool {
        self.publication.wait_again(self.index)
    }

    pub(super) fn send(&mut self, now: Instant) -> Option<Outgoing> {
        let event = self.publication.send(self.index)?;
        self.first_sent.get_or_insert(now);
        Some(event)
    }
}

impl Size {
    fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.events -= 1;
        self.bytes -= bytes;
    }
}

impl QueueLimits {
    pub(super) fn new(options: &PublishOptions, idempotency: Option<Duration>) -> Self {
        // Half of the window, for two reasons: the window of the engine begins when it first receives
        // the id, which this program cannot know, and a repeated event takes time to arrive.
        let repeat_within = match idempotency {
            Some(_) if options.repeats_always => Some(ALWAYS),
            window => window.map(|window| window / 2),
        };
        Self {
            max_events: options.max_events,
            max_bytes: options.max_bytes,
            repeat_within,
            held: Size::default(),
            waiting: Size::default(),
            cancelled: 0,
            in_flight: 0,
            counts: PublishCounts::default(),
            losses: LossLog::default(),
            wakers: Vec::new(),
        }
    }

    fn fits(&self, held: Size, bytes: usize) -> bool {
        held.events < self.max_events && held.bytes + bytes <= self.max_bytes
    }

    /// Whether there is room for one more event.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.fits(self.held, bytes)
    }

    /// How many of these events fit, in addition to all that are admitted or waiting.
    pub(super) fn fitting(&self, sizes: impl Iterator<Item = usize>) -> usize {
        let mut held = Size {
            events: self.held.events + self.waiting.events,
            bytes: self.held.bytes + self.waiting.bytes,
        };
        let fits = |bytes: &usize| {
            let fits = held.events == 0 || self.fits(held, *bytes);
            held.add(*bytes);
            fits
        };
        sizes.take_while(fits).count()
    }

    /// Events without an answer (count).
    pub(super) fn events(&self) -> usize {
        self.held.events + self.waiting.events
    }

    pub(super) fn counts(&self) -> PublishCounts {
        PublishCounts {
            queue_events: self.held.events,
            queue_bytes: self.held.bytes,
            waiting_events: self.waiting.events,
            in_flight: self.in_flight,
            ..self.counts
        }
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    pub(super) fn take_loss(&mut self) -> Option<Loss> {
        self.losses.take()
    }

    /// Counts an event that waits for a place.
    pub(super) fn wait(&mut self, bytes: usize) {
        self.waiting.add(bytes);
    }

    /// Moves an event from the waiting to the admitted ones.
    pub(super) fn admit(&mut self, bytes: usize) {
        self.waiting.remove(bytes);
        self.held.add(bytes);
    }

    /// Removes an event from the counts.
    pub(super) fn release(&mut self, has_place: bool, bytes: usize) {
        if has_place {
            self.held.remove(bytes);
        } else {
            self.waiting.remove(bytes);
        }
    }

    /// Whether an event may be sent again without being published twice.
    pub(super) fn may_repeat(&self, event: &QueuedEvent, now: Instant) -> bool {
        !event.is_unknown || self.is_known(event, now)
    }

    /// Whether the engine still recognizes the id of an event that may have been published.
    fn is_known(&self, event: &QueuedEvent, now: Instant) -> bool {
        let Some(within) = self.repeat_within else {
            return false;
        };
        event.first_sent.is_some_and(|sent| now < sent + within)
    }

    /// Answers an event that the engine has confirmed.
    pub(super) fn confirm(&mut self, event: &QueuedEvent, position: Position) {
        self.release(true, event.bytes);
        self.counts.published += 1;
        let answer = Ok(Published::At(position));
        event
            .publication
            .answer(event.index, answer, &mut self.wakers);
    }

    /// Answers an event that is not tried again.
    pub(super) fn fail(
        &mut self,
        event: &QueuedEvent,
        has_place: bool,
        is_retryable: bool,
        message: String,
    ) {
        self.release(has_place, event.bytes);
        let outcome = if event.is_unknown {
            Outcome::Unknown
        } else {
            Outcome::NotSent
        };
        self.answer_failure(event, outcome, is_retryable, message);
    }

    /// Fails an event whose deadline has passed, or that may not be sent again. Returns whether it
    /// failed.
    pub(super) fn expire(
        &mut self,
        event: &QueuedEvent,
        has_place: bool,
        now: Instant,
        reason: &str,
    ) -> bool {
        let may_repeat = self.may_repeat(event, now);
        if !event.is_waiting() || (now < event.publication.until && may_repeat) {
            return false;
        }
        let message = match reason {
            "" => "the event was not published in time".to_owned(),
            reason => format!("the event was not published in time: {reason}"),
        };
        self.fail(event, has_place, may_repeat, message);
        true
    }

    /// Fails the event in flight for its publisher, as its deadline has passed. The event itself
    /// remains in flight.
    pub(super) fn fail_in_flight(&mut self, event: &QueuedEvent, now: Instant) {
        let message = "the engine has not answered in time".to_owned();
        let is_retryable = self.is_known(event, now);
        self.answer_failure(event, Outcome::Unknown, is_retryable, message);
    }

    fn answer_failure(
        &mut self,
        event: &QueuedEvent,
        outcome: Outcome,
        is_retryable: bool,
        message: String,
    ) {
        let publication = &event.publication;
        // Read first: the answer removes the event.
        let queued = publication.queued_stream(event.index);
        let lost = queued.map(|stream| (stream, message.clone()));
        let error = PublishError::Failed {
            outcome,
            is_retryable,
            message,
        };
        if publication.answer(event.index, Err(error), &mut self.wakers) {
            if let Some((stream, reason)) = lost {
                self.counts.lost += 1;
                self.losses.note(stream, &reason);
            }
            match outcome {
                Outcome::NotSent => self.counts.failed_not_sent += 1,
                Outcome::Unknown => self.counts.failed_unknown += 1,
            }
        }
    }

    /// Counts and answers events that were never queued.
    pub(super) fn refuse(
        &mut self,
        count: usize,
        message: &str,
    ) -> impl Iterator<Item = PublishResult> + use<> {
        self.counts.failed_not_sent += count as u64;
        let error = PublishError::Failed {
            outcome: Outcome::NotSent,
            is_retryable: true,
            message: message.to_owned(),
        };
        std::iter::repeat_n(Err(error), count)
    }

    /// Frees the place of a cancelled event that was not in flight. It remains in its queue.
    pub(super) fn cancel(&mut self, has_place: bool, bytes: usize) {
        self.release(has_place, bytes);
        self.cancelled += 1;
        self.counts.cancelled += 1;
    }

    /// Counts a cancelled event that has left its queue.
    pub(super) fn forget_cancelled(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }
}
