//! Wake-ups of actors from another thread, batched by worker.
//!
//! Waking an actor from another thread costs a system call when its thread sleeps, and often when
//! it does not. A batch costs one for each worker, which then passes on what the lanes have.

use std::sync::Arc;

use actix::{Message, Recipient};

use super::lane::Lane;

/// Command: pass on the outcomes of lanes of one worker, on its own thread.
/// Sender: the host's thread. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PassOn(pub(crate) Vec<Arc<Lane>>);

/// A worker that is told of outcomes. A clone is a pointer: one of an address makes three allocations.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WokenWorker(Arc<Recipient<PassOn>>);

impl WokenWorker {
    pub(crate) fn new(address: Recipient<PassOn>) -> Self {
        Self(Arc::new(address))
    }
}

/// The wake-up for the outcomes of one lane.
#[must_use]
pub struct Wake(pub(crate) Arc<Lane>);

impl Wake {
    /// Wakes the actor of this lane alone, at once.
    pub fn now(self) {
        self.0.wake_actor();
    }
}

/// Wake-ups that are sent together. The outcomes are not passed on before [`Self::send`] is called.
#[derive(Default)]
pub struct BatchedWakes {
    by_worker: Vec<(WokenWorker, Vec<Arc<Lane>>)>,
    count: usize,
}

impl BatchedWakes {
    /// Adds a wake-up.
    pub fn add(&mut self, Wake(lane): Wake) {
        self.count += 1;
        // A linear search: there are only as many entries as workers.
        let known = self.by_worker.iter_mut().find(|(w, _)| w == lane.worker());
        match known {
            Some((_, lanes)) => lanes.push(lane),
            None => self.by_worker.push((lane.worker().clone(), vec![lane])),
        }
    }

    /// Wake-ups that were added (a count).
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no wake-up was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sends all wake-ups. Those for a worker that has ended are dropped: its actors have ended
    /// too.
    pub fn send(self) {
        for (worker, lanes) in self.by_worker {
            worker.0.do_send(PassOn(lanes));
        }
    }
}
