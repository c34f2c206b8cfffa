//! When a key set at a URL is fetched: regularly, and when a token names a key that is not in it.

/// Seconds after which keys are fetched again, so that those withdrawn are noticed.
const REFRESH: f64 = 600.0;

/// Seconds between two fetches at least: tokens with made-up key ids cause no more.
const PAUSE: f64 = 30.0;

/// Seconds for which keys are used although no newer ones could be fetched.
const MAX_AGE: f64 = 24.0 * 3600.0;

/// The times of one key set. All times in seconds on one clock, which must not be set.
#[derive(Debug, Clone, Copy, Default)]
pub struct FetchTimes {
    tried: Option<f64>,
    fetched: Option<f64>,
}

impl FetchTimes {
    /// Whether to fetch now, for a token that is verified by known keys or not.
    #[must_use]
    pub fn is_due(&self, now: f64, is_known: bool) -> bool {
        let is_older = |time: Option<f64>, age: f64| time.is_none_or(|time| now - time >= age);
        is_older(self.tried, PAUSE) && (!is_known || is_older(self.fetched, REFRESH))
    }

    /// Whether the keys are still used.
    #[must_use]
    pub fn is_fresh(&self, now: f64) -> bool {
        self.fetched.is_some_and(|time| now - time < MAX_AGE)
    }

    /// A fetch begins.
    pub fn begin(&mut self, now: f64) {
        self.tried = Some(now);
    }

    /// A fetch has brought keys.
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
