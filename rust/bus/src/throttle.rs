//! How often the log says the same.

use std::time::{Duration, Instant};

/// A notice is written once in this time; the others are counted.
const PERIOD: Duration = Duration::from_mins(1);

/// Lets one notice a minute through, and counts those between.
#[derive(Debug, Default)]
pub struct Throttle {
    next: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// A throttle through which the first notice goes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: None,
            suppressed: 0,
        }
    }

    /// Whether a notice is to be written; with how many were not since the last one, if any.
    pub fn admit(&mut self, now: Instant) -> Option<Option<u64>> {
        if self.next.is_some_and(|next| now < next) {
            self.suppressed += 1;
            return None;
        }
        self.next = Some(now + PERIOD);
        let suppressed = std::mem::take(&mut self.suppressed);
        Some((suppressed > 0).then_some(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_notice_a_minute_tells_how_many_were_left_out() {
        let mut throttle = Throttle::new();
        let now = Instant::now();
        assert_eq!(throttle.admit(now), Some(None));
        for _ in 0..3 {
            assert_eq!(throttle.admit(now + PERIOD / 2), None);
        }
        assert_eq!(throttle.admit(now + PERIOD), Some(Some(3)));
        assert_eq!(throttle.admit(now + PERIOD), None);
    }
}
