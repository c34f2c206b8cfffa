//! The states of a lane, and what leads from one to the next: no lock, no waker, no call, no clock.
//!
//! A call is scheduled, started, invoked by the host, and settled. Its outcome leaves when those
//! before it have left.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Event, LocalPosition};

use crate::bounded_queue::{BoundedQueue, Pushed, Waiting};
use crate::config::{
    MAX_PENDING_EVENTS, OUTCOMES_AHEAD, REPLAY_WINDOW, STREAM_WINDOW, SlowConsumer,
};
use crate::subscription::call::{CallId, CallInput, Outcome};

/// What waits for its turn.
enum PendingItem {
    /// An event waits for its call.
    Event(Arc<Event>),
    /// Events are missing here.
    Gap(LocalPosition),
}

impl PendingItem {
    fn sequence(&self) -> u64 {
        match self {
            Self::Event(event) => event.at.sequence,
            Self::Gap(at) => at.sequence,
        }
    }
}

impl Waiting for PendingItem {
    type Operation = ();

    fn weight(&self) -> usize {
        1
    }

    fn operation(&self) -> Option<()> {
        match self {
            Self::Event(_) => Some(()),
            // Or events would be missing without a word.
            Self::Gap(_) => None,
        }
    }
}

struct ActiveCall {
    id: CallId,
    /// Of its event; of the initial value the last event that it contains.
    at: Option<LocalPosition>,
    since: Instant,
    outcome: Option<Outcome>,
    /// It is no call: it holds the place of a gap among the outcomes.
    is_gap: bool,
}

impl ActiveCall {
    fn sequence(&self) -> Option<u64> {
        self.at.map(|at| at.sequence)
    }
}

/// Events, calls and outcomes of one subscription.
pub(super) struct LaneState {
    events: BoundedQueue<PendingItem>,
    /// In the order of their events; an outcome waits for those before it.
    running: VecDeque<ActiveCall>,
    /// Items of a source stream.
    items: VecDeque<Outcome>,
    /// Whether the source stream waits for room for its next item.
    awaits_room: bool,
    /// Calls that have no outcome yet (count).
    unfinished: usize,
    /// What comes before the events has not started yet.
    first: Option<CallInput>,
    /// While the initial value is made, no event starts.
    is_initial: bool,
    /// Events up to this sequence are contained in the initial value.
    seen: u64,
    /// Events up to this sequence are not waited for.
    live_after: u64,
    /// Whether the host has been told that there is something to start.
    is_scheduled: bool,
    /// Whether the actor has a timer.
    is_timed: bool,
    overflowed: bool,
    closed: bool,
    /// Whether the initial value is made again after a gap.
    restarts: bool,
    /// Calls that may run at once (count).
    concurrency: usize,
    /// Time that a call may take.
    timeout: Option<Duration>,
}

/// What became of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PushedEvent {
    /// Events that were dropped (count).
    pub(super) dropped: usize,
    /// Whether the resolver is so slow that the subscription ends.
    pub(super) is_too_slow: bool,
    /// Whether the host is to be told.
    pub(super) schedule: bool,
}

/// What the host is to do when it was scheduled.
#[derive(Debug)]
pub struct Started {
    /// The call to invoke.
    pub call: Option<(CallId, CallInput)>,
    /// Whether another call may start beside it: the host is scheduled again.
    pub goes_on: bool,
}

/// What became of an outcome.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SettledCall {
    /// Whether it was still wanted.
    pub(super) is_wanted: bool,
    /// Whether another call may start: the host is scheduled again.
    pub(super) goes_on: bool,
}

/// What the actor finds in its lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LaneItem {
    /// The next outcome, and the position of its event.
    Outcome(Outcome, Option<LocalPosition>),
    /// Events are missing before what follows.
    Gap(LocalPosition),
    /// A call has started and no timer is armed: set one.
    Start(Duration),
}

/// An item, and what follows from its being taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TakenItem {
    pub(super) item: LaneItem,
    /// Whether the host is to be told.
    pub(super) schedule: bool,
    /// Whether the source stream may go on.
    pub(super) has_room: bool,
}

/// Calls that took too long.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ExpiredCalls {
    /// Which.
    pub(super) ids: Vec<CallId>,
    /// Time until the next one may have; `None`: no timer is needed.
    pub(super) next: Option<Duration>,
    /// Whether the host is to be told.
    pub(super) schedule: bool,
}

/// Whether a source stream may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamRoom {
    Now,
    Later,
    /// The subscription has ended.
    Never,
}

impl LaneState {
    /// A lane without events. `first`: what comes before the events.
    pub(super) fn new(
        first: Option<CallInput>,
        concurrency: usize,
        timeout: Option<Duration>,
        policy: SlowConsumer,
    ) -> Self {
        Self {
            events: BoundedQueue::new(MAX_PENDING_EVENTS, policy),
            running: VecDeque::new(),
            items: VecDeque::new(),
            awaits_room: false,
            unfinished: 0,
            first,
            is_initial: false,
            seen: 0,
            live_after: 0,
            is_scheduled: false,
            is_timed: false,
            overflowed: false,
            closed: false,
            restarts: false,
            concurrency: concurrency.max(1),
            timeout,
        }
    }

    /// The host is told of the lane before there is anything to call.
    pub(super) fn open(&mut self) {
        self.is_scheduled = true;
    }

    /// Queues an event; past the capacity the slow-consumer policy acts. `refusal`: what ends the
    /// subscription then.
    pub(super) fn push(
        &mut self,
        event: Arc<Event>,
        refusal: impl FnOnce() -> Outcome,
    ) -> PushedEvent {
        self.push_item(PendingItem::Event(event), refusal)
    }

    /// Queues a gap. `restarts`: the initial value is made again after it.
    pub(super) fn push_gap(
        &mut self,
        at: LocalPosition,
        restarts: bool,
        refusal: impl FnOnce() -> Outcome,
    ) -> PushedEvent {
        self.restarts = restarts;
        self.push_item(PendingItem::Gap(at), refusal)
    }

    fn push_item(&mut self, item: PendingItem, refusal: impl FnOnce() -> Outcome) -> PushedEvent {
        let is_known = item.sequence() <= self.live_after.max(self.seen);
        if self.closed || self.overflowed || is_known {
            return PushedEvent::default();
        }
        let (dropped, is_too_slow) = match self.events.push(item) {
            Pushed::Added(dropped) => (dropped, false),
            Pushed::Overflow(dropped) => {
                self.items.push_back(refusal());
                self.overflowed = true;
                (dropped, true)
            }
        };
        PushedEvent {
            dropped,
            is_too_slow,
            schedule: self.schedule(),
        }
    }

    /// Queues an event that was missed; [`Self::has_replay_room`] has said that it may. Returns
    /// whether the host is to be told.
    pub(super) fn replay(&mut self, event: Arc<Event>) -> bool {
        if self.closed || self.overflowed {
            return false;
        }
        self.events.add(PendingItem::Event(event));
        self.schedule()
    }

    /// Whether one more missed event may be queued.
    pub(super) fn has_replay_room(&self) -> bool {
        self.events.len() < REPLAY_WINDOW
    }

    /// Ignores events up to this sequence that are still on their way.
    pub(super) fn begin_after(&mut self, sequence: u64) {
        self.live_after = sequence;
    }

    /// The client has what an initial value would tell.
    pub(super) fn skip_initial(&mut self) {
        self.first = None;
    }

    /// The initial value is made again. Returns whether the host is to be told.
    pub(super) fn restart(&mut self) -> bool {
        self.first = Some(CallInput::Initial);
        self.schedule()
    }

    /// Notes that the host is told, if there is something to start and it was not. Returns whether
    /// it is to be told.
    fn schedule(&mut self) -> bool {
        if self.is_scheduled || !self.can_start() {
            return false;
        }
        self.is_scheduled = true;
        true
    }

    fn can_start(&self) -> bool {
        !self.closed
            && !self.is_initial
            && self.unfinished < self.concurrency
            // An actor that does not keep up with the host is waited for.
            && self.running.len() < self.concurrency + OUTCOMES_AHEAD
            && (self.first.is_some() || !self.events.is_empty())
    }

    /// Starts the next call, if one may start.
    pub(super) fn start(&mut self, now: Instant) -> Started {
        self.is_scheduled = false;
        self.pass_gaps(now);
        let input = if self.can_start() {
            self.next_input()
        } else {
            None
        };
        let call = input.map(|input| {
            let id = CallId::next();
            let at = match &input {
                CallInput::Event(event) => Some(event.at),
                CallInput::Initial | CallInput::Stream => None,
            };
            self.running.push_back(ActiveCall {
                id,
                at,
                since: now,
                outcome: None,
                is_gap: false,
            });
            self.unfinished += 1;
            (id, input)
        });
        Started {
            call,
            goes_on: self.schedule(),
        }
    }

    /// Puts the gaps whose turn it is among the outcomes: they need no call.
    fn pass_gaps(&mut self, now: Instant) {
        while self.first.is_none()
            && self.can_start()
            && let Some(PendingItem::Gap(at)) = self.events.front()
        {
            self.running.push_back(ActiveCall {
                id: CallId::next(),
                at: Some(*at),
                since: now,
                outcome: Some(Outcome::Skip),
                is_gap: true,
            });
            self.events.pop();
            if self.restarts {
                self.first = Some(CallInput::Initial);
            }
        }
    }

    fn next_input(&mut self) -> Option<CallInput> {
        if let Some(first) = self.first.take() {
            self.is_initial = matches!(first, CallInput::Initial);
            return Some(first);
        }
        match self.events.pop()? {
            PendingItem::Event(event) => Some(CallInput::Event(event)),
            // Those whose turn it was were passed before.
            PendingItem::Gap(_) => None,
        }
    }

    /// The function for the initial value is entered: it sees the events up to this position, so
    /// that they are not sent.
    pub(super) fn initial_begins(&mut self, seen: LocalPosition) {
        self.seen = seen.sequence;
        let is_seen = |item: &PendingItem| item.sequence() <= seen.sequence;
        while self.events.front().is_some_and(is_seen) {
            self.events.pop();
        }
        if self.is_initial
            && let Some(call) = self.running.back_mut()
        {
            call.at = Some(seen);
        }
    }

    /// A call has ended.
    pub(super) fn settle(&mut self, id: CallId, outcome: Outcome) -> SettledCall {
        let is_wanted = self.set_outcome(id, outcome);
        SettledCall {
            is_wanted,
            goes_on: self.schedule(),
        }
    }

    fn set_outcome(&mut self, id: CallId, outcome: Outcome) -> bool {
        let Some(call) = self.running.iter_mut().find(|call| call.id == id) else {
            return false;
        };
        if call.outcome.is_some() {
            // Its time was over before.
            return false;
        }
        call.outcome = Some(outcome);
        self.unfinished -= 1;
        self.is_initial = false;
        true
    }

    /// Adds an item of a source stream. Returns whether there is room for another one; `None`: the
    /// subscription has ended.
    pub(super) fn item(&mut self, outcome: Outcome, now: Instant) -> Option<bool> {
        if self.closed {
            return None;
        }
        self.items.push_back(outcome);
        self.restart_time_of_initial(now);
        Some(self.has_item_room())
    }

    fn has_item_room(&self) -> bool {
        self.items.len() < STREAM_WINDOW
    }

    /// The source stream asks whether it may go on.
    pub(super) fn await_room(&mut self) -> StreamRoom {
        if self.closed {
            StreamRoom::Never
        } else if self.has_item_room() {
            StreamRoom::Now
        } else {
            self.awaits_room = true;
            StreamRoom::Later
        }
    }

    /// Ends the subscription with an outcome that no call has.
    pub(super) fn refuse(&mut self, outcome: Outcome) {
        self.items.push_back(outcome);
    }

    /// Whether [`Self::take`] would return something.
    pub(super) fn has_news(&self) -> bool {
        self.has_outcome() || self.needs_timer().is_some()
    }

    fn has_outcome(&self) -> bool {
        let first = self.running.front();
        !self.items.is_empty() || first.is_some_and(|call| call.outcome.is_some())
    }

    fn needs_timer(&self) -> Option<Duration> {
        let is_needed = !self.is_timed && (self.unfinished > 0 || self.is_scheduled);
        self.timeout.filter(|_| is_needed)
    }

    /// Takes the next thing for the actor.
    pub(super) fn take(&mut self, now: Instant) -> Option<TakenItem> {
        if let Some(item) = self.take_outcome() {
            let has_room = self.awaits_room && self.items.len() < STREAM_WINDOW / 2;
            if has_room {
                self.awaits_room = false;
                self.restart_time_of_initial(now);
            }
            return Some(TakenItem {
                item,
                schedule: self.schedule(),
                has_room,
            });
        }
        let limit = self.needs_timer()?;
        self.is_timed = true;
        Some(TakenItem {
            item: LaneItem::Start(limit),
            schedule: false,
            has_room: false,
        })
    }

    fn take_outcome(&mut self) -> Option<LaneItem> {
        // The call of a source stream ends after its items.
        if let Some(item) = self.items.pop_front() {
            return Some(LaneItem::Outcome(item, None));
        }
        self.running.front()?.outcome.as_ref()?;
        let ended = self.running.pop_front()?;
        match ended.at {
            Some(at) if ended.is_gap => Some(LaneItem::Gap(at)),
            at => Some(LaneItem::Outcome(ended.outcome?, at)),
        }
    }

    /// Each of several initial values has its own time.
    fn restart_time_of_initial(&mut self, now: Instant) {
        if self.is_initial
            && let Some(call) = self.running.back_mut()
        {
            call.since = now;
        }
    }

    /// The timer has fired: ends the calls that took longer than `limit` with `timed_out`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        limit: Duration,
        timed_out: impl Fn() -> Outcome,
    ) -> ExpiredCalls {
        let mut expired = ExpiredCalls::default();
        for call in &mut self.running {
            if call.outcome.is_some() {
                continue;
            }
            // A source stream that waits for its client takes no time.
            let left = if self.awaits_room {
                limit
            } else {
                limit.saturating_sub(now.saturating_duration_since(call.since))
            };
            if !left.is_zero() {
                // They are in the order of their start.
                expired.next = Some(left);
                break;
            }
            call.outcome = Some(timed_out());
            expired.ids.push(call.id);
        }
        self.unfinished -= expired.ids.len();
        if !expired.ids.is_empty() {
            self.is_initial = false;
            expired.schedule = self.schedule();
        }
        if expired.next.is_none() && self.is_scheduled {
            expired.next = Some(limit);
        }
        self.is_timed = expired.next.is_some();
        expired
    }

    /// Whether all events that came have left as outcomes.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
            && self.events.is_empty()
            && self.items.is_empty()
            && self.first.is_none()
    }

    /// The sequence of the last event that came and has not left as an outcome; 0 when all have.
    pub(super) fn last(&self) -> u64 {
        let last = self.events.back().map(PendingItem::sequence);
        let running = || self.running.back().and_then(ActiveCall::sequence);
        last.or_else(running).unwrap_or_default()
    }

    /// Whether the events up to a sequence have left as outcomes, and the initial value has.
    pub(super) fn is_past(&self, sequence: u64) -> bool {
        let is_later = |item: &PendingItem| item.sequence() > sequence;
        let is_called_later = |call: &ActiveCall| call.sequence().is_some_and(|at| at > sequence);
        self.first.is_none()
            && self.items.is_empty()
            && self.running.iter().all(is_called_later)
            && self.events.front().is_none_or(is_later)
    }

    /// Ends the lane: nothing starts any more. Returns the calls that run.
    pub(super) fn close(&mut self) -> Vec<CallId> {
        if std::mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        self.events.clear();
        self.items.clear();
        self.awaits_room = false;
        let running = std::mem::take(&mut self.running);
        let unfinished = running.into_iter().filter(|call| call.outcome.is_none());
        unfinished.map(|call| call.id).collect()
    }
}

#[cfg(test)]
mod tests;
