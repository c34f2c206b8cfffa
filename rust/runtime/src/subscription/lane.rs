//! The way of one subscription through the host: events wait in it, calls start from it, outcomes
//! leave it in the order of their events.
//!
//! Three parties share a lane. The shard pushes events, the host starts calls and finishes them on
//! its own thread, the subscription's actor takes outcomes and minds the time. None waits for
//! another: the lock is held for a few moves, and no call is made under it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix::Recipient;
use bus::{Event, Stream};
use futures_util::task::AtomicWaker;
use graphql::{GraphQLError, ResolverError};
use parking_lot::Mutex;

use super::call::{CallId, CallInput, Outcome, SubscriptionInfo};
use super::host::Resolver;
use super::wakes::{Wake, WakeActors};
use crate::config::{
    MAX_PENDING_EVENTS, OUTCOMES_AHEAD, REPLAY_WINDOW, STREAM_WINDOW, SlowConsumer,
};
use crate::metrics::Metrics;

/// Called once, on any thread.
pub type Callback = Box<dyn FnOnce() + Send>;

struct ActiveCall {
    id: CallId,
    /// Of its event; of the initial value the last event that it contains.
    offset: Option<u64>,
    since: Instant,
    outcome: Option<Outcome>,
}

#[derive(Default)]
struct LaneState {
    events: VecDeque<Arc<Event>>,
    /// In the order of their events; an outcome waits for those before it.
    running: VecDeque<ActiveCall>,
    /// Items of a source stream.
    items: VecDeque<Outcome>,
    room: Option<Callback>,
    /// Calls that have no outcome yet (count).
    unfinished: usize,
    /// What comes before the events has not started yet.
    first: Option<CallInput>,
    /// While the initial value is made, no event starts.
    is_initial: bool,
    /// Events up to this offset are contained in the initial value.
    seen: u64,
    /// Events up to this offset are not waited for.
    live_after: u64,
    /// Whether the host has been told that there is something to start.
    is_scheduled: bool,
    /// Whether the actor has a timer.
    is_timed: bool,
    overflowed: bool,
    closed: bool,
}

/// What all lanes of a manager share.
pub(crate) struct LaneContext {
    /// What happens to events that come faster than calls end.
    pub(crate) policy: SlowConsumer,
    pub(crate) metrics: Arc<Metrics>,
    /// Makes the calls.
    pub(crate) resolver: Arc<dyn Resolver>,
}

/// Events, calls and outcomes of one subscription.
pub struct Lane {
    /// Whose lane it is.
    pub info: SubscriptionInfo,
    state: Mutex<LaneState>,
    policy: SlowConsumer,
    concurrency: usize,
    metrics: Arc<Metrics>,
    stream: Option<Arc<Stream>>,
    resolver: Arc<dyn Resolver>,
    /// The worker that its actor is on.
    worker: Recipient<WakeActors>,
    waker: AtomicWaker,
}

/// What the actor finds in its lane.
pub(crate) enum LaneItem {
    /// The next outcome, and the offset of its event.
    Outcome(Outcome, Option<u64>),
    /// A call has started and no timer is armed: set one.
    Start(Duration),
}

impl Lane {
    pub(crate) fn new(
        info: SubscriptionInfo,
        stream: Option<Arc<Stream>>,
        context: &LaneContext,
        worker: Recipient<WakeActors>,
    ) -> Self {
        let first = match info.definition.kind {
            kind if kind.is_stream() => Some(CallInput::Stream),
            _ if info.definition.has_initial => Some(CallInput::Initial),
            _ => None,
        };
        Self {
            concurrency: info.definition.concurrency.max(1),
            info,
            state: Mutex::new(LaneState {
                first,
                ..LaneState::default()
            }),
            policy: context.policy,
            metrics: context.metrics.clone(),
            stream,
            resolver: context.resolver.clone(),
            worker,
            waker: AtomicWaker::new(),
        }
    }

    /// Lets the host make itself ready, before there is anything to call.
    pub(crate) fn open(self: &Arc<Self>) {
        self.state.lock().is_scheduled = true;
        self.resolver.schedule(self.clone());
    }

    /// Queues an event; past the capacity the slow-consumer policy acts.
    pub(crate) fn push(self: &Arc<Self>, event: Arc<Event>) {
        let mut state = self.state.lock();
        if state.closed || state.overflowed || event.offset <= state.live_after {
            return;
        }
        let waiting = state.events.len();
        if waiting >= MAX_PENDING_EVENTS {
            let dropped = match self.policy {
                SlowConsumer::Disconnect => {
                    self.metrics.slow_consumer_disconnects.add(1);
                    let error = GraphQLError::new(format!(
                        "the subscription was ended: its resolver is more than {MAX_PENDING_EVENTS} events behind"
                    ));
                    let errors = graphql::errors_to_json(&[error]);
                    state.items.push_back(Outcome::Refused(errors.into()));
                    state.overflowed = true;
                    state.events.clear();
                    waiting + 1
                }
                SlowConsumer::DropOldest => state.events.drain(..1).len(),
                SlowConsumer::Latest => state.events.drain(..).len(),
            };
            self.metrics.events_dropped.add(dropped as u64);
            if state.overflowed {
                drop(state);
                return self.waker.wake();
            }
        }
        state.events.push_back(event);
        self.schedule(state);
    }

    /// Ignores events up to this offset that are still on their way.
    pub(crate) fn begin_after(&self, offset: u64) {
        self.state.lock().live_after = offset;
    }

    /// The client has what an initial value would tell.
    pub(crate) fn skip_initial(&self) {
        self.state.lock().first = None;
    }

    /// The client has missed events: the initial value, if there is one, tells what they did.
    /// Returns whether there is one.
    pub(crate) fn restart(self: &Arc<Self>) -> bool {
        if self.info.definition.has_initial {
            let mut state = self.state.lock();
            state.first = Some(CallInput::Initial);
            self.schedule(state);
        }
        self.info.definition.has_initial
    }

    /// Queues an event that was missed; [`Self::has_replay_room`] has said that it may.
    pub(crate) fn replay(self: &Arc<Self>, event: Arc<Event>) {
        let mut state = self.state.lock();
        if !state.closed && !state.overflowed {
            state.events.push_back(event);
            self.schedule(state);
        }
    }

    /// Whether one more missed event may be queued.
    pub(crate) fn has_replay_room(&self) -> bool {
        self.state.lock().events.len() < REPLAY_WINDOW
    }

    /// Tells the host when something can start, and the actor when its start needs a timer.
    fn schedule(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, LaneState>) {
        if state.is_scheduled || !self.can_start(&state) {
            return;
        }
        state.is_scheduled = true;
        let needs_timer = !state.is_timed && self.info.definition.timeout.is_some();
        drop(state);
        self.resolver.schedule(self.clone());
        if needs_timer {
            self.waker.wake();
        }
    }

    fn can_start(&self, state: &LaneState) -> bool {
        !state.closed
            && !state.is_initial
            && state.unfinished < self.concurrency
            // An actor that does not keep up with the host is waited for.
            && state.running.len() < self.concurrency + OUTCOMES_AHEAD
            && (state.first.is_some() || !state.events.is_empty())
    }

    /// For the host, when it was scheduled: what to call next. Finish each with
    /// [`Self::finish`]; then, or at once if more calls may run, ask [`Self::claim`].
    pub fn start(&self) -> Option<(CallId, CallInput)> {
        let mut state = self.state.lock();
        state.is_scheduled = false;
        if !self.can_start(&state) {
            return None;
        }
        let subject = match state.first.take() {
            Some(CallInput::Initial) => {
                state.is_initial = true;
                CallInput::Initial
            }
            Some(first) => first,
            None => {
                let seen = state.seen;
                let next = std::iter::from_fn(|| state.events.pop_front());
                let mut unseen = next.skip_while(|event| event.offset <= seen);
                CallInput::Event(unseen.next()?)
            }
        };
        let id = CallId::next();
        let offset = match &subject {
            CallInput::Event(event) => Some(event.offset),
            CallInput::Initial | CallInput::Stream => None,
        };
        state.running.push_back(ActiveCall {
            id,
            offset,
            since: Instant::now(),
            outcome: None,
        });
        state.unfinished += 1;
        drop(state);
        self.metrics.resolver_calls.add(1);
        Some((id, subject))
    }

    /// For the host, at the moment in which the function for the initial value is entered: it
    /// sees what the events up to now have told, so that they are not sent.
    pub fn initial_begins(&self) {
        let mut state = self.state.lock();
        let seen = self.stream.as_deref().map_or(0, Stream::last_offset);
        state.seen = seen;
        if state.is_initial
            && let Some(call) = state.running.back_mut()
        {
            call.offset = Some(seen);
        }
    }

    /// For the host: whether another call may start now. If so the host has been scheduled and
    /// has to ask [`Self::start`].
    #[must_use]
    pub fn claim(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_scheduled || !self.can_start(&state) {
            return false;
        }
        state.is_scheduled = true;
        true
    }

    /// For the host: a call has ended. Returns the wake-up of the actor when there is something for
    /// it.
    #[must_use]
    pub fn finish(&self, id: CallId, outcome: Outcome) -> Option<Wake> {
        let mut state = self.state.lock();
        let has_failed = matches!(outcome, Outcome::Failed(_) | Outcome::Refused(_));
        if state.closed || !state.finish(id, outcome) {
            return None;
        }
        let is_ready = state.is_ready();
        drop(state);
        self.metrics.resolver_errors.add(u64::from(has_failed));
        let waker = is_ready.then(|| self.waker.take()).flatten()?;
        let worker = self.worker.clone();
        Some(Wake { waker, worker })
    }

    /// For the host: fields of a result had faults.
    pub fn count_field_errors(&self, count: u64) {
        self.metrics.field_errors.add(count);
    }

    /// For the host: one item of a source stream. False when the stream has to wait for
    /// [`Self::when_room`] before it goes on.
    pub fn item(&self, outcome: Outcome) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        let has_failed = outcome.has_failed();
        self.metrics.resolver_errors.add(u64::from(has_failed));
        state.items.push_back(outcome);
        state.restart_time_of_initial();
        let has_room = state.items.len() < STREAM_WINDOW;
        drop(state);
        self.waker.wake();
        has_room
    }

    /// For the host: calls `waiter` once there is room for another item; at once when there is.
    /// It is dropped uncalled when the subscription ends, which cancels the stream. False: the
    /// subscription has ended before.
    pub fn when_room(&self, waiter: Callback) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        if state.items.len() >= STREAM_WINDOW {
            state.room = Some(waiter);
            return true;
        }
        drop(state);
        waiter();
        true
    }

    /// For the host: the subscription cannot run, or not any more.
    pub fn refuse(&self, outcome: Outcome) {
        let mut state = self.state.lock();
        state.items.push_back(outcome);
        drop(state);
        self.waker.wake();
    }

    /// For the host: whether the outcome of a call is still wanted.
    #[must_use]
    pub fn wants(&self, id: CallId) -> bool {
        let state = self.state.lock();
        let call = state.running.iter().find(|call| call.id == id);
        call.is_some_and(|call| call.outcome.is_none())
    }

    /// For the host: whether the subscription has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// The next thing for the actor, which is woken when there is one.
    pub(crate) fn poll(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<LaneItem> {
        self.waker.register(cx.waker());
        let mut state = self.state.lock();
        if let Some((outcome, offset)) = state.take_outcome() {
            let has_room = state.items.len() < STREAM_WINDOW / 2;
            let room = state.room.take_if(|_| has_room);
            if room.is_some() {
                state.restart_time_of_initial();
            }
            self.schedule(state);
            if let Some(waiter) = room {
                waiter();
            }
            return Poll::Ready(LaneItem::Outcome(outcome, offset));
        }
        if let Some(limit) = self.info.definition.timeout
            && !state.is_timed
            && (state.unfinished > 0 || state.is_scheduled)
        {
            state.is_timed = true;
            return Poll::Ready(LaneItem::Start(limit));
        }
        Poll::Pending
    }

    /// For the actor, when its timer fires: ends the calls that took too long with `timed_out`
    /// and returns the time until the next one may have. `None`: no timer is needed.
    pub(crate) fn expire(
        self: &Arc<Self>,
        limit: Duration,
        timed_out: &ResolverError,
    ) -> Option<Duration> {
        let mut state = self.state.lock();
        let now = Instant::now();
        // For the client, which does not take what there is.
        let is_waiting = state.room.is_some();
        let mut expired = Vec::new();
        let mut next = None;
        for call in &mut state.running {
            if call.outcome.is_some() {
                continue;
            }
            let left = if is_waiting {
                limit
            } else {
                limit.saturating_sub(now.duration_since(call.since))
            };
            if left.is_zero() {
                let mut response = Vec::new();
                if let Some(plan) = &self.info.plan {
                    plan.project_error(timed_out.clone(), &mut response);
                }
                call.outcome = Some(Outcome::Failed(response.into()));
                expired.push(call.id);
            } else {
                // They are in the order of their start.
                next = Some(left);
                break;
            }
        }
        state.unfinished -= expired.len();
        if !expired.is_empty() {
            state.is_initial = false;
        }
        if next.is_none() && state.is_scheduled {
            next = Some(limit);
        }
        state.is_timed = next.is_some();
        if expired.is_empty() {
            return next;
        }
        self.metrics.resolver_timeouts.add(expired.len() as u64);
        self.metrics.resolver_errors.add(expired.len() as u64);
        let is_ready = state.is_ready();
        self.schedule(state);
        self.resolver.cancel(self.clone(), expired);
        if is_ready {
            self.waker.wake();
        }
        next
    }

    /// Whether all events that came have left as outcomes.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.running.is_empty()
            && state.events.is_empty()
            && state.items.is_empty()
            && state.first.is_none()
    }

    /// The offset of the last event that came and has not left as an outcome; 0 when all have.
    pub(crate) fn last(&self) -> u64 {
        let state = self.state.lock();
        let last = state.events.back().map(|event| event.offset);
        let running = || state.running.back().and_then(|call| call.offset);
        last.or_else(running).unwrap_or_default()
    }

    /// Whether the events up to an offset have left as outcomes, and the initial value has.
    pub(crate) fn is_past(&self, offset: u64) -> bool {
        let state = self.state.lock();
        let is_later = |event: &Arc<Event>| event.offset > offset;
        let is_called_later = |call: &ActiveCall| call.offset.is_some_and(|called| called > offset);
        state.first.is_none()
            && state.items.is_empty()
            && state.running.iter().all(is_called_later)
            && state.events.front().is_none_or(is_later)
    }

    /// Ends the lane: nothing starts any more, what runs is cancelled.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.closed, true) {
            return;
        }
        let running = std::mem::take(&mut state.running);
        let dropped = (
            std::mem::take(&mut state.events),
            std::mem::take(&mut state.items),
            state.room.take(),
        );
        drop(state);
        drop(dropped);
        let unfinished = running.into_iter().filter(|call| call.outcome.is_none());
        let calls: Vec<_> = unfinished.map(|call| call.id).collect();
        if !calls.is_empty() {
            self.resolver.cancel(self.clone(), calls);
        }
    }
}

impl LaneState {
    fn finish(&mut self, id: CallId, outcome: Outcome) -> bool {
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

    /// Each of several initial values has its own time.
    fn restart_time_of_initial(&mut self) {
        if self.is_initial
            && let Some(call) = self.running.back_mut()
        {
            call.since = Instant::now();
        }
    }

    fn is_ready(&self) -> bool {
        let first = self.running.front();
        !self.items.is_empty() || first.is_some_and(|call| call.outcome.is_some())
    }

    fn take_outcome(&mut self) -> Option<(Outcome, Option<u64>)> {
        // The call of a source stream ends after its items.
        if let Some(item) = self.items.pop_front() {
            return Some((item, None));
        }
        self.running.front()?.outcome.as_ref()?;
        let ended = self.running.pop_front()?;
        Some((ended.outcome?, ended.offset))
    }
}
