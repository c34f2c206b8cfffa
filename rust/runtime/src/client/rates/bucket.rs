//! One token bucket: an atomic number (GCRA), the time at which the bucket will be full again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use security::Rate;

use crate::clock::ahead;

/// A time: nanoseconds of the monotonic clock since its first use. The system clock may jump.
pub(crate) type Moment = u64;

/// Returns the current time.
pub(crate) fn now() -> Moment {
    static START: OnceLock<Instant> = OnceLock::new();
    nanoseconds(START.get_or_init(Instant::now).elapsed() + ahead())
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A token bucket.
#[derive(Debug)]
pub struct Bucket {
    /// Time in which one token is added (ns).
    step: u64,
    /// Time in which all tokens but one are added (ns).
    tolerance: u64,
    full_at: AtomicU64,
}

impl Bucket {
    /// Creates a full bucket.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let count = u64::from(rate.count.get());
        let step = nanoseconds(rate.period) / count;
        Self {
            step,
            tolerance: step * (count - 1),
            full_at: AtomicU64::new(0),
        }
    }

    /// Takes a token now.
    ///
    /// # Errors
    ///
    /// Returns the time until a token is available.
    pub fn take_now(&self) -> Result<(), Duration> {
        self.take(now())
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// Returns the time until a token is available.
    pub(crate) fn take(&self, now: Moment) -> Result<(), Duration> {
        let mut full_at = self.full_at();
        loop {
            self.wait(full_at, now)?;
            let next = full_at.max(now).saturating_add(self.step);
            let exchanged = self
                .full_at
                .compare_exchange_weak(full_at, next, Relaxed, Relaxed);
            match exchanged {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    /// Checks whether there is a token, without taking it.
    ///
    /// # Errors
    ///
    /// Returns the time until a token is available.
    pub(crate) fn look(&self, now: Moment) -> Result<(), Duration> {
        self.wait(self.full_at(), now)
    }

    fn wait(&self, full_at: Moment, now: Moment) -> Result<(), Duration> {
        let free_at = full_at.max(now).saturating_sub(self.tolerance);
        match free_at.checked_sub(now) {
            None | Some(0) => Ok(()),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Returns when the bucket is full.
    pub(crate) fn full_at(&self) -> Moment {
        self.full_at.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_count_is_there_at_once_and_comes_back_one_by_one() {
        let bucket = Bucket::new(Rate::parse("4/s").unwrap());
        let now = 7 * SECOND;
        for _ in 0..4 {
            assert_eq!(bucket.look(now), Ok(()));
            assert_eq!(bucket.take(now), Ok(()));
        }
        let wait = Err(Duration::from_millis(250));
        assert_eq!((bucket.take(now), bucket.look(now)), (wait, wait));
        let later = now + SECOND / 4;
        assert_eq!((bucket.take(later), bucket.take(later)), (Ok(()), wait));
        assert_eq!(bucket.full_at(), later + SECOND);
    }

    #[test]
    fn what_is_refused_takes_nothing() {
        let bucket = Bucket::new(Rate::parse("1/h").unwrap());
        assert!(bucket.take(0).is_ok());
        for _ in 0..100 {
            assert!(bucket.take(1).is_err());
        }
        assert!(bucket.take(3600 * SECOND).is_ok());
    }
}
