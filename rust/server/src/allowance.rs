//! Limits frames that carry no useful data: a number at once, and a number in each second.
//!
//! Answers to pings, window updates and pieces of a few bytes cost much time for their size, and
//! rates of messages do not count them: ADR 0059.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use runtime::Bucket;
use security::Rate;

/// Frames allowed at once, and the time in which the same number is allowed again.
const FRAMES: u32 = 1_000;
const PERIOD: Duration = Duration::from_secs(10);

/// The allowance of one client.
pub(crate) struct Allowance {
    bucket: Bucket,
    /// Frames that the client has a reason to send: answers to frames of the server, or requests
    /// (count).
    earned: Cell<u64>,
}

impl Allowance {
    pub(crate) fn new() -> Self {
        let rate = Rate {
            count: NonZeroU32::new(FRAMES).unwrap_or(NonZeroU32::MIN),
            period: PERIOD,
        };
        Self {
            bucket: Bucket::new(rate),
            earned: Cell::new(0),
        }
    }

    /// Allows additional frames, which the client has a reason to send.
    pub(crate) fn earn(&self, frames: u64) {
        self.earned.set(self.earned.get().saturating_add(frames));
    }

    /// Counts one frame; false if it is past the limit.
    pub(crate) fn take(&self) -> bool {
        match self.earned.get().checked_sub(1) {
            Some(left) => {
                self.earned.set(left);
                true
            }
            None => self.take_unearned(1),
        }
    }

    /// Counts a frame that clients need only rarely, and that counts as this many others.
    pub(crate) fn take_unearned(&self, frames: u32) -> bool {
        (0..frames).all(|_| self.bucket.take_now().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earned_allowance_is_used_first() {
        let allowance = Allowance::new();
        allowance.earn(5_000);
        assert!((0..6_000).all(|_| allowance.take()));
        let more = (0..6_000).take_while(|_| allowance.take()).count();
        assert!(more < 1_000, "{more}");
    }

    #[test]
    fn unearned_takes_are_limited_despite_a_large_allowance() {
        let allowance = Allowance::new();
        allowance.earn(5_000);
        let taken = (0..6_000)
            .take_while(|_| allowance.take_unearned(100))
            .count();
        assert!((10..20).contains(&taken), "{taken}");
        assert!(allowance.take());
    }
}
