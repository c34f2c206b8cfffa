//! The events of one call of `publish`, and their results.
//!
//! Holds the events until they are answered, so that a cancelled call frees their memory. Not here: the
//! order in which events are sent (`queue`).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::PublishError;
use crate::engine::Outgoing;
use crate::{Position, StreamKey};

/// The result of a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The engine has published it, at this position.
    At(Position),
    /// It is queued in this process. The publisher does not wait for the engine.
    Queued,
}

/// The result for one event.
pub type PublishResult = Result<Published, PublishError>;

/// The events of one call, and their results.
pub(super) struct Publication {
    /// The deadline of the publisher.
    pub(super) until: Instant,
    /// The number of its first event among all events that were ever queued. Its other events have the
    /// next numbers.
    pub(super) first: u64,
    /// The partition of each event.
    pub(super) partitions: Vec<u32>,
    /// Whether the publisher does not wait for results.
    pub(super) is_queued: bool,
    answers: Mutex<Answers>,
}

struct Answers {
    slots: Vec<Slot>,
    /// Events without an answer (count).
    missing: usize,
    is_cancelled: bool,
    waker: Option<Waker>,
}

/// The state of an event.
enum Slot {
    /// It waits to be sent, for the first time or again.
    Waiting(Outgoing),
    /// It was sent, and the attempt has not ended.
    UnderWay(Outgoing),
    /// Its publisher has cancelled it.
    Cancelled,
    Answered(PublishResult),
}

impl Publication {
    pub(super) fn new(
        events: Vec<Outgoing>,
        partitions: Vec<u32>,
        first: u64,
        until: Instant,
        is_queued: bool,
    ) -> Arc<Self> {
        let answers = Answers {
            missing: events.len(),
            slots: events.into_iter().map(Slot::Waiting).collect(),
            is_cancelled: false,
            waker: None,
        };
        Arc::new(Self {
            until,
            first,
            partitions,
            is_queued,
            answers: Mutex::new(answers),
        })
    }

    /// Marks an event as sent, and returns it; `None` if it was cancelled.
    pub(super) fn send(&self, index: usize) -> Option<Outgoing> {
        let mut answers = self.answers.lock();
        let slot = answers.slots.get_mut(index)?;
        let Slot::Waiting(event) = slot else {
            return None;
        };
        let event = event.clone();
        *slot = Slot::UnderWay(event.clone());
        Some(event)
    }

    /// Puts an event back after an attempt, to be sent again. Returns `false` if its publisher has
    /// cancelled it.
    pub(super) fn wait_again(&self, index: usize) -> bool {
        let mut answers = self.answers.lock();
        let is_cancelled = answers.is_cancelled;
        let Some(slot) = answers.slots.get_mut(index) else {
            return false;
        };
        match std::mem::replace(slot, Slot::Cancelled) {
            Slot::UnderWay(event) if !is_cancelled => {
                *slot = Slot::Waiting(event);
                true
            }
            Slot::UnderWay(_) => false,
            other => {
                *slot = other;
                false
            }
        }
    }

    /// Whether an event waits to be sent.
    pub(super) fn is_waiting(&self, index: usize) -> bool {
        matches!(self.answers.lock().slots.get(index), Some(Slot::Waiting(_)))
    }

    /// The stream of an event without an answer whose publisher does not wait for results.
    pub(super) fn queued_stream(&self, index: usize) -> Option<StreamKey> {
        if !self.is_queued {
            return None;
        }
        match self.answers.lock().slots.get(index) {
            Some(Slot::Waiting(event) | Slot::UnderWay(event)) => Some(event.stream.clone()),
            _ => None,
        }
    }

    /// Whether the publisher still waits for the result of an event.
    pub(super) fn is_open(&self, index: usize) -> bool {
        let answers = self.answers.lock();
        matches!(
            answers.slots.get(index),
            Some(Slot::Waiting(_) | Slot::UnderWay(_))
        )
    }

    /// Answers an event, unless it was answered or cancelled. Returns whether it was answered now. Adds
    /// the waker of the publisher to `wakers` when all events are answered.
    pub(super) fn answer(
        &self,
        index: usize,
        result: PublishResult,
        wakers: &mut Vec<Waker>,
    ) -> bool {
        let mut answers = self.answers.lock();
        let Some(slot @ (Slot::Waiting(_) | Slot::UnderWay(_))) = answers.slots.get_mut(index)
        else {
            return false;
        };
        *slot = Slot::Answered(result);
        answers.missing -= 1;
        if answers.missing == 0 {
            wakers.extend(answers.waker.take());
        }
        true
    }

    /// Whether an event has no answer yet.
    pub(super) fn is_missing(&self) -> bool {
        self.answers.lock().missing > 0
    }

    /// Cancels the events that wait to be sent, and prevents further attempts for those in flight.
    /// Returns the index and the size (bytes) of each event that was removed.
    pub(super) fn cancel(&self) -> Vec<(usize, usize)> {
        let mut answers = self.answers.lock();
        answers.is_cancelled = true;
        answers.waker = None;
        let mut removed = Vec::new();
        for (index, slot) in answers.slots.iter_mut().enumerate() {
            if let Slot::Waiting(event) = slot {
                removed.push((index, event.envelope.len()));
                *slot = Slot::Cancelled;
            }
        }
        removed
    }

    /// Returns the results when all events have one.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Vec<PublishResult>> {
        let mut answers = self.answers.lock();
        if answers.missing > 0 {
            match &mut answers.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let slots = std::mem::take(&mut answers.slots);
        let results = slots.into_iter().map(|slot| match slot {
            Slot::Answered(result) => result,
            // Unreachable: no result is missing, and no event was cancelled.
            _ => Err(PublishError::Closed),
        });
        Poll::Ready(results.collect())
    }
}
