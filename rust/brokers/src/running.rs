//! What closing an engine waits for: its tasks, and its calls in flight.
//!
//! Not here: what the tasks and the calls do, which differs between engines.

use std::time::Duration;

use bus::Position;
use bus::engine::{AttemptError, Pending};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

type Attempt = Result<Position, AttemptError>;

/// Counts the calls in flight; `None` after the engine was closed.
#[derive(Clone)]
pub(crate) struct InFlight(watch::Sender<Option<usize>>);

/// A call in flight. It ends when this is dropped.
pub(crate) struct Call(InFlight);

/// Tasks that are aborted when this is dropped.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Vec<JoinHandle<()>>>);

impl Default for InFlight {
    fn default() -> Self {
        Self(watch::Sender::new(Some(0)))
    }
}

impl InFlight {
    /// Publishes events as a call in flight. Refuses them if the engine is closed.
    pub(crate) fn publish(
        &self,
        events: usize,
        work: impl Future<Output = Vec<Attempt>> + Send + 'static,
    ) -> Pending<Vec<Attempt>> {
        let Some(call) = self.enter() else {
            let closed = AttemptError::NotSent("the engine is closed".to_owned());
            return Box::pin(async move { vec![Err(closed); events] });
        };
        Box::pin(async move {
            let _call = call;
            work.await
        })
    }

    /// Starts a call; `None` if the engine is closed.
    pub(crate) fn enter(&self) -> Option<Call> {
        let is_open = self.0.send_if_modified(|count| {
            if let Some(count) = count {
                *count += 1;
                return true;
            }
            false
        });
        is_open.then(|| Call(self.clone()))
    }

    /// Waits until no call is in flight, at most `drain`. Later calls are refused.
    pub(crate) async fn close(&self, drain: Duration) {
        let mut count = self.0.subscribe();
        let drained = count.wait_for(|count| count.is_none_or(|count| count == 0));
        let _ = tokio::time::timeout(drain, drained).await.map(drop);
        self.0.send_replace(None);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|count| match count {
            Some(count) => {
                *count -= 1;
                *count == 0
            }
            None => false,
        });
    }
}

impl Tasks {
    pub(crate) fn add(&self, task: JoinHandle<()>) {
        self.0.lock().push(task);
    }

    /// Takes all tasks.
    pub(crate) fn take(&self) -> Self {
        Self(Mutex::new(std::mem::take(&mut *self.0.lock())))
    }

    /// Aborts all tasks, and waits until they have ended.
    pub(crate) async fn end(self) {
        let ended = std::mem::take(&mut *self.0.lock());
        for task in &ended {
            task.abort();
        }
        for task in ended {
            let _ = task.await;
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in self.0.get_mut().drain(..) {
            task.abort();
        }
    }
}
