//! Runs work that would block a worker on another thread, one job at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Jobs that may wait or run (count). Each has a request of up to `max_message_bytes`.
const MAX_WAITING: usize = 64;

/// Runs one job after the other. A job whose result is no longer awaited is dropped, unless it has
/// begun.
#[derive(Debug)]
pub(crate) struct Background {
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// Too many jobs are waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

impl Default for Background {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Background {
    /// Waits for its turn, then runs the job on another thread. If the future is dropped before,
    /// the job does not run.
    ///
    /// # Errors
    ///
    /// [`Busy`]: the job was not run.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Busy)?;
        // The semaphore is never closed.
        let turn = self.turn.clone().acquire_owned().await.map_err(|_| Busy)?;
        // The permits are released when the job ends, not when its caller stops waiting.
        let held: [OwnedSemaphorePermit; 2] = [place, turn];
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(held);
            result
        });
        // The job neither panics nor is cancelled.
        done.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use futures_util::future::{join_all, poll_immediate};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn past_what_may_wait_it_is_busy_and_recovers() {
        let background = Background::default();
        let turn = background.turn.acquire().await.unwrap();
        let works = join_all((0..=MAX_WAITING).map(|_| background.run(|| ())));
        let release = async { drop(turn) };
        let (done, ()) = tokio::join!(works, release);
        assert_eq!(done.iter().filter(|done| done.is_err()).count(), 1);
        assert_eq!(background.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_is_given_up_is_not_counted() {
        let background = Background::default();
        let turn = background.turn.acquire().await.unwrap();
        for _ in 0..2 * MAX_WAITING {
            let work = background.run(|| ());
            assert!(poll_immediate(work).await.is_none());
        }
        drop(turn);
        assert_eq!(background.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_has_begun_keeps_its_turn_when_it_is_given_up() {
        let background = Background::default();
        let (begin, begun) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let mut work = Box::pin(background.run(move || {
            begin.send(()).ok();
            released.recv().ok();
        }));
        assert!(poll_immediate(&mut work).await.is_none());
        begun.await.unwrap();
        drop(work);
        let mut next = Box::pin(background.run(|| 7));
        assert!(poll_immediate(&mut next).await.is_none());
        assert_eq!(background.turn.available_permits(), 0);
        release.send(()).unwrap();
        assert_eq!(next.await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_is_given_up_while_it_waits_is_not_done() {
        let background = Background::default();
        let turn = background.turn.clone().acquire_owned().await.unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = is_done.clone();
        let work = background.run(move || done.store(true, Relaxed));
        assert!(poll_immediate(work).await.is_none());
        drop(turn);
        // Would run after the dropped job, if that still existed.
        assert_eq!(background.run(|| 7).await, Ok(7));
        assert!(!is_done.load(Relaxed));
    }
}
