//! The way of a result from its lane to the sink of its subscription, without a turn of the actor.
//!
//! Most outcomes are the response to an event, and concern the sink alone. A worker that is told of them passes them on
//! itself; all others are left to the actor (`actor`). Order stays: both take from the front of the lane, on one
//! thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bus::LocalPosition;
use hashbrown::HashMap;

use super::call::Outcome;
use super::lane::Lane;
use super::sink::ResponseSink;

/// Up to where outcomes are taken only while the sink has room.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// A sequence.
    to: Cell<u64>,
    /// The sequence of the last outcome.
    passed: Cell<u64>,
}

impl Gate {
    /// Outcomes up to this sequence wait for room.
    pub(super) fn set(&self, to: u64) {
        self.to.set(to);
    }

    /// Notes that an outcome was taken.
    pub(super) fn pass(&self, at: LocalPosition) {
        self.passed.set(at.sequence);
    }

    /// Whether the next outcome does not wait for room.
    pub(super) fn is_open(&self) -> bool {
        self.passed.get() >= self.to.get()
    }
}

/// The way from one lane to its sink.
struct Passage {
    sink: Rc<dyn ResponseSink>,
    gate: Rc<Gate>,
    /// Whether responses concern the sink alone.
    is_open: Cell<bool>,
}

/// The lanes of one worker, by their addresses.
#[derive(Default)]
pub(crate) struct Passages(RefCell<HashMap<*const Lane, Rc<Passage>>>);

impl Passages {
    /// Sends what a lane has to its sink, or wakes its actor.
    pub(crate) fn pass_on(&self, lane: &Arc<Lane>) {
        let passage = self.0.borrow().get(&Arc::as_ptr(lane)).cloned();
        let is_open = |passage: &Rc<Passage>| passage.is_open.get() && passage.gate.is_open();
        match passage.filter(is_open) {
            // A sink may end the subscription: the table is not borrowed while it runs.
            Some(passage) => lane.take_responses(|outcome, at| {
                if let Outcome::Response(response) | Outcome::Failed(response) = outcome {
                    passage.sink.next_of(&response, at);
                }
            }),
            None => lane.wake_actor(),
        }
    }
}

/// Keeps the passage of a lane until it is dropped.
pub(super) struct OpenPassage {
    passages: Rc<Passages>,
    /// Held, so that no other lane gets its address.
    lane: Arc<Lane>,
    passage: Rc<Passage>,
}

impl OpenPassage {
    /// Adds a lane, closed at first.
    pub(super) fn new(
        passages: &Rc<Passages>,
        lane: &Arc<Lane>,
        sink: &Rc<dyn ResponseSink>,
        gate: &Rc<Gate>,
    ) -> Self {
        let passage = Rc::new(Passage {
            sink: sink.clone(),
            gate: gate.clone(),
            is_open: Cell::new(false),
        });
        let mut table = passages.0.borrow_mut();
        table.insert(Arc::as_ptr(lane), passage.clone());
        Self {
            passages: passages.clone(),
            lane: lane.clone(),
            passage,
        }
    }

    /// Says whether responses concern the sink alone from now on.
    pub(super) fn open(&self, is_open: bool) {
        self.passage.is_open.set(is_open);
    }
}

impl Drop for OpenPassage {
    fn drop(&mut self) {
        let mut table = self.passages.0.borrow_mut();
        table.remove(&Arc::as_ptr(&self.lane));
    }
}
