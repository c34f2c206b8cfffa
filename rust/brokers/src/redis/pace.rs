//! Limits how fast channels are subscribed.
//!
//! After a server restarts, all nodes subscribe at the same time, while it also has to serve
//! publishers.

use std::time::{Duration, Instant};

/// Channels per second on one link (count).
const A_SECOND: u32 = 20_000;

/// Computes when channels may be subscribed.
#[derive(Debug)]
pub(super) struct Pace {
    next_at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { next_at: now }
    }

    /// Returns when the next channels may be subscribed, and reserves the time for so many of them.
    pub(super) fn next(&mut self, now: Instant, channels: usize) -> Instant {
        let at = self.next_at.max(now);
        self.next_at = at + Duration::from_secs(1) * channels as u32 / A_SECOND;
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_channels_are_delayed_and_few_are_not() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.next(start, 512), start);
        let mut at = start;
        for _ in 0..200 {
            at = pace.next(start, 500);
        }
        let seconds = (at - start).as_secs_f64();
        assert!((4.9..5.1).contains(&seconds), "{seconds}");
        // Unused time is not saved.
        let later = start + Duration::from_mins(1);
        assert_eq!(pace.next(later, 512), later);
        assert!(pace.next(later, 512) > later);
    }
}
