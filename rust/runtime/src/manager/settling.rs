//! For tests with time that is advanced: whether what was begun has been passed on.

use tokio::sync::oneshot;

use super::runtime::Runtime;
use crate::worker::RunOnWorker;

/// Rounds through all shards until the events that were published before are delivered (count).
const ROUNDS: usize = 1000;

impl Runtime {
    /// Waits until the shards have done what was sent to them before, and have delivered the events that
    /// were published. Returns a number that changes with each event, call and result.
    pub async fn settle(&self) -> u64 {
        for _ in 0..ROUNDS {
            for shard in self.shards.live() {
                let (done, is_done) = oneshot::channel::<()>();
                shard.do_send(RunOnWorker(Box::new(move |_| {
                    // After the first step of the actors that were started before.
                    actix::spawn(async move { drop(done) });
                })));
                // Also when the worker has ended.
                is_done.await.ok();
            }
            if self.state().intake.is_empty() && !self.broadcaster.is_busy() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let counted = self.state().snapshot();
        [
            counted.events_accepted,
            counted.events_published,
            counted.events_matched,
            counted.resolver_calls,
            counted.resolver_errors,
            counted.results_sent,
        ]
        .into_iter()
        .fold(0, u64::wrapping_add)
    }
}
