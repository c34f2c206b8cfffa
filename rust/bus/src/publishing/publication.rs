//! What one call of publish is told: an answer for each of its events.
//!
//! Holds the events until they are answered, so that they go when the call is cancelled. Not here:
//! the order in which events are sent (`queue`).

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::PublishError;
use crate::engine::Outgoing;
use crate::{Position, StreamKey};

/// What has become of a published event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The engine has it, there.
    At(Position),
    /// It is queued here; the engine is not waited for.
    Queued,
}

/// What a publisher is told of one event.
pub type PublishResult = Result<Published, PublishError>;

/// The events of one call, and what is known of them.
pub(super) struct Publication {
    /// When its publisher does not wait any more.
    pub(super) until: Instant,
    /// The number of its first event among all that were queued; the others follow.
    pub(super) first: u64,
    /// The partition of each event.
    pub(super) partitions: Vec<u32>,
    /// Whether its publisher does not wait at all.
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

/// Where an event is.
enum Slot {
    /// It waits to be sent, for the first time or again.
    Waiting(Outgoing),
    /// It was sent, and the attempt has not ended.
    UnderWay(Outgoing),
    /// Its publisher does not want it any more.
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

    /// Takes an event to be sent; `None` when it was cancelled.
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

    /// Has an event wait to be sent again, after an attempt; `false` when its publisher does not wait for it any more.
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

    /// The stream of an event without an answer whose publisher does not wait for it.
    pub(super) fn queued_stream(&self, index: usize) -> Option<StreamKey> {
        if !self.is_queued {
            return None;
        }
        match self.answers.lock().slots.get(index) {
            Some(Slot::Waiting(event) | Slot::UnderWay(event)) => Some(event.stream.clone()),
            _ => None,
        }
    }

    /// Whether the publisher waits for what becomes of an event.
    pub(super) fn is_open(&self, index: usize) -> bool {
        let answers = self.answers.lock();
        matches!(
            answers.slots.get(index),
            Some(Slot::Waiting(_) | Slot::UnderWay(_))
        )
    }

    /// Answers an event, unless it was answered before or cancelled; returns whether it was answered
    /// now. The one to wake is added when nothing is missing any more.
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

    /// Cancels what waits to be sent; what is under way is not tried again. Returns the index and the
    /// size (bytes) of each event that was removed.
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

    /// Returns the answers when there is one for each event.
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
            // Not reached: nothing is missing, and nothing was cancelled.
            _ => Err(PublishError::Closed),
        });
        Poll::Ready(results.collect())
    }
}
