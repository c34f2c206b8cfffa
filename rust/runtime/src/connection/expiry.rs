//! When the identities of connections end.
//!
//! A token says it as a moment of the day, and the clock of the day may be set. Set forward it ends
//! the identity at once, as it would a token that comes then; set back it makes no identity last
//! longer than it was to last when it was accepted: ADR 0060.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::clock::{epoch_millis, running_millis};

/// A moment on both clocks (ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpiryClock {
    /// Since the epoch.
    day: u64,
    /// On a clock that is never set.
    running: u64,
}

impl ExpiryClock {
    pub(crate) fn now() -> Self {
        Self {
            day: epoch_millis(),
            running: running_millis(),
        }
    }

    /// The moment that is `seconds` after the epoch, as seen from this one.
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

/// The ends of the identities of one worker's connections.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    ends: HashMap<u64, ExpiryClock>,
    by_day: BTreeSet<(u64, u64)>,
    by_running: BTreeSet<(u64, u64)>,
}

impl Expiries {
    /// The identity of a connection, accepted at `now`, ends so many seconds after the epoch.
    pub(crate) fn add(&mut self, key: u64, seconds: f64, now: ExpiryClock) {
        self.remove(key);
        let end = now.at(seconds);
        self.ends.insert(key, end);
        self.by_day.insert((end.day, key));
        self.by_running.insert((end.running, key));
    }

    /// The connection ends otherwise.
    pub(crate) fn remove(&mut self, key: u64) {
        if let Some(end) = self.ends.remove(&key) {
            self.by_day.remove(&(end.day, key));
            self.by_running.remove(&(end.running, key));
        }
    }

    /// Takes one whose identity has ended.
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

    /// A day that began long ago, on a machine that started just now.
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
        // One that is accepted by the clock as it is now has the time that it says.
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
