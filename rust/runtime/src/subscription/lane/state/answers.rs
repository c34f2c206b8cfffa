//! What the transitions of a lane's state tell their caller. Not here: the state.

use std::time::{Duration, Instant};

use bus::LocalPosition;

use crate::subscription::call::{CallId, CallInput, Outcome};

/// The result of pushing an event or a gap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PushedEvent {
    /// Events that were dropped (count).
    pub(crate) dropped: usize,
    /// Whether the subscription ends because its resolver does not keep up.
    pub(crate) is_too_slow: bool,
    /// Whether the host has to be scheduled.
    pub(crate) schedule: bool,
}

/// What the host has to do after it was scheduled.
#[derive(Debug)]
pub struct Started {
    /// The call to invoke, if one may start.
    pub call: Option<(CallId, CallInput)>,
    /// Whether another call may start: call [`crate::Lane::start`] again.
    pub reschedule: bool,
}

/// The result of settling a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SettledCall {
    /// Whether the outcome is used; false when the call had timed out or the lane was closed.
    pub(crate) is_wanted: bool,
    /// When the call began; `None`: its outcome is not used, or it was a source stream.
    pub(crate) since: Option<Instant>,
    /// Whether another call may start.
    pub(crate) reschedule: bool,
}

/// An item of a lane for its actor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LaneItem {
    /// The next outcome, and the position of its event.
    Outcome(Outcome, Option<LocalPosition>),
    /// The outcome of the call for the initial value, and the position of the last event that the value
    /// contains.
    Initial(Outcome, Option<LocalPosition>),
    /// Events are missing before the next outcome.
    Gap(LocalPosition),
    /// The initial value waits until what was delivered up to this position is settled.
    Settle(LocalPosition),
    /// A call has started and no timer is set: set one for this time.
    Start(Duration),
}

/// An item for the actor, and what has to be done after it is taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenItem {
    pub(crate) item: LaneItem,
    /// Whether the host has to be scheduled.
    pub(crate) schedule: bool,
    /// Whether the source stream waits and now has room.
    pub(crate) has_room: bool,
}

/// The calls that have timed out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ExpiredCalls {
    /// Their ids.
    pub(crate) ids: Vec<CallId>,
    /// Time until the next call could time out; `None`: no timer is needed.
    pub(crate) next: Option<Duration>,
    /// Whether the host has to be scheduled.
    pub(crate) schedule: bool,
}

/// Whether there is room for another item of a source stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamRoom {
    Now,
    Later,
    /// The subscription has ended.
    Never,
}
