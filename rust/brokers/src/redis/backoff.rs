//! The pauses between attempts to connect.

use std::time::Duration;

use super::config::Times;

/// Counts the connections that failed since a link was last stable.
#[derive(Debug)]
pub(super) struct Backoff {
    times: Times,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(times: Times) -> Self {
        Self { times, failures: 0 }
    }

    /// Returns the pause after a link that lived this long. It is random, so that nodes do not all
    /// connect at the same moment, and its maximum doubles with each failure.
    pub(super) fn after(&mut self, lived: Duration, is_configuration: bool) -> Duration {
        if is_configuration {
            return self
                .times
                .configuration_pause
                .mul_f64(0.5 + fastrand::f64() / 2.0);
        }
        if lived > self.times.settled_after {
            self.failures = 0;
            return Duration::ZERO;
        }
        let longest = self.times.backoff * 2_u32.pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        longest
            .min(self.times.backoff_limit)
            .mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_are_reset_by_a_settled_link() {
        let times = Times::default();
        let mut backoff = Backoff::new(times);
        for attempt in 0..40_u32 {
            let pause = backoff.after(Duration::ZERO, false);
            let longest = times.backoff * 2_u32.pow(attempt.min(10));
            assert!(pause <= longest.min(times.backoff_limit));
        }
        assert_eq!(
            backoff.after(Duration::from_secs(11), false),
            Duration::ZERO
        );
        assert!(backoff.after(Duration::ZERO, false) <= times.backoff);
    }

    #[test]
    fn a_wrong_configuration_is_not_tried_again_fast() {
        let times = Times::default();
        let mut backoff = Backoff::new(times);
        assert!(backoff.after(Duration::ZERO, true) >= times.configuration_pause / 2);
    }
}
