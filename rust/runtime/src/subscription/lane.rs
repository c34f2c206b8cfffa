//! The way of one subscription through the host: events wait in it, calls start from it, outcomes
//! leave it in the order of their events.
//!
//! Three parties share a lane. The shard pushes events, the host starts calls and settles them on
//! its own thread, the subscription's actor takes outcomes and minds the time. None waits for
//! another: the lock is held for one transition of [`LaneState`], and no call is made under it.

mod state;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix::Recipient;
use bus::{Event, LocalPosition, Stream};
use futures_util::task::AtomicWaker;
use graphql::{GraphQLError, ResolverError};
use parking_lot::{Mutex, MutexGuard};

use super::call::{CallId, CallInput, Outcome, SubscriptionInfo};
use super::host::Resolver;
use super::wakes::{Wake, WakeActors};
use crate::config::{MAX_PENDING_EVENTS, SlowConsumer};
use crate::metrics::Metrics;

pub(crate) use state::LaneItem;
pub use state::Started;
use state::{LaneState, PushedEvent, StreamRoom};

/// Called once, on any thread.
pub type Callback = Box<dyn FnOnce() + Send>;

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
    shared: Mutex<Shared>,
    /// Whether the actor has something to take. Set under the lock, read without.
    has_news: AtomicBool,
    /// Set under the lock, read without.
    is_closed: AtomicBool,
    metrics: Arc<Metrics>,
    stream: Option<Arc<Stream>>,
    resolver: Arc<dyn Resolver>,
    /// The worker that its actor is on.
    worker: Recipient<WakeActors>,
    waker: AtomicWaker,
}

struct Shared {
    state: LaneState,
    /// What the source stream is told once there is room.
    room: Option<Callback>,
}

/// What the host is to do after a call has ended.
#[must_use]
pub struct Settled {
    /// Wake the actor.
    pub wake: Option<Wake>,
    /// Ask [`Lane::start`] again, as if it were scheduled.
    pub goes_on: bool,
}

impl Lane {
    pub(crate) fn new(
        info: SubscriptionInfo,
        stream: Option<Arc<Stream>>,
        context: &LaneContext,
        worker: Recipient<WakeActors>,
    ) -> Self {
        let definition = &info.definition;
        let first = match definition.kind {
            kind if kind.is_stream() => Some(CallInput::Stream),
            _ if definition.has_initial => Some(CallInput::Initial),
            _ => None,
        };
        let (concurrency, timeout) = (definition.concurrency, definition.timeout);
        let state = LaneState::new(first, concurrency, timeout, context.policy);
        Self {
            info,
            shared: Mutex::new(Shared { state, room: None }),
            has_news: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            metrics: context.metrics.clone(),
            stream,
            resolver: context.resolver.clone(),
            worker,
            waker: AtomicWaker::new(),
        }
    }

    /// Ends a transition: tells the host if it is to `schedule`, and wakes the actor if it has
    /// something to take.
    fn moved(self: &Arc<Self>, shared: MutexGuard<'_, Shared>, schedule: bool) {
        let has_to_wake = self.unlock(shared);
        if schedule {
            self.resolver.schedule(self.clone());
        }
        if has_to_wake {
            self.waker.wake();
        }
    }

    /// Returns whether the actor has something to take and does not know: whoever calls this has
    /// to wake it.
    #[must_use]
    fn unlock(&self, shared: MutexGuard<'_, Shared>) -> bool {
        let has_news = shared.state.has_news();
        let has_to_wake = has_news && !self.has_news.swap(true, AcqRel);
        drop(shared);
        has_to_wake
    }

    /// Lets the host make itself ready, before there is anything to call.
    pub(crate) fn open(self: &Arc<Self>) {
        let mut shared = self.shared.lock();
        shared.state.open();
        self.moved(shared, true);
    }

    /// Queues an event; past the capacity the slow-consumer policy acts.
    pub(crate) fn push(self: &Arc<Self>, event: Arc<Event>) {
        let mut shared = self.shared.lock();
        let pushed = shared.state.push(event, too_far_behind);
        self.pushed(shared, &pushed);
    }

    /// Queues a gap: events are missing before what follows.
    pub(crate) fn push_gap(self: &Arc<Self>, at: LocalPosition) {
        let restarts = self.info.definition.has_initial;
        let mut shared = self.shared.lock();
        let pushed = shared.state.push_gap(at, restarts, too_far_behind);
        self.pushed(shared, &pushed);
    }

    fn pushed(self: &Arc<Self>, shared: MutexGuard<'_, Shared>, pushed: &PushedEvent) {
        self.moved(shared, pushed.schedule);
        if pushed.dropped > 0 {
            self.metrics.events_dropped.add(pushed.dropped as u64);
        }
        if pushed.is_too_slow {
            self.metrics.slow_consumer_disconnects.add(1);
        }
    }

    /// Ignores events up to this sequence that are still on their way.
    pub(crate) fn begin_after(&self, sequence: u64) {
        self.shared.lock().state.begin_after(sequence);
    }

    /// The client has what an initial value would tell.
    pub(crate) fn skip_initial(&self) {
        self.shared.lock().state.skip_initial();
    }

    /// The client has missed events: the initial value, if there is one, tells what they did.
    /// Returns whether there is one.
    pub(crate) fn restart(self: &Arc<Self>) -> bool {
        if self.info.definition.has_initial {
            let mut shared = self.shared.lock();
            let schedule = shared.state.restart();
            self.moved(shared, schedule);
        }
        self.info.definition.has_initial
    }

    /// Queues an event that was missed; [`Self::has_replay_room`] has said that it may.
    pub(crate) fn replay(self: &Arc<Self>, event: Arc<Event>) {
        let mut shared = self.shared.lock();
        let schedule = shared.state.replay(event);
        self.moved(shared, schedule);
    }

    /// Whether one more missed event may be queued.
    pub(crate) fn has_replay_room(&self) -> bool {
        self.shared.lock().state.has_replay_room()
    }

    /// For the host, when it was scheduled: what to invoke next. Settle it with [`Self::settle`].
    pub fn start(&self) -> Started {
        let now = Instant::now();
        let mut shared = self.shared.lock();
        let started = shared.state.start(now);
        if self.unlock(shared) {
            self.waker.wake();
        }
        if started.call.is_some() {
            self.metrics.resolver_calls.add(1);
        }
        started
    }

    /// For the host, at the moment in which the function for the initial value is entered: it
    /// sees what the events up to now have told, so that they are not sent.
    pub fn initial_begins(&self) {
        let mut shared = self.shared.lock();
        let seen = self.stream.as_deref().map(Stream::last).unwrap_or_default();
        shared.state.initial_begins(seen);
    }

    /// For the host: a call has ended.
    pub fn settle(&self, id: CallId, outcome: Outcome) -> Settled {
        let has_failed = matches!(outcome, Outcome::Failed(_) | Outcome::Refused(_));
        let mut shared = self.shared.lock();
        let settled = shared.state.settle(id, outcome);
        let has_to_wake = self.unlock(shared);
        if settled.is_wanted {
            self.metrics.resolver_errors.add(u64::from(has_failed));
        }
        let waker = has_to_wake.then(|| self.waker.take()).flatten();
        let wake = waker.map(|waker| Wake {
            waker,
            worker: self.worker.clone(),
        });
        Settled {
            wake,
            goes_on: settled.goes_on,
        }
    }

    /// For the host: fields of a result had faults.
    pub fn count_field_errors(&self, count: u64) {
        self.metrics.field_errors.add(count);
    }

    /// For the host: one item of a source stream. False when the stream has to wait for
    /// [`Self::when_room`] before it goes on.
    pub fn item(self: &Arc<Self>, outcome: Outcome) -> bool {
        let (has_failed, now) = (outcome.has_failed(), Instant::now());
        let mut shared = self.shared.lock();
        let has_room = shared.state.item(outcome, now);
        self.moved(shared, false);
        if has_room.is_some() {
            self.metrics.resolver_errors.add(u64::from(has_failed));
        }
        has_room.unwrap_or(false)
    }

    /// For the host: calls `waiter` once there is room for another item; at once when there is.
    /// It is dropped uncalled when the subscription ends, which cancels the stream. False: the
    /// subscription has ended before.
    pub fn when_room(&self, waiter: Callback) -> bool {
        let mut shared = self.shared.lock();
        match shared.state.await_room() {
            StreamRoom::Never => return false,
            StreamRoom::Later => shared.room = Some(waiter),
            StreamRoom::Now => {
                drop(shared);
                waiter();
            }
        }
        true
    }

    /// For the host: the subscription cannot run, or not any more.
    pub fn refuse(self: &Arc<Self>, outcome: Outcome) {
        let mut shared = self.shared.lock();
        shared.state.refuse(outcome);
        self.moved(shared, false);
    }

    /// For the host: whether the subscription has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Acquire)
    }

    /// The next thing for the actor, which is woken when there is one.
    pub(crate) fn poll(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<LaneItem> {
        self.waker.register(cx.waker());
        if !self.has_news.swap(false, AcqRel) {
            return Poll::Pending;
        }
        let now = Instant::now();
        let mut shared = self.shared.lock();
        let Some(taken) = shared.state.take(now) else {
            return Poll::Pending;
        };
        let room = shared.room.take_if(|_| taken.has_room);
        // Who polls takes one item after the other, and needs no wake-up between them.
        let _is_polled_again = self.unlock(shared);
        if taken.schedule {
            self.resolver.schedule(self.clone());
        }
        if let Some(waiter) = room {
            waiter();
        }
        Poll::Ready(taken.item)
    }

    /// For the actor, when its timer fires: ends the calls that took too long with `timed_out`
    /// and returns the time until the next one may have. `None`: no timer is needed.
    pub(crate) fn expire(
        self: &Arc<Self>,
        limit: Duration,
        timed_out: &ResolverError,
    ) -> Option<Duration> {
        let now = Instant::now();
        let mut shared = self.shared.lock();
        let expired = shared.state.expire(now, limit, || {
            let mut response = Vec::new();
            if let Some(plan) = &self.info.plan {
                plan.project_error(timed_out.clone(), &mut response);
            }
            Outcome::Failed(response.into())
        });
        self.moved(shared, expired.schedule);
        if !expired.ids.is_empty() {
            let count = expired.ids.len() as u64;
            self.metrics.resolver_timeouts.add(count);
            self.metrics.resolver_errors.add(count);
            self.resolver.cancel(self.clone(), expired.ids);
        }
        expired.next
    }

    /// Whether all events that came have left as outcomes.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.lock().state.is_idle()
    }

    /// The sequence of the last event that came and has not left as an outcome; 0 when all have.
    pub(crate) fn last(&self) -> u64 {
        self.shared.lock().state.last()
    }

    /// Whether the events up to a sequence have left as outcomes, and the initial value has.
    pub(crate) fn is_past(&self, sequence: u64) -> bool {
        self.shared.lock().state.is_past(sequence)
    }

    /// Ends the lane: nothing starts any more, what runs is cancelled.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut shared = self.shared.lock();
        self.is_closed.store(true, Release);
        let calls = shared.state.close();
        let room = shared.room.take();
        drop(shared);
        drop(room);
        if !calls.is_empty() {
            self.resolver.cancel(self.clone(), calls);
        }
    }
}

/// What ends a subscription whose resolver does not keep up.
fn too_far_behind() -> Outcome {
    let error = GraphQLError::new(format!(
        "the subscription was ended: its resolver is more than {MAX_PENDING_EVENTS} events behind"
    ));
    Outcome::Refused(graphql::errors_to_json(&[error]).into())
}
