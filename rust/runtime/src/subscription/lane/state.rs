//! The state of a lane and its transitions. Time comes in as an argument.
//!
//! A call is scheduled, started, invoked by the host, and settled. Its outcome is taken after the
//! outcomes of all earlier events. Not here: locks, wakers and the host (`lane`); which events the initial
//! value contains (`initial`); what transitions tell their caller (`answers`).

mod answers;
mod initial;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Event, LocalPosition, Snapshot};
use bytes::Bytes;

use crate::bounded_queue::{BoundedQueue, Pushed, Waiting};
use crate::config::{
    MAX_PENDING_EVENTS, OUTCOMES_AHEAD, REPLAY_WINDOW, STREAM_WINDOW, SlowConsumer,
};
use crate::subscription::call::{CallId, CallInput, Outcome};

pub use answers::Started;
pub(crate) use answers::{ExpiredCalls, LaneItem, PushedEvent, SettledCall, StreamRoom, TakenItem};

/// An item of the queue.
enum PendingItem {
    /// An event, which waits for its call.
    Event(Arc<Event>),
    /// Events are missing at this place.
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
            // `None`: it is never dropped. The client would not be told that events are missing.
            Self::Gap(_) => None,
        }
    }
}

/// A call whose outcome was not taken.
struct ActiveCall {
    id: CallId,
    /// The position of its event; for the initial value, of the last event that it contains.
    at: Option<LocalPosition>,
    since: Instant,
    outcome: Option<Outcome>,
    kind: CallKind,
}

/// What an outcome belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallKind {
    /// An event, or the source stream.
    Other,
    Initial,
    /// A gap, which is not a call: it keeps its place in the order of the outcomes.
    Gap,
}

impl ActiveCall {
    fn sequence(&self) -> Option<u64> {
        self.at.map(|at| at.sequence)
    }
}

/// Whether the initial value has to wait until others see the effects of what was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    No,
    /// The actor has to be told.
    Due,
    /// The actor waits.
    Waits,
}

/// Events, calls and outcomes of one subscription.
pub(super) struct LaneState {
    events: BoundedQueue<PendingItem>,
    /// In the order of their events: an outcome waits for the ones before it.
    running: VecDeque<ActiveCall>,
    /// Items of a source stream.
    items: VecDeque<Outcome>,
    /// Whether the source stream waits for room for its next item.
    awaits_room: bool,
    /// Calls that have no outcome yet (count).
    unfinished: usize,
    /// The call that has to start before those of events; `None`: it has started, or there is none.
    first: Option<CallInput>,
    /// The call for the initial value, while it runs. No other call starts then.
    initial: Option<CallId>,
    /// Events up to this sequence are contained in the initial value.
    seen: u64,
    /// Whether events may be delivered before others see their effects.
    settles: bool,
    settling: Settling,
    /// The newest event when the call for the initial value began, until that call has ended.
    begun: Option<LocalPosition>,
    /// The transactions that the initial value contains. Their events are dropped.
    contained: Option<Snapshot>,
    /// The subscription has the events after this one: events before it have to be in the initial value.
    begin: LocalPosition,
    /// Whether the host was scheduled and has not called `start` since.
    is_scheduled: bool,
    /// Whether the actor has set a timer.
    is_timed: bool,
    /// Whether the subscription ends because its resolver does not keep up.
    overflowed: bool,
    closed: bool,
    /// Whether the initial value is made again after a gap.
    restarts: bool,
    /// Limit of calls that run at the same time (count).
    concurrency: usize,
    /// Limit of the time of a call; `None`: no limit.
    timeout: Option<Duration>,
}

impl LaneState {
    /// Creates a lane without events. `first`: the call that starts before those of events.
    pub(super) fn new(
        first: Option<CallInput>,
        concurrency: usize,
        timeout: Option<Duration>,
        policy: SlowConsumer,
    ) -> Self {
        Self {
            events: BoundedQueue::new(MAX_PENDING_EVENTS, policy),
            // Most lanes never have more than one call.
            running: VecDeque::with_capacity(1),
            items: VecDeque::new(),
            awaits_room: false,
            unfinished: 0,
            first,
            initial: None,
            seen: 0,
            settles: false,
            settling: Settling::No,
            begun: None,
            contained: None,
            begin: LocalPosition::default(),
            is_scheduled: false,
            is_timed: false,
            overflowed: false,
            closed: false,
            restarts: false,
            concurrency: concurrency.max(1),
            timeout,
        }
    }

    /// Notes that the host is scheduled to prepare the lane.
    pub(super) fn open(&mut self) {
        self.is_scheduled = true;
    }

    /// Queues an event. When the queue is full, the slow-consumer policy applies. `refusal` creates
    /// the outcome that ends the subscription, if the policy says so.
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
        if self.closed || self.overflowed || self.is_known(&item) {
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

    /// Queues a missed event. [`Self::has_replay_room`] must have returned true. Returns whether
    /// the host has to be scheduled.
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

    /// Notes that the host is scheduled, if a call may start and it was not. Returns whether the
    /// caller has to schedule it.
    fn schedule(&mut self) -> bool {
        if self.is_scheduled || !self.can_start() {
            return false;
        }
        self.is_scheduled = true;
        true
    }

    fn can_start(&self) -> bool {
        !self.closed
            && self.initial.is_none()
            && self.settling == Settling::No
            && self.unfinished < self.concurrency
            // Calls wait for an actor that does not keep up.
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
            let is_initial = matches!(input, CallInput::Initial);
            if is_initial {
                self.initial = Some(id);
            }
            self.running.push_back(ActiveCall {
                id,
                at,
                since: now,
                outcome: None,
                kind: match is_initial {
                    true => CallKind::Initial,
                    false => CallKind::Other,
                },
            });
            self.unfinished += 1;
            (id, input)
        });
        Started {
            call,
            reschedule: self.schedule(),
        }
    }

    /// Moves the gaps at the front of the queue to the outcomes. They need no call.
    fn pass_gaps(&mut self, now: Instant) {
        while self.first.is_none()
            && self.can_start()
            && let Some(PendingItem::Gap(at)) = self.events.front()
        {
            let at = *at;
            self.running.push_back(ActiveCall {
                id: CallId::next(),
                at: Some(at),
                since: now,
                outcome: Some(Outcome::Skip),
                kind: CallKind::Gap,
            });
            self.begin = at;
            self.events.pop();
            if self.restarts {
                self.begin_initial();
            }
        }
    }

    fn next_input(&mut self) -> Option<CallInput> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.events.pop()? {
            PendingItem::Event(event) => Some(CallInput::Event(event)),
            // `pass_gaps` has moved the gaps at the front.
            PendingItem::Gap(_) => None,
        }
    }

    /// Sets the outcome of a call.
    pub(super) fn settle(&mut self, id: CallId, outcome: Outcome) -> SettledCall {
        let called = self.running.iter().find(|call| call.id == id);
        let is_stream = |call: &&ActiveCall| call.kind == CallKind::Other && call.at.is_none();
        let since = called
            .filter(|call| !is_stream(call))
            .map(|call| call.since);
        let is_wanted = self.set_outcome(id, outcome);
        SettledCall {
            is_wanted,
            since: since.filter(|_| is_wanted),
            reschedule: self.schedule(),
        }
    }

    fn set_outcome(&mut self, id: CallId, outcome: Outcome) -> bool {
        let Some(call) = self.running.iter_mut().find(|call| call.id == id) else {
            return false;
        };
        if call.outcome.is_some() {
            // It has timed out before.
            return false;
        }
        call.outcome = Some(outcome);
        self.unfinished -= 1;
        if self.initial == Some(id) {
            self.initial_ends();
        }
        true
    }

    /// Adds an item of a source stream. Returns whether there is room for another one; `None`: the
    /// lane is closed.
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

    /// Returns whether the source stream may go on. After `Later`, [`TakenItem::has_room`] is set
    /// once it may.
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

    /// Ends the subscription with an outcome that belongs to no call.
    pub(super) fn refuse(&mut self, outcome: Outcome) {
        self.items.push_back(outcome);
    }

    /// Whether [`Self::take`] would return something.
    pub(super) fn has_news(&self) -> bool {
        self.has_outcome() || self.settling == Settling::Due || self.needs_timer().is_some()
    }

    fn has_outcome(&self) -> bool {
        let first = self.running.front();
        self.has_item() || first.is_some_and(|call| call.outcome.is_some())
    }

    /// Whether an item goes first. Those of an initial value follow the events before it.
    fn has_item(&self) -> bool {
        let mut later = self.running.iter().skip(1);
        !self.items.is_empty() && !later.any(|call| call.kind == CallKind::Initial)
    }

    fn needs_timer(&self) -> Option<Duration> {
        let is_needed = !self.is_timed && (self.unfinished > 0 || self.is_scheduled);
        self.timeout.filter(|_| is_needed)
    }

    /// Takes the next item for the actor.
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
        if self.settling == Settling::Due {
            self.settling = Settling::Waits;
            return Some(TakenItem {
                item: LaneItem::Settle(self.begin),
                schedule: false,
                has_room: false,
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
        // Items go first: the outcome of a source stream's call is its end.
        if self.has_item() {
            let item = self.items.pop_front()?;
            return Some(LaneItem::Outcome(item, None));
        }
        self.running.front()?.outcome.as_ref()?;
        let ended = self.running.pop_front()?;
        Some(match ended.kind {
            CallKind::Gap => LaneItem::Gap(ended.at?),
            CallKind::Initial => LaneItem::Initial(ended.outcome?, ended.at),
            CallKind::Other => LaneItem::Outcome(ended.outcome?, ended.at),
        })
    }

    /// Takes the next outcome if it is the response to an event, or none is sent for one. Returns its position, and
    /// whether the host has to be scheduled.
    pub(super) fn take_response(&mut self) -> Option<(Outcome, Option<LocalPosition>, bool)> {
        let is_plain = |call: &ActiveCall| {
            let outcome = call.outcome.as_ref();
            let is_plain = |outcome: &Outcome| {
                matches!(
                    outcome,
                    Outcome::Response(_) | Outcome::Failed(_) | Outcome::Skip
                )
            };
            call.kind == CallKind::Other && outcome.is_some_and(is_plain)
        };
        if !self.items.is_empty() || !self.running.front().is_some_and(is_plain) {
            return None;
        }
        let ended = self.running.pop_front()?;
        Some((ended.outcome?, ended.at, self.schedule()))
    }

    /// Ends the calls that run longer than `limit`, with the response `timed_out`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        limit: Duration,
        timed_out: impl Fn() -> Bytes,
    ) -> ExpiredCalls {
        let mut expired = ExpiredCalls::default();
        for call in &mut self.running {
            if call.outcome.is_some() {
                continue;
            }
            // The time in which a source stream waits for its client does not count.
            let left = if self.awaits_room {
                limit
            } else {
                limit.saturating_sub(now.saturating_duration_since(call.since))
            };
            if !left.is_zero() {
                // Calls are in the order of their start: the later ones have more time left.
                expired.next = Some(left);
                break;
            }
            call.outcome = Some(match call.kind {
                CallKind::Initial => Outcome::Retry(timed_out()),
                CallKind::Gap | CallKind::Other => Outcome::Failed(timed_out()),
            });
            expired.ids.push(call.id);
        }
        self.unfinished -= expired.ids.len();
        if !expired.ids.is_empty() {
            if self.initial.is_some_and(|id| expired.ids.contains(&id)) {
                self.initial_ends();
            }
            expired.schedule = self.schedule();
        }
        if expired.next.is_none() && self.is_scheduled {
            expired.next = Some(limit);
        }
        self.is_timed = expired.next.is_some();
        expired
    }

    /// Whether the outcomes of all events were taken.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
            && self.events.is_empty()
            && self.items.is_empty()
            && self.first.is_none()
    }

    /// The sequence of the last event whose outcome was not taken; 0 when there is none.
    pub(super) fn last(&self) -> u64 {
        let last = self.events.back().map(PendingItem::sequence);
        let running = || self.running.back().and_then(ActiveCall::sequence);
        last.or_else(running).unwrap_or_default()
    }

    /// Whether the initial value and the outcomes of all events up to a sequence were taken.
    pub(super) fn is_past(&self, sequence: u64) -> bool {
        let is_later = |item: &PendingItem| item.sequence() > sequence;
        let is_called_later = |call: &ActiveCall| call.sequence().is_some_and(|at| at > sequence);
        self.first.is_none()
            && self.items.is_empty()
            && self.running.iter().all(is_called_later)
            && self.events.front().is_none_or(is_later)
    }

    /// Closes the lane: no call starts any more. Returns the calls that run.
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
