//! Calls the engine, with one batch in flight for each partition.
//!
//! Each partition with events has a task. Events that are published during a round trip form the next
//! batch.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::options::OnUnavailable;
use super::partition::Step;
use super::shared::Shared;
use crate::Position;
use crate::engine::AttemptError;

/// Sends published events. Publishers receive results only while it runs.
pub struct PublishDriver {
    pub(super) shared: Arc<Shared>,
}

impl PublishDriver {
    /// Runs until the publisher is closed and all events are answered, or the drain is over. Needs a
    /// tokio runtime with time. If the future is dropped earlier, all queued events fail.
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
            // Created before the queue is read, so that no notification after the read is missed.
            let live = shared.live.notified();
            let now = Instant::now();
            match shared.with(|queue| queue.next(self.partition, now)) {
                Step::Send(batch) => {
                    let answers = shared.engine.publish(batch.into()).await;
                    let answers = self.judge(answers);
                    let is_unsent =
                        |answer: &Result<_, _>| matches!(answer, Err(AttemptError::NotSent(_)));
                    let is_unsent = answers.iter().any(is_unsent);
                    let away = is_unsent.then(|| shared.away(self.partition)).flatten();
                    shared.with(|queue| {
                        queue.settle(self.partition, answers, Instant::now());
                        if let Some(why) = away {
                            queue.fail_unsent(self.partition, &why);
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

impl PartitionTask {
    /// Logs that the engine refuses this program. With [`OnUnavailable::Fail`] the refusal is final: a
    /// publisher does not wait for a corrected configuration.
    fn judge(
        &self,
        mut answers: Vec<Result<Position, AttemptError>>,
    ) -> Vec<Result<Position, AttemptError>> {
        let is_final = self.shared.on_unavailable == OnUnavailable::Fail;
        for answer in &mut answers {
            if let Err(AttemptError::Denied(reason)) = answer {
                self.shared.log_denial(reason);
                if is_final {
                    *answer = Err(AttemptError::Refused(std::mem::take(reason)));
                }
            }
        }
        answers
    }
}

impl Drop for PartitionTask {
    fn drop(&mut self) {
        // The engine has panicked. The events in flight may have been published.
        if !self.is_done {
            let now = Instant::now();
            self.shared.with(|queue| queue.restart(self.partition, now));
        }
    }
}
