//! Wake-ups of actors from another thread, batched by worker.
//!
//! Waking an actor from another thread costs a system call when its thread sleeps, and often when
//! it does not. A batch costs one for each worker, which then wakes the actors on its own thread.

use std::sync::Arc;
use std::task::Waker;

use actix::{Addr, Message, Recipient};

use crate::worker::ShardActor;

/// Command: wake actors of one worker, on its own thread.
/// Sender: the host's thread. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WakeActors(pub(crate) Vec<Waker>);

/// A worker whose actors are woken. A clone is a pointer: one of an address makes three allocations.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WokenWorker(Arc<Recipient<WakeActors>>);

impl WokenWorker {
    pub(crate) fn new(shard: &Addr<ShardActor>) -> Self {
        Self(Arc::new(shard.clone().recipient()))
    }
}

/// The wake-up of one actor.
#[must_use]
pub struct Wake {
    pub(crate) waker: Waker,
    pub(crate) worker: WokenWorker,
}

impl Wake {
    /// Wakes this actor alone, at once.
    pub fn now(self) {
        self.waker.wake();
    }
}

/// Wake-ups that are sent together. The actors do not run before [`Self::send`] is called.
#[derive(Default)]
pub struct BatchedWakes {
    by_worker: Vec<(WokenWorker, Vec<Waker>)>,
    count: usize,
}

impl BatchedWakes {
    /// Adds a wake-up.
    pub fn add(&mut self, wake: Wake) {
        self.count += 1;
        // A linear search: there are only as many entries as workers.
        let known = self.by_worker.iter_mut().find(|(w, _)| *w == wake.worker);
        match known {
            Some((_, wakers)) => wakers.push(wake.waker),
            None => self.by_worker.push((wake.worker, vec![wake.waker])),
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
        for (worker, mut wakers) in self.by_worker {
            match wakers.pop() {
                Some(only) if wakers.is_empty() => only.wake(),
                Some(last) => {
                    wakers.push(last);
                    worker.0.do_send(WakeActors(wakers));
                }
                None => {}
            }
        }
    }
}
