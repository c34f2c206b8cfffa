//! Work that would hold up a worker: done by a thread of its own, one piece at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Pieces of work that may wait (count). Each holds a request of up to `max_message_bytes`.
const MAX_WAITING: usize = 64;

/// Does one piece of work after the other.
#[derive(Debug)]
pub(crate) struct Background {
    turn: Semaphore,
    waiting: AtomicUsize,
}

/// Too much is waiting already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

impl Default for Background {
    fn default() -> Self {
        Self {
            turn: Semaphore::new(1),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Background {
    /// Waits for its turn, and does the work on another thread.
    ///
    /// # Errors
    ///
    /// [`Busy`]: the work was not done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let Some(_waiting) = Waiting::new(&self.waiting) else {
            return Err(Busy);
        };
        // Neither is it ever closed, nor is the work cancelled, nor does it panic.
        let _turn = self.turn.acquire().await.map_err(|_| Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

/// One piece of work that waits or is done; counted until it is dropped.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn new(count: &'c AtomicUsize) -> Option<Self> {
        let waiting = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

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
            assert!(futures_util::future::poll_immediate(work).await.is_none());
        }
        drop(turn);
        assert_eq!(background.run(|| 7).await, Ok(7));
    }
}
