//! Snapshots: which transactions of a database a state contains.
//!
//! A [`Snapshot`] says of each transaction whether its effects are in the rows that were read in it. So
//! the events that follow a state can be told from those that it contains. It has the form of
//! PostgreSQL's `pg_snapshot`. Not here: which events wait for a state (`runtime::subscription`).

use std::str::FromStr;

/// Limit of the transactions that are in progress (count): more than a server can have connections.
const MAX_IN_PROGRESS: usize = 262_143;

/// Which transactions of a database a state contains. Transactions are known by the ids that PostgreSQL
/// calls `xid8`, which are never used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// All transactions before this one have ended.
    oldest: u64,
    /// This transaction and all after it are not contained.
    end: u64,
    /// What is between the two and is not contained, as differences from `oldest`, in ascending order.
    in_progress: Box<[u32]>,
}

/// A text is not a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSnapshot {
    /// It has another form.
    #[error("it is not a snapshot: pass the text of `SELECT pg_current_snapshot()::text`")]
    Malformed,
    /// It lists more transactions than a server can have.
    #[error(
        "it has more than {MAX_IN_PROGRESS} transactions in progress, which no server can have"
    )]
    TooLarge,
}

impl Snapshot {
    /// Whether the effects of a transaction are contained.
    #[must_use]
    pub fn contains(&self, transaction: u64) -> bool {
        if transaction < self.oldest || transaction >= self.end {
            return transaction < self.oldest;
        }
        // The difference is less than `end - oldest`, which fits.
        let difference = (transaction - self.oldest) as u32;
        self.in_progress.binary_search(&difference).is_err()
    }

    /// All transactions before this one have ended, and are contained if they were committed.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// This transaction and all after it are not contained.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }
}

impl FromStr for Snapshot {
    type Err = InvalidSnapshot;

    /// Parses `oldest:end:in_progress,…`, as PostgreSQL writes it.
    fn from_str(text: &str) -> Result<Self, InvalidSnapshot> {
        let malformed = InvalidSnapshot::Malformed;
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| is_plain)
        };
        let (oldest, rest) = text.split_once(':').ok_or(malformed)?;
        let (end, listed) = rest.split_once(':').ok_or(malformed)?;
        let oldest = number(oldest)
            .filter(|oldest| *oldest > 0)
            .ok_or(malformed)?;
        let end = number(end).filter(|end| *end >= oldest).ok_or(malformed)?;
        if end - oldest > u64::from(u32::MAX) {
            return Err(malformed);
        }
        let mut in_progress = Vec::new();
        for id in listed.split(',').filter(|_| !listed.is_empty()) {
            if in_progress.len() == MAX_IN_PROGRESS {
                return Err(InvalidSnapshot::TooLarge);
            }
            let id = number(id).filter(|id| (oldest..end).contains(id));
            let difference = (id.ok_or(malformed)? - oldest) as u32;
            if in_progress.last().is_some_and(|last| *last >= difference) {
                return Err(malformed);
            }
            in_progress.push(difference);
        }
        Ok(Self {
            oldest,
            end,
            in_progress: in_progress.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn text(oldest: u64, end: u64, in_progress: &BTreeSet<u64>) -> String {
        let mut text = format!("{oldest}:{end}:");
        for (index, id) in in_progress.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(text, "{comma}{id}").unwrap();
        }
        text
    }

    #[test]
    fn ten_thousand_transactions_in_progress_are_told_apart() {
        let in_progress: BTreeSet<u64> = (0..10_000).map(|n| (1 << 40) + 3 * n).collect();
        let end = (1 << 40) + 30_000;
        let snapshot: Snapshot = text(1 << 40, end, &in_progress).parse().unwrap();
        for id in (1 << 40) - 5..end + 5 {
            let expected = id < end && !in_progress.contains(&id);
            assert_eq!(snapshot.contains(id), expected, "{id}");
        }
    }

    #[test]
    fn a_text_that_is_no_snapshot_is_refused() {
        for text in [
            "",
            "1",
            "1:2",
            ":2:",
            "1::",
            "0:1:",
            "2:1:",
            "1:2:1,",
            "1:2:,1",
            "1:3:2,1",
            "1:3:1,1",
            "1:3:3",
            "2:3:1",
            "+1:2:",
            "1:2: 1",
            "a:b:c",
            "1:2:1:",
            "1:99999999999:",
            "1:18446744073709551616:",
        ] {
            assert_eq!(
                text.parse::<Snapshot>(),
                Err(InvalidSnapshot::Malformed),
                "{text}"
            );
        }
        let many: BTreeSet<u64> = (1..=300_000).collect();
        let refused = text(1, 400_000, &many).parse::<Snapshot>();
        assert_eq!(refused, Err(InvalidSnapshot::TooLarge));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9:,x]{0,40}") {
            let _ = text.parse::<Snapshot>();
        }

        #[test]
        fn it_contains_what_has_ended(
            oldest in 1..u64::from(u32::MAX) * 4,
            width in 0..60_u64,
            listed in prop::collection::btree_set(0..60_u64, 0..20),
            asked in -70..140_i64,
        ) {
            let listed: BTreeSet<u64> =
                listed.into_iter().filter(|n| *n < width).map(|n| oldest + n).collect();
            let snapshot: Snapshot = text(oldest, oldest + width, &listed).parse().unwrap();
            let asked = oldest.saturating_add_signed(asked);
            let expected = asked < oldest + width && !listed.contains(&asked);
            prop_assert_eq!(snapshot.contains(asked), expected);
        }
    }
}
