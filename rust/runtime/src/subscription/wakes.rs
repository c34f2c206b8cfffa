//! Wake-ups of actors that another thread has something for, gathered by the thread they are on.
//!
//! Waking an actor from another thread is a system call whenever its thread sleeps, and often
//! when it does not. Gathered wake-ups cost one for each thread; there the actors wake locally.

use std::task::Waker;

use actix::{Message, Recipient};

/// Command: wake actors of one worker, on its own thread.
/// Sender: the host's thread, which sends the next ones when these are under way. Reply: `()`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WakeActors(pub(crate) Vec<Waker>);

/// The wake-up of one actor.
#[must_use]
pub struct Wake {
    pub(crate) waker: Waker,
    pub(crate) worker: Recipient<WakeActors>,
}

impl Wake {
    /// Wakes this actor alone, at once.
    pub fn now(self) {
        self.waker.wake();
    }
}

/// Wake-ups that wait for each other. Whoever gathers them has to send them soon.
#[derive(Default)]
pub struct BatchedWakes {
    by_worker: Vec<(Recipient<WakeActors>, Vec<Waker>)>,
    count: usize,
}

impl BatchedWakes {
    /// Adds one.
    pub fn add(&mut self, wake: Wake) {
        self.count += 1;
        // There are as many as workers: a handful.
        let known = self.by_worker.iter_mut().find(|(w, _)| *w == wake.worker);
        match known {
            Some((_, wakers)) => wakers.push(wake.waker),
            None => self.by_worker.push((wake.worker, vec![wake.waker])),
        }
    }

    /// How many wait (a count).
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Wakes all of them. The actors of a worker that has ended are gone, too.
    pub fn send(self) {
        for (worker, mut wakers) in self.by_worker {
            match wakers.pop() {
                Some(only) if wakers.is_empty() => only.wake(),
                Some(last) => {
                    wakers.push(last);
                    worker.do_send(WakeActors(wakers));
                }
                None => {}
            }
        }
    }
}
