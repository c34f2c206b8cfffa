//! Whether a client is there: what the keepalive concludes from what was observed of it.
//!
//! Looked at once in each keepalive interval, which is time in which this process ran (`clock`).

use std::cell::Cell;
use std::time::Duration;

/// Intervals in a row in which a client that is pinged says nothing and takes nothing (count). One
/// that was behind when it last took something has [`STUCK_INTERVALS`]: the ping is on its way
/// behind all that the buffers of the network hold.
const SILENT_INTERVALS: u32 = 2;

/// Intervals in a row in which something waits for a client and it takes nothing (count). More than
/// the others, as a kernel tells of a client that reads slowly in steps: those of its window.
const STUCK_INTERVALS: u32 = 5;

/// The time after which a client that takes nothing is gone.
#[must_use]
pub fn stuck_time(keepalive: Duration) -> Duration {
    keepalive.saturating_mul(STUCK_INTERVALS)
}

/// What a transport has observed of its client since it was asked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nothing that is written tells of the client: it may all be in the buffers of the network.
    Idle,
    /// The client has taken some of what waited for it.
    Moving,
    /// Something has waited for the client all the time, and it has taken nothing.
    Stuck,
    /// The transport has not run, so that nothing can be known.
    Paused,
}

/// The signs of life of one client.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// Whether anything was received since it was looked at before.
    is_heard: Cell<bool>,
    /// Whether something has waited for it since it was heard.
    was_behind: Cell<bool>,
    /// Intervals in a row (count).
    silent: Cell<u32>,
    /// Intervals in a row (count).
    stuck: Cell<u32>,
}

impl Liveness {
    /// Of a client that has just come.
    pub(crate) fn new() -> Self {
        Self {
            is_heard: Cell::new(true),
            was_behind: Cell::new(false),
            silent: Cell::new(0),
            stuck: Cell::new(0),
        }
    }

    /// Something was received.
    pub(crate) fn hear(&self) {
        self.is_heard.set(true);
    }

    /// Whether the client is gone, asked once in each interval. `is_asked`: it is sent pings, which
    /// it has to answer.
    pub(crate) fn is_gone(&self, flow: Flow, is_asked: bool) -> bool {
        let is_heard = self.is_heard.replace(false);
        let is_behind = matches!(flow, Flow::Moving | Flow::Stuck);
        let was_behind = !is_heard && self.was_behind.get();
        self.was_behind.set(is_behind || was_behind);
        let is_silent = is_asked && !is_heard && matches!(flow, Flow::Idle | Flow::Stuck);
        let silent = count(&self.silent, is_silent);
        // Whatever it sends: what waits for it has to end one day.
        let stuck = count(&self.stuck, flow == Flow::Stuck);
        let patience = if self.was_behind.get() {
            STUCK_INTERVALS
        } else {
            SILENT_INTERVALS
        };
        silent >= patience || stuck >= STUCK_INTERVALS
    }
}

fn count(in_a_row: &Cell<u32>, is_one_more: bool) -> u32 {
    in_a_row.set(if is_one_more { in_a_row.get() + 1 } else { 0 });
    in_a_row.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval in which the client is found gone.
    fn ends(liveness: &Liveness, flow: Flow, is_asked: bool) -> Option<u32> {
        (1..=10).find(|_| liveness.is_gone(flow, is_asked))
    }

    #[test]
    fn a_client_that_answers_no_ping_for_two_intervals_is_gone() {
        // In the first one it has come.
        assert_eq!(ends(&Liveness::new(), Flow::Idle, true), Some(3));
    }

    #[test]
    fn any_sign_of_life_begins_the_count_anew() {
        let liveness = Liveness::new();
        for _ in 0..5 {
            assert!(!liveness.is_gone(Flow::Idle, true));
            assert!(!liveness.is_gone(Flow::Idle, true));
            liveness.hear();
        }
        assert_eq!(ends(&liveness, Flow::Moving, true), None);
        liveness.hear();
        assert_eq!(ends(&liveness, Flow::Idle, true), Some(3));
    }

    #[test]
    fn a_client_that_was_behind_has_the_time_to_read_what_is_on_its_way() {
        assert_eq!(ends(&Liveness::new(), Flow::Stuck, true), Some(5));
        let liveness = Liveness::new();
        assert!(!liveness.is_gone(Flow::Moving, true));
        assert_eq!(ends(&liveness, Flow::Idle, true), Some(5));
    }

    #[test]
    fn a_client_that_is_never_asked_is_missed_only_when_it_takes_nothing() {
        assert_eq!(ends(&Liveness::new(), Flow::Idle, false), None);
        assert_eq!(ends(&Liveness::new(), Flow::Stuck, false), Some(5));
    }

    #[test]
    fn a_client_that_speaks_and_takes_nothing_is_gone_as_well() {
        let liveness = Liveness::new();
        let end = (1..=10).find(|_| {
            liveness.hear();
            liveness.is_gone(Flow::Stuck, true)
        });
        assert_eq!(end, Some(5));
    }

    #[test]
    fn a_pause_of_the_transport_counts_against_no_client() {
        let liveness = Liveness::new();
        assert!(!liveness.is_gone(Flow::Idle, true));
        assert!(!liveness.is_gone(Flow::Idle, true));
        assert_eq!(ends(&liveness, Flow::Paused, true), None);
        assert_eq!(ends(&liveness, Flow::Idle, true), Some(2));
    }
}
