//! Decides when to fetch a key set: regularly, and for a token with a key that is not in it.

/// Interval of fetches, which bounds the use of withdrawn keys (seconds).
const REFRESH: f64 = 600.0;

/// Minimum interval of fetches, which tokens with invented key ids may cause (seconds).
const PAUSE: f64 = 30.0;

/// Time for which keys are used if newer ones cannot be fetched (seconds).
const MAX_AGE: f64 = 24.0 * 3600.0;

/// The fetch times of one key set, in seconds of a monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct FetchTimes {
    tried: Option<f64>,
    fetched: Option<f64>,
}

impl FetchTimes {
    /// Whether to fetch now; depends on whether the known keys verify the token.
    #[must_use]
    pub fn is_due(&self, now: f64, is_known: bool) -> bool {
        let is_older = |time: Option<f64>, age: f64| time.is_none_or(|time| now - time >= age);
        is_older(self.tried, PAUSE) && (!is_known || is_older(self.fetched, REFRESH))
    }

    /// Whether the keys may still be used.
    #[must_use]
    pub fn is_fresh(&self, now: f64) -> bool {
        self.fetched.is_some_and(|time| now - time < MAX_AGE)
    }

    /// Records that a fetch begins.
    pub fn begin(&mut self, now: f64) {
        self.tried = Some(now);
    }

    /// Records that a fetch has returned keys.
    pub fn succeed(&mut self, now: f64) {
        self.fetched = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_for_the_first_token_and_again_when_they_are_old() {
        let mut times = FetchTimes::default();
        assert!(times.is_due(0.0, false) && times.is_due(0.0, true) && !times.is_fresh(0.0));
        times.begin(0.0);
        times.succeed(0.0);
        assert!(!times.is_due(REFRESH - 1.0, true) && times.is_due(REFRESH, true));
        assert!(times.is_fresh(MAX_AGE - 1.0) && !times.is_fresh(MAX_AGE));
    }

    #[test]
    fn unknown_keys_cause_one_fetch_in_a_pause() {
        let mut times = FetchTimes::default();
        times.begin(0.0);
        times.succeed(0.0);
        assert!(!times.is_due(PAUSE - 1.0, false) && times.is_due(PAUSE, false));
        times.begin(PAUSE);
        assert!(!times.is_due(PAUSE + 1.0, false));
    }

    #[test]
    fn a_fetch_that_failed_is_tried_again_after_the_pause_and_old_keys_stay() {
        let mut times = FetchTimes::default();
        times.begin(0.0);
        times.succeed(0.0);
        times.begin(REFRESH);
        assert!(times.is_fresh(REFRESH) && !times.is_due(REFRESH + 1.0, true));
        assert!(times.is_due(REFRESH + PAUSE, true));
    }
}
