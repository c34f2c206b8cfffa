//! Ends connections whose identity has expired.
//!
//! A token expires by the system clock, which may be set. Set forward, it ends an identity at once,
//! as it would refuse a new token. Set back, no identity lasts longer than the time it had when it
//! was accepted: ADR 0060.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::clock::{epoch_millis, running_millis};

/// A time on both clocks (ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpiryClock {
    /// Time since the epoch.
    day: u64,
    /// Time of the monotonic clock.
    running: u64,
}

impl ExpiryClock {
    pub(crate) fn now() -> Self {
        Self {
            day: epoch_millis(),
            running: running_millis(),
        }
    }

    /// Returns the time `seconds` after the epoch on both clocks, seen from this time.
    fn at(self, seconds: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturating: the end of time is late enough"
        )]
        let day = (seconds * 1000.0).ceil() as u64;
        let left = day.saturating_sub(self.day);
        Self {
            day,
            running: self.running.saturating_add(left),
        }
    }
}

/// The expiry times of one worker's connections.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    ends: HashMap<u64, ExpiryClock>,
    by_day: BTreeSet<(u64, u64)>,
    by_running: BTreeSet<(u64, u64)>,
}

impl Expiries {
    /// Adds a connection, accepted at `now`, whose identity expires `seconds` after the epoch.
    pub(crate) fn add(&mut self, key: u64, seconds: f64, now: ExpiryClock) {
        self.remove(key);
        let end = now.at(seconds);
        self.ends.insert(key, end);
        self.by_day.insert((end.day, key));
        self.by_running.insert((end.running, key));
    }

    /// Removes a connection that has ended otherwise.
    pub(crate) fn remove(&mut self, key: u64) {
        if let Some(end) = self.ends.remove(&key) {
            self.by_day.remove(&(end.day, key));
            self.by_running.remove(&(end.running, key));
        }
    }

    /// Removes and returns a connection whose identity has expired.
    pub(crate) fn take(&mut self, now: ExpiryClock) -> Option<u64> {
        let is_over = |first: Option<&(u64, u64)>, now| {
            let (_, key) = first.filter(|(end, _)| *end <= now)?;
            Some(*key)
        };
        let ended = is_over(self.by_day.first(), now.day)
            .or_else(|| is_over(self.by_running.first(), now.running))?;
        self.remove(ended);
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A late system clock on a machine that has just started.
    const NOW: ExpiryClock = ExpiryClock {
        day: 1_000_000,
        running: 7_000,
    };

    fn ended(expiries: &mut Expiries, day: u64, running: u64) -> Vec<u64> {
        std::iter::from_fn(|| expiries.take(ExpiryClock { day, running })).collect()
    }

    fn three() -> Expiries {
        let mut expiries = Expiries::default();
        for (key, seconds) in [(1, 1_010.0), (2, 1_020.0), (3, f64::MAX)] {
            expiries.add(key, seconds, NOW);
        }
        expiries
    }

    #[test]
    fn identities_end_in_their_order() {
        let mut expiries = three();
        assert_eq!(ended(&mut expiries, 1_009_999, 16_999), [] as [u64; 0]);
        assert_eq!(ended(&mut expiries, 1_010_000, 17_000), [1]);
        assert_eq!(ended(&mut expiries, 1_500_000, 507_000), [2]);
    }

    #[test]
    fn a_clock_that_is_set_forward_ends_them_at_once() {
        assert_eq!(ended(&mut three(), 1_020_000, 7_001), [1, 2]);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_none_last_longer() {
        let mut expiries = three();
        assert_eq!(ended(&mut expiries, 0, 16_999), [] as [u64; 0]);
        assert_eq!(ended(&mut expiries, 0, 17_000), [1]);
        // An identity that is accepted by the current clock lasts as long as that clock says.
        let later = ExpiryClock {
            day: 5_000,
            running: 17_000,
        };
        expiries.add(4, 15.0, later);
        assert_eq!(ended(&mut expiries, 14_999, 26_999), [] as [u64; 0]);
        assert_eq!(ended(&mut expiries, 15_000, 26_999), [4]);
        assert_eq!(ended(&mut expiries, 0, 27_000), [2]);
    }

    #[test]
    fn a_connection_that_has_left_is_forgotten() {
        let mut expiries = three();
        expiries.remove(1);
        expiries.remove(1);
        assert_eq!(ended(&mut expiries, u64::MAX, 0), [2, 3]);
        assert!(expiries.by_day.is_empty() && expiries.by_running.is_empty());
    }
}
