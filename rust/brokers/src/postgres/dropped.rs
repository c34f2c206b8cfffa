//! How often it is logged that events of the log reach no subscriber: once a minute for each table and reason.

use std::collections::HashMap;

use bus::Throttle;

use super::tables::Lacking;

/// Limit of the tables and reasons that are told apart; past it they begin anew (count).
const KNOWN: usize = 256;

/// Limits how often dropped events are logged.
#[derive(Default)]
pub(super) struct Dropped(HashMap<(u32, Reason), Throttle>);

/// Why an event reaches no subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    TooLarge,
    /// It cannot be read, or written.
    Unreadable,
    /// The row is on no channel.
    Nowhere,
    /// The log does not say on which channel the row is.
    Unknown,
}

impl Dropped {
    /// Returns what limits the log of a reason of a table. Published events count as those of table 0.
    pub(super) fn throttle(&mut self, table: u32, reason: Reason) -> &mut Throttle {
        let of = (table, reason);
        if self.0.len() >= KNOWN && !self.0.contains_key(&of) {
            self.0.clear();
        }
        self.0.entry(of).or_default()
    }
}

impl From<&Lacking> for Reason {
    fn from(lacking: &Lacking) -> Self {
        match lacking {
            Lacking::Nobody => Self::Nowhere,
            Lacking::Stream(_) => Self::Unreadable,
            Lacking::AnyOfTable => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn each_table_and_reason_is_logged() {
        let (mut dropped, now) = (Dropped::default(), Instant::now());
        for of in [
            (1, Reason::TooLarge),
            (2, Reason::TooLarge),
            (1, Reason::Nowhere),
        ] {
            let throttle = dropped.throttle(of.0, of.1);
            assert_eq!(throttle.admit(now), Some(None), "{of:?}");
            assert_eq!(throttle.admit(now), None, "{of:?}");
        }
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut dropped = Dropped::default();
        for table in 0..10 * KNOWN as u32 {
            dropped.throttle(table, Reason::TooLarge);
            assert!(dropped.0.len() <= KNOWN);
        }
    }
}
