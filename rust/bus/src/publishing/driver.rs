//! Calls the engine: one batch under way for each partition.
//!
//! Each partition with events has a task. What is published during a round trip is the next batch.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::partition::Step;
use super::shared::{AWAY, Shared};
use crate::engine::AttemptError;

/// Sends what is published. Publishers are answered only while it runs.
pub struct PublishDriver {
    pub(super) shared: Arc<Shared>,
}

impl PublishDriver {
    /// Runs until the publisher is closed and what was left is answered, or the drain is over. Needs a
    /// tokio runtime with time. When it is dropped before, all that is queued fails.
    pub async fn run(self) {
        let mut tasks = JoinSet::new();
        loop {
            let turn = self.shared.with(|queue| queue.turn(Instant::now()));
            for partition in turn.starts {
                let shared = self.shared.clone();
                let _ = tasks.spawn(PartitionTask::new(shared, partition).run());
            }
            while tasks.try_join_next().is_some() {}
            if turn.is_over {
                return;
            }
            let changed = self.shared.changed.notified();
            match turn.wake_at {
                Some(at) => _ = timeout_at(at, changed).await,
                None => changed.await,
            }
        }
    }
}

impl Drop for PublishDriver {
    fn drop(&mut self) {
        self.shared.with(|queue| queue.end(Instant::now()));
        self.shared.ended.notify_waiters();
    }
}

/// Sends the events of one partition until none is left.
struct PartitionTask {
    shared: Arc<Shared>,
    partition: u32,
    is_done: bool,
}

impl PartitionTask {
    fn new(shared: Arc<Shared>, partition: u32) -> Self {
        Self {
            shared,
            partition,
            is_done: false,
        }
    }

    async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            // Before the look at the queue: it hears of what happens from here on.
            let live = shared.live.notified();
            let now = Instant::now();
            match shared.with(|queue| queue.next(self.partition, now)) {
                Step::Send(batch) => {
                    let answers = shared.engine.publish(batch.into()).await;
                    let is_unsent =
                        |answer: &Result<_, _>| matches!(answer, Err(AttemptError::NotSent(_)));
                    let is_away = answers.iter().any(is_unsent) && shared.fails_now();
                    shared.with(|queue| {
                        queue.settle(self.partition, answers, Instant::now());
                        if is_away {
                            queue.fail_unsent(AWAY);
                        }
                    });
                }
                Step::Wait(until) => _ = timeout_at(until, live).await,
                Step::Done => {
                    self.is_done = true;
                    return;
                }
            }
        }
    }
}

impl Drop for PartitionTask {
    fn drop(&mut self) {
        // The engine has panicked. What was under way may have been published.
        if !self.is_done {
            let now = Instant::now();
            self.shared.with(|queue| queue.restart(self.partition, now));
        }
    }
}
