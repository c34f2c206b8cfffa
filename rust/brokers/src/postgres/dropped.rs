//! How often it is logged that events of the log reach no subscriber: once a minute for each table and reason.

use std::collections::HashMap;
use std::time::Instant;

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
    /// Whether an event of a table is to be logged; with how many were not since the last one, if any.
    /// Published events count as those of table 0.
    pub(super) fn admit(&mut self, table: u32, reason: Reason) -> Option<Option<u64>> {
        let of = (table, reason);
        if self.0.len() >= KNOWN && !self.0.contains_key(&of) {
            self.0.clear();
        }
        self.0.entry(of).or_default().admit(Instant::now())
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
    use super::*;

    #[test]
    fn each_table_and_reason_is_logged() {
        let mut dropped = Dropped::default();
        for of in [
            (1, Reason::TooLarge),
            (2, Reason::TooLarge),
            (1, Reason::Nowhere),
        ] {
            assert_eq!(dropped.admit(of.0, of.1), Some(None), "{of:?}");
            assert_eq!(dropped.admit(of.0, of.1), None, "{of:?}");
        }
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut dropped = Dropped::default();
        for table in 0..10 * KNOWN as u32 {
            dropped.admit(table, Reason::TooLarge);
            assert!(dropped.0.len() <= KNOWN);
        }
    }
}
