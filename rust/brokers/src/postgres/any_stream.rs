//! How often it is told that events of any stream are missing: the first time at once, and what is missing
//! soon after it together. Each time all clients ask again.

use std::time::{Duration, Instant};

/// What is missing within this time after it was told is told together.
const PERIOD: Duration = Duration::from_secs(1);

/// Events of any stream that are missing.
#[derive(Debug, Default)]
pub(super) struct MissingOfAny {
    told: Option<Instant>,
    is_owed: bool,
}

impl MissingOfAny {
    /// Notes that some are missing. Returns whether to tell it now.
    pub(super) fn add(&mut self, now: Instant) -> bool {
        self.is_owed = true;
        self.is_due(now)
    }

    /// Whether some are missing that were not told, and are to be told now.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_late = |told: Instant| now.saturating_duration_since(told) >= PERIOD;
        let is_due = self.is_owed && self.told.is_none_or(is_late);
        if is_due {
            *self = Self {
                told: Some(now),
                is_owed: false,
            };
        }
        is_due
    }

    /// Whether some are missing that were not told.
    pub(super) fn is_owed(&self) -> bool {
        self.is_owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_more_together() {
        let (mut missing, start) = (MissingOfAny::default(), Instant::now());
        assert!(!missing.is_due(start));
        assert!(missing.add(start));
        assert!(!missing.is_owed());
        assert!(!missing.add(start + PERIOD / 4));
        assert!(!missing.add(start + PERIOD / 2));
        assert!(missing.is_owed());
        assert!(missing.is_due(start + PERIOD));
        assert!(!missing.is_due(start + 3 * PERIOD));
    }
}
