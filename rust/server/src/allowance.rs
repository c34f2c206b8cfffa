//! Frames that bring nothing, as a client may send them: so many at once, and so many in a second.
//!
//! Answers to pings, updates of windows and pieces of a few bytes cost time out of all proportion
//! to their bytes, and rates of messages do not see them: ADR 0059.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use runtime::Bucket;
use security::Rate;

/// Frames at once, and the time in which as many come back.
const FRAMES: u32 = 1_000;
const PERIOD: Duration = Duration::from_secs(10);

/// What one client may send.
pub(crate) struct Allowance {
    bucket: Bucket,
    /// Frames that the client has a reason to send: it was sent something, or has asked (count).
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

    /// The client has a reason to send so many frames more.
    pub(crate) fn earn(&self, frames: u64) {
        self.earned.set(self.earned.get().saturating_add(frames));
    }

    /// Takes one frame; false when it is one too many.
    pub(crate) fn take(&self) -> bool {
        match self.earned.get().checked_sub(1) {
            Some(left) => {
                self.earned.set(left);
                true
            }
            None => self.take_unearned(1),
        }
    }

    /// Takes a frame for which there is never a reason to send many, and which costs as much as
    /// so many others.
    pub(crate) fn take_unearned(&self, frames: u32) -> bool {
        (0..frames).all(|_| self.bucket.take_now().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_earned_is_taken_before_the_rest() {
        let allowance = Allowance::new();
        allowance.earn(5_000);
        assert!((0..6_000).all(|_| allowance.take()));
        let more = (0..6_000).take_while(|_| allowance.take()).count();
        assert!(more < 1_000, "{more}");
    }

    #[test]
    fn no_reason_makes_up_for_what_nobody_needs_often() {
        let allowance = Allowance::new();
        allowance.earn(5_000);
        let taken = (0..6_000)
            .take_while(|_| allowance.take_unearned(100))
            .count();
        assert!((10..20).contains(&taken), "{taken}");
        assert!(allowance.take());
    }
}
