//! The pauses between attempts to connect.

use std::time::Duration;

/// The lengths of pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    /// The longest first pause. It doubles with each failure.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) limit: Duration,
    /// The pause after an error that only a change of the configuration solves.
    pub(crate) configuration: Duration,
    /// After a link that lived this long, the next pause is at most `first`, as if none had failed.
    pub(crate) settled_after: Duration,
}

/// Counts the connections that failed since a link was last stable.
#[derive(Debug)]
pub(crate) struct Backoff {
    pauses: Pauses,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(pauses: Pauses) -> Self {
        Self {
            pauses,
            failures: 0,
        }
    }

    /// Returns the pause after a link that lived this long. It is random, so that nodes do not all
    /// connect at the same moment, and its maximum doubles with each failure.
    pub(crate) fn after(&mut self, lived: Duration, is_configuration: bool) -> Duration {
        if is_configuration {
            return self
                .pauses
                .configuration
                .mul_f64(0.5 + fastrand::f64() / 2.0);
        }
        if lived > self.pauses.settled_after {
            self.failures = 0;
            return self.pauses.first.mul_f64(fastrand::f64());
        }
        let longest = self.pauses.first * 2_u32.pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        longest.min(self.pauses.limit).mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses {
        first: Duration::from_millis(50),
        limit: Duration::from_secs(5),
        configuration: Duration::from_secs(10),
        settled_after: Duration::from_secs(10),
    };

    #[test]
    fn pauses_grow_to_a_limit_and_are_reset_by_a_settled_link() {
        let mut backoff = Backoff::new(PAUSES);
        for attempt in 0..40_u32 {
            let pause = backoff.after(Duration::ZERO, false);
            let longest = PAUSES.first * 2_u32.pow(attempt.min(10));
            assert!(pause <= longest.min(PAUSES.limit));
        }
        assert!(backoff.after(Duration::from_secs(11), false) <= PAUSES.first);
        assert!(backoff.after(Duration::ZERO, false) <= PAUSES.first);
    }

    #[test]
    fn a_wrong_configuration_is_not_tried_again_fast() {
        let mut backoff = Backoff::new(PAUSES);
        assert!(backoff.after(Duration::ZERO, true) >= PAUSES.configuration / 2);
    }
}
