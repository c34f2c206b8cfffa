//! The transactions that were delivered lately, and whether others see their effects.
//!
//! PostgreSQL sends a transaction as soon as its commit is in the log. A moment later, or when its standbys
//! have it too, its effects can be seen. A state that is read between the two lacks the effects of an
//! event that was delivered. The same is true of what was committed before the log is read, whose
//! transactions are not known. Not here: the state, and the events that follow it (`runtime`).

use std::pin::pin;
use std::time::{Duration, Instant};

use bus::{Position, Snapshot, Throttle};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Limit of the commits that are known one by one (count).
const KNOWN: usize = 16_384;
/// How long transactions are waited for that may have been committed before the log is read.
const BEFORE: Duration = Duration::from_secs(1);
/// Pauses between two looks for the same initial value: the first one, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// After this time it is logged that an initial value waits.
const LATE: Duration = Duration::from_secs(10);

/// Commits that were delivered, and are not known to be visible.
#[derive(Default)]
pub(super) struct Commits {
    state: Mutex<CommitsState>,
    /// Notified after each look.
    changed: Notify,
    /// Limits how often it is logged that an initial value waits.
    late: Mutex<Throttle>,
}

#[derive(Default)]
struct CommitsState {
    /// The newest id of a transaction that is known, with all its 64 bits.
    newest: u64,
    /// The place of each commit in the log, and its transaction; in the order of the log.
    known: Vec<(u64, u64)>,
    /// The newest transaction of the commits that are no longer known one by one; 0: there is none.
    forgotten: u64,
    /// Transactions before this one may have been committed before the log is read; and how long that
    /// is taken into account.
    before: Option<(u64, Instant)>,
}

impl Commits {
    /// Begins to read the log. `next`: no transaction with this id or a later one is committed before.
    pub(super) fn begin(&self, next: u64) {
        let mut state = self.state.lock();
        state.newest = next;
        state.before = Some((next, Instant::now() + BEFORE));
    }

    /// Notes a snapshot of now: it says which ids are in use, and what is visible.
    pub(super) fn look(&self, snapshot: &Snapshot) {
        let mut state = self.state.lock();
        state.newest = state.newest.max(snapshot.end());
        state.drop_visible(snapshot);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Notes a commit that is delivered. Returns the whole id of its transaction, of which the log has the
    /// lower half.
    pub(super) fn delivered(&self, commit: u64, id: u32) -> u64 {
        let mut state = self.state.lock();
        // The id in use that is next to the newest one.
        let difference = id.wrapping_sub(state.newest as u32) as i32;
        let transaction = state.newest.saturating_add_signed(difference.into());
        state.newest = state.newest.max(transaction);
        if state.known.len() == KNOWN {
            let oldest: Vec<_> = state.known.drain(..KNOWN / 2).collect();
            let ids = oldest.iter().map(|(_, transaction)| *transaction);
            state.forgotten = ids.fold(state.forgotten, u64::max);
        }
        state.known.push((commit, transaction));
        transaction
    }

    /// Whether there are so many commits that their visibility should be looked up.
    pub(super) fn are_many(&self) -> bool {
        self.state.lock().known.len() > KNOWN / 4
    }

    /// Returns up to which place in the log commits have to become visible before a state contains all
    /// that was delivered up to a position; `None`: it does already. `is_of_log`: whether the position is a
    /// place in the log.
    pub(super) fn pending(&self, at: Position, is_of_log: bool) -> Option<u64> {
        let place = if is_of_log { at.offset.major } else { u64::MAX };
        let state = self.state.lock();
        // Later commits are not waited for.
        let last = state.known.last().map_or(0, |(commit, _)| *commit);
        state.has_pending(place).then(|| place.min(last))
    }

    /// Waits until all commits up to a place in the log are visible, or the link is lost. `look`: has the
    /// server asked.
    pub(super) async fn settled(&self, place: u64, look: &Notify) {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.state.lock().has_pending(place) {
                return;
            }
            look.notify_one();
            // The time of waiting for what may have been committed before passes without a change.
            let _ = timeout(BEFORE, changed).await;
            sleep(pause).await;
            pause = (2 * pause).min(LAST_PAUSE);
            if start.elapsed() > LATE && self.late.lock().admit(Instant::now()).is_some() {
                tracing::warn!(
                    name: "initial.waits",
                    target: "fraiseql_subs",
                    "an initial value waits, because a commit in the log of PostgreSQL cannot be seen yet: \
                     does it wait for a synchronous standby?"
                );
            }
        }
    }

    /// The link was lost. What is delivered later comes after a gap.
    pub(super) fn lost(&self) {
        let mut state = self.state.lock();
        state.known.clear();
        state.forgotten = 0;
        state.before = None;
        drop(state);
        self.changed.notify_waiters();
    }
}

impl CommitsState {
    fn has_pending(&self, place: u64) -> bool {
        let is_waiting = self.before.is_some_and(|(_, until)| Instant::now() < until);
        let first = self.known.first();
        is_waiting || self.forgotten > 0 || first.is_some_and(|(commit, _)| *commit <= place)
    }

    /// What is visible once stays visible.
    fn drop_visible(&mut self, snapshot: &Snapshot) {
        self.known
            .retain(|(_, transaction)| !snapshot.contains(*transaction));
        if self.forgotten < snapshot.oldest() {
            self.forgotten = 0;
        }
        if self
            .before
            .is_some_and(|(next, _)| snapshot.oldest() >= next)
        {
            self.before = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use bus::{Epoch, Position};

    use super::*;

    fn at(place: u64) -> Position {
        Position::new(Epoch(1), place)
    }

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_of_the_log_gets_its_upper_half() {
        let commits = Commits::default();
        let around = (7 << 32) - 2;
        commits.look(&snapshot(&format!("{around}:{around}:")));
        assert_eq!(commits.delivered(1, u32::MAX - 1), around);
        assert_eq!(commits.delivered(2, 3), (7 << 32) + 3);
        assert_eq!(commits.delivered(3, u32::MAX), (7 << 32) - 1);
    }

    #[test]
    fn a_commit_is_pending_until_it_is_visible() {
        let commits = Commits::default();
        commits.look(&snapshot("100:100:"));
        commits.delivered(1000, 101);
        commits.delivered(2000, 103);
        assert_eq!(commits.pending(at(999), true), None);
        assert_eq!(commits.pending(at(1500), true), Some(1500));
        assert_eq!(commits.pending(at(9999), true), Some(2000));
        assert_eq!(commits.pending(at(999), false), Some(2000));
        commits.look(&snapshot("101:104:101"));
        assert_eq!(commits.pending(at(1500), true), Some(1000));
        commits.look(&snapshot("103:104:103"));
        assert_eq!(commits.pending(at(1500), true), None);
        commits.delivered(3000, 105);
        commits.look(&snapshot("105:106:105"));
        assert_eq!(commits.pending(at(3000), true), Some(3000));
        commits.look(&snapshot("106:106:"));
        assert_eq!(commits.pending(at(3000), true), None);
    }

    #[test]
    fn what_may_have_been_committed_before_the_log_is_read_has_to_have_ended() {
        let commits = Commits::default();
        commits.begin(100);
        commits.look(&snapshot("99:101:99"));
        assert_eq!(commits.pending(at(1), true), Some(0));
        commits.look(&snapshot("100:101:100"));
        assert_eq!(commits.pending(at(1), true), None);
    }

    #[test]
    fn commits_past_the_limit_are_visible_when_all_before_them_have_ended() {
        let commits = Commits::default();
        commits.look(&snapshot("100:100:"));
        for id in 0..=KNOWN as u32 {
            commits.delivered(id.into(), 100 + id);
        }
        assert!(commits.are_many());
        let newest = 100 + KNOWN as u64;
        commits.look(&snapshot(&format!("99:{}:99", newest + 1)));
        assert!(commits.pending(at(1), true).is_some());
        commits.look(&snapshot(&format!("{0}:{0}:", newest + 1)));
        assert_eq!(commits.pending(at(1), true), None);
        assert!(!commits.are_many());
    }

    #[tokio::test]
    async fn a_lost_link_ends_the_waiting() {
        let (commits, look) = (Commits::default(), Notify::new());
        commits.begin(100);
        commits.delivered(1000, 101);
        let place = commits.pending(at(1000), true).unwrap();
        tokio::join!(commits.settled(place, &look), async {
            look.notified().await;
            commits.lost();
        });
    }
}
