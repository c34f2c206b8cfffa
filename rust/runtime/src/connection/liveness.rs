//! Decides whether a client is gone, from the observations of the keepalive.
//!
//! Checked once in each keepalive interval, which counts only time in which this process ran
//! (`clock`).

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::running_millis;

/// Intervals in a row in which a pinged client sends nothing and reads nothing (count). A client
/// with pending data has [`STUCK_INTERVALS`], because the ping is queued behind all data in the
/// network's buffers.
const SILENT_INTERVALS: u32 = 2;

/// Intervals in a row in which a client reads nothing of its pending data (count). More than the
/// others, because TCP reports the progress of a slow client in steps of its receive window.
const STUCK_INTERVALS: u32 = 5;

/// Returns the time after which a client that reads nothing counts as gone.
#[must_use]
pub fn stuck_time(keepalive: Duration) -> Duration {
    keepalive.saturating_mul(STUCK_INTERVALS)
}

/// A transport's observation of its client since the last query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Writes show nothing about the client: all data may be in the network's buffers.
    Idle,
    /// The client has read some of its pending data.
    Moving,
    /// Data was pending for the whole time, and the client has read nothing.
    Stuck,
    /// The transport has not run, so that nothing can be known.
    Paused,
}

/// The signs of life of one client.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// Whether data was received since the last check.
    is_heard: Cell<bool>,
    /// Whether data has been pending since the last received data.
    was_behind: Cell<bool>,
    /// Intervals in a row (count).
    silent: Cell<u32>,
    /// Intervals in a row (count).
    stuck: Cell<u32>,
    /// When the client was pinged, until it answers.
    asked: Cell<Option<Millis>>,
    /// Time from the last ping that it has answered until then (milliseconds).
    round_trip: Cell<u32>,
}

/// A time of the monotonic clock (milliseconds from 1); it may wrap around.
type Millis = NonZeroU32;

fn now() -> Millis {
    NonZeroU32::MIN.saturating_add(running_millis() as u32)
}

fn since(moment: Millis) -> u32 {
    now().get().wrapping_sub(moment.get())
}

impl Liveness {
    /// Creates the state of a new client.
    pub(crate) fn new() -> Self {
        Self {
            is_heard: Cell::new(true),
            was_behind: Cell::new(false),
            silent: Cell::new(0),
            stuck: Cell::new(0),
            asked: Cell::new(None),
            round_trip: Cell::new(0),
        }
    }

    /// Records that data was received.
    pub(crate) fn hear(&self) {
        self.is_heard.set(true);
    }

    /// Records that the client is pinged.
    pub(crate) fn ask(&self) {
        self.asked.set(self.asked.get().or_else(|| Some(now())));
    }

    /// Records that it has answered a ping, or has sent an answer to none.
    pub(crate) fn answer(&self) {
        self.hear();
        if let Some(asked) = self.asked.take() {
            self.round_trip.set(since(asked));
        }
    }

    /// Returns the time of its last round trip, or of the one that takes longer by now; zero: none
    /// was measured.
    pub(crate) fn round_trip(&self) -> Duration {
        let pending = self.asked.get().map_or(0, since);
        Duration::from_millis(self.round_trip.get().max(pending).into())
    }

    /// Whether the client is gone; call it once in each interval. `is_asked`: the client receives
    /// pings, which it has to answer.
    pub(crate) fn is_gone(&self, flow: Flow, is_asked: bool) -> bool {
        let is_heard = self.is_heard.replace(false);
        let is_behind = matches!(flow, Flow::Moving | Flow::Stuck);
        let was_behind = !is_heard && self.was_behind.get();
        self.was_behind.set(is_behind || was_behind);
        let is_silent = is_asked && !is_heard && matches!(flow, Flow::Idle | Flow::Stuck);
        let silent = count(&self.silent, is_silent);
        // Applies also if the client sends data: pending data must not wait forever.
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

    /// Returns the interval in which the client counts as gone.
    fn ends(liveness: &Liveness, flow: Flow, is_asked: bool) -> Option<u32> {
        (1..=10).find(|_| liveness.is_gone(flow, is_asked))
    }

    #[test]
    fn a_client_that_answers_no_ping_for_two_intervals_is_gone() {
        // In the first interval it has connected.
        assert_eq!(ends(&Liveness::new(), Flow::Idle, true), Some(3));
    }

    #[test]
    fn any_received_data_resets_the_count() {
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
    fn the_round_trip_of_an_unanswered_ping_grows() {
        let liveness = Liveness::new();
        assert_eq!(liveness.round_trip(), Duration::ZERO);
        liveness
            .asked
            .set(NonZeroU32::new(now().get().wrapping_sub(300)));
        // A further ping does not begin anew.
        liveness.ask();
        assert!(liveness.round_trip() >= Duration::from_millis(300));
        liveness.answer();
        let measured = liveness.round_trip();
        assert!(measured >= Duration::from_millis(300));
        // It is no answer to a ping.
        liveness.answer();
        assert_eq!(liveness.round_trip(), measured);
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
