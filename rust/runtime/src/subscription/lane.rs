//! The lane of a subscription with a resolver: queues events, starts resolver calls, and returns
//! their outcomes in the order of the events.
//!
//! Three threads may use a lane at the same time: the shard pushes events, the host starts and
//! settles calls, and the subscription's actor takes outcomes and checks timeouts. None blocks
//! another for long: the lock is held for one transition of [`LaneState`], and never during a call
//! into the host. Not here: the transitions (`state`), and how a resolver is called (`host`).

mod state;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bus::engine::Pending;
use bus::{EngineLink, Event, LocalPosition, Position, Snapshot, Stream};
use futures_util::task::AtomicWaker;
use graphql::{FieldFault, GraphQLError, ResolverError};
use parking_lot::{Mutex, MutexGuard};

use super::call::{CallId, CallInput, Outcome, SubscriptionInfo};
use super::host::Resolver;
use super::wakes::{Wake, WokenWorker};
use crate::config::{MAX_PENDING_EVENTS, SlowConsumer};
use crate::journal;
use crate::metrics::{FieldSeries, Metrics, TooSlow};

pub(crate) use state::LaneItem;
pub use state::Started;
use state::{LaneState, PushedEvent, StreamRoom};

/// Called once, on any thread.
pub type Callback = Box<dyn FnOnce() + Send>;

/// What all lanes of a manager share.
pub(crate) struct LaneContext {
    /// What happens when more than [`MAX_PENDING_EVENTS`] events wait for a resolver.
    pub(crate) policy: SlowConsumer,
    pub(crate) metrics: Arc<Metrics>,
    /// Calls the resolvers.
    pub(crate) resolver: Arc<dyn Resolver>,
    /// The engine whose events have transactions.
    pub(crate) link: Option<Arc<EngineLink>>,
}

/// Events, calls and outcomes of one subscription.
pub struct Lane {
    /// The subscription.
    pub info: SubscriptionInfo,
    inner: Mutex<LaneInner>,
    /// Whether there is an item for the actor. Set under the lock, cleared without it.
    has_news: AtomicBool,
    /// Set under the lock, read without it.
    is_closed: AtomicBool,
    /// Whether an event was dropped.
    has_dropped: AtomicBool,
    metrics: Arc<Metrics>,
    /// The counters of its field.
    series: Arc<FieldSeries>,
    stream: Option<Arc<Stream>>,
    resolver: Arc<dyn Resolver>,
    link: Option<Arc<EngineLink>>,
    /// The worker of the subscription's actor.
    worker: WokenWorker,
    waker: AtomicWaker,
}

struct LaneInner {
    state: LaneState,
    /// Called when there is room for another item of the source stream.
    on_room: Option<Callback>,
}

/// What the host has to do after a call has ended.
#[must_use]
pub struct Settled {
    /// The actor to wake, if one has to be.
    pub wake: Option<Wake>,
    /// Whether another call may start: call [`Lane::start`] again.
    pub reschedule: bool,
}

impl Lane {
    pub(crate) fn new(
        info: SubscriptionInfo,
        stream: Option<Arc<Stream>>,
        context: &LaneContext,
        worker: WokenWorker,
    ) -> Self {
        let definition = &info.definition;
        let first = match definition.kind {
            kind if kind.is_stream() => Some(CallInput::Stream),
            _ if definition.has_initial => Some(CallInput::Initial),
            _ => None,
        };
        let series = context.metrics.labelled.field(&definition.field);
        let (concurrency, timeout) = (definition.concurrency, definition.timeout);
        let settles = context
            .link
            .as_ref()
            .is_some_and(|link| link.has_transactions());
        let state = LaneState::new(first, concurrency, timeout, context.policy).settling(settles);
        Self {
            info,
            inner: Mutex::new(LaneInner {
                state,
                on_room: None,
            }),
            has_news: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            has_dropped: AtomicBool::new(false),
            metrics: context.metrics.clone(),
            series,
            stream,
            resolver: context.resolver.clone(),
            link: context.link.clone(),
            worker,
            waker: AtomicWaker::new(),
        }
    }

    /// Ends a transition: schedules the next call if `schedule` is set, and wakes the actor if
    /// there is an item for it.
    fn end_transition(self: &Arc<Self>, inner: MutexGuard<'_, LaneInner>, schedule: bool) {
        let has_to_wake = self.unlock(inner);
        if schedule {
            self.resolver.schedule(self.clone());
        }
        if has_to_wake {
            self.waker.wake();
        }
    }

    /// Releases the lock. Returns whether the caller has to wake the actor: there is an item for
    /// it, and it was not woken before.
    #[must_use]
    fn unlock(&self, inner: MutexGuard<'_, LaneInner>) -> bool {
        let has_news = inner.state.has_news();
        let has_to_wake = has_news && !self.has_news.swap(true, AcqRel);
        drop(inner);
        has_to_wake
    }

    /// Has the host prepare the lane, before the first event.
    pub(crate) fn open(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        inner.state.open();
        self.end_transition(inner, true);
    }

    /// Queues an event. When the queue is full, the slow-consumer policy applies. Returns whether the lane has
    /// to be scheduled: pass it to [`Self::schedule_all`].
    #[must_use]
    pub(crate) fn push(&self, event: Arc<Event>) -> bool {
        let mut inner = self.inner.lock();
        let pushed = inner.state.push(event, too_far_behind);
        self.report_pushed(inner, &pushed);
        pushed.schedule
    }

    /// Schedules lanes of one manager.
    pub(crate) fn schedule_all(lanes: Vec<Arc<Self>>) {
        if let Some(resolver) = lanes.first().map(|lane| lane.resolver.clone()) {
            resolver.schedule_all(lanes);
        }
    }

    /// Queues a gap: events are missing before the next one.
    pub(crate) fn push_gap(self: &Arc<Self>, at: LocalPosition) {
        let restarts = self.info.definition.has_initial;
        let mut inner = self.inner.lock();
        let pushed = inner.state.push_gap(at, restarts, too_far_behind);
        self.report_pushed(inner, &pushed);
        if pushed.schedule {
            self.resolver.schedule(self.clone());
        }
    }

    fn report_pushed(&self, inner: MutexGuard<'_, LaneInner>, pushed: &PushedEvent) {
        if self.unlock(inner) {
            self.waker.wake();
        }
        if pushed.dropped > 0 {
            self.series.events_dropped.add(pushed.dropped as u64);
            if !self.has_dropped.swap(true, AcqRel) {
                let (client, operation, field) = self.info.labels();
                journal::events_dropped(client, operation, field);
            }
        }
        if pushed.is_too_slow {
            let field = &self.info.definition.field;
            self.metrics.too_slow(field, TooSlow::Resolver);
            let (client, operation, field) = self.info.labels();
            journal::subscription_too_slow(client, operation, field);
        }
    }

    /// Ignores events up to this sequence that are delivered later.
    pub(crate) fn begin_after(&self, sequence: u64) {
        self.inner.lock().state.begin_after(sequence);
    }

    /// Notes the position after which events are delivered, before the lane is opened.
    pub(crate) fn begin_at(&self, begin: LocalPosition) {
        self.inner.lock().state.begin_at(begin);
    }

    /// Does not call the function for the initial value: the client resumes.
    pub(crate) fn skip_initial(&self) {
        self.inner.lock().state.skip_initial();
    }

    /// Has the initial value made again, because the client has missed events up to `now`. Returns whether
    /// the subscription has an initial value.
    pub(crate) fn restart(self: &Arc<Self>, now: LocalPosition) -> bool {
        if self.info.definition.has_initial {
            let mut inner = self.inner.lock();
            let schedule = inner.state.restart(now);
            self.end_transition(inner, schedule);
        }
        self.info.definition.has_initial
    }

    /// Has the initial value made again, because it has failed.
    pub(crate) fn retry_initial(self: &Arc<Self>) {
        let now = self.stream.as_deref().map(Stream::last).unwrap_or_default();
        let mut inner = self.inner.lock();
        let schedule = inner.state.retry(now);
        self.end_transition(inner, schedule);
    }

    /// Queues a missed event. [`Self::has_replay_room`] must have returned true.
    pub(crate) fn replay(self: &Arc<Self>, event: Arc<Event>) {
        let mut inner = self.inner.lock();
        let schedule = inner.state.replay(event);
        self.end_transition(inner, schedule);
    }

    /// Whether one more missed event may be queued.
    pub(crate) fn has_replay_room(&self) -> bool {
        self.inner.lock().state.has_replay_room()
    }

    /// For the host, after it was scheduled: starts the next call and returns it. Its outcome goes
    /// to [`Self::settle`].
    pub fn start(&self) -> Started {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let started = inner.state.start(now);
        if self.unlock(inner) {
            self.waker.wake();
        }
        if started.call.is_some() {
            self.series.calls.add(1);
        }
        started
    }

    /// For the host, right before it calls the function for the initial value. Events that were
    /// published before are not sent: the initial value contains them, unless
    /// [`Self::initial_contains`] says which.
    pub fn initial_begins(&self) {
        let mut inner = self.inner.lock();
        let seen = self.stream.as_deref().map(Stream::last).unwrap_or_default();
        inner.state.initial_begins(seen);
    }

    /// For the host: the initial value contains the transactions of a snapshot, whatever has been
    /// delivered when it began. Called before its outcome is reported. Returns false if events have no
    /// transactions.
    pub fn initial_contains(&self, snapshot: Snapshot) -> bool {
        let has_transactions = self
            .link
            .as_ref()
            .is_some_and(|link| link.has_transactions());
        if has_transactions {
            self.inner.lock().state.initial_contains(snapshot);
        }
        has_transactions
    }

    /// For the actor, after [`LaneItem::Settle`]: resolves when the initial value may be made; `None`: it
    /// may be made now.
    pub(crate) fn settled_at(&self, at: Position) -> Option<Pending<()>> {
        self.link.as_ref()?.settled(at)
    }

    /// For the actor: the initial value may be made.
    pub(crate) fn settled(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        let schedule = inner.state.settled();
        self.end_transition(inner, schedule);
    }

    /// For the host: reports the outcome of a call.
    pub fn settle(self: &Arc<Self>, id: CallId, outcome: Outcome) -> Settled {
        let has_failed = matches!(
            outcome,
            Outcome::Failed(_) | Outcome::Retry(_) | Outcome::Refused(_)
        );
        let mut inner = self.inner.lock();
        let settled = inner.state.settle(id, outcome);
        let has_to_wake = self.unlock(inner);
        if settled.is_wanted {
            self.series.errors.add(u64::from(has_failed));
        }
        if let Some(since) = settled.since {
            self.series.time.observe(since.elapsed());
        }
        Settled {
            wake: has_to_wake.then(|| Wake(self.clone())),
            reschedule: settled.reschedule,
        }
    }

    /// For the host: counts fields of a result that could not be projected.
    pub fn count_field_errors(&self, faults: &[FieldFault]) {
        self.metrics
            .count_faults(&self.info.definition.field, faults);
    }

    /// For the host: reports an item of a source stream. Returns false when the host has to call
    /// [`Self::when_room`] before it takes the next item.
    pub fn item(self: &Arc<Self>, outcome: Outcome) -> bool {
        let (has_failed, now) = (outcome.has_failed(), Instant::now());
        let mut inner = self.inner.lock();
        let has_room = inner.state.item(outcome, now);
        self.end_transition(inner, false);
        if has_room.is_some() {
            self.series.errors.add(u64::from(has_failed));
        }
        has_room.unwrap_or(false)
    }

    /// For the host: calls `on_room` when there is room for another item, at once if there is.
    /// When the subscription ends first, `on_room` is dropped without a call, and the stream is
    /// cancelled. Returns false when the subscription has ended already.
    pub fn when_room(&self, on_room: Callback) -> bool {
        let mut inner = self.inner.lock();
        match inner.state.await_room() {
            StreamRoom::Never => return false,
            StreamRoom::Later => inner.on_room = Some(on_room),
            StreamRoom::Now => {
                drop(inner);
                on_room();
            }
        }
        true
    }

    /// For the host: ends the subscription with `outcome`, because it cannot run or go on.
    pub fn refuse(self: &Arc<Self>, outcome: Outcome) {
        let mut inner = self.inner.lock();
        inner.state.refuse(outcome);
        self.end_transition(inner, false);
    }

    /// For the host: whether the subscription has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Acquire)
    }

    /// Returns the next item for the actor. Wakes the actor when there is a new one.
    pub(crate) fn poll(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<LaneItem> {
        self.waker.register(cx.waker());
        if !self.has_news.swap(false, AcqRel) {
            return Poll::Pending;
        }
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let Some(taken) = inner.state.take(now) else {
            return Poll::Pending;
        };
        let on_room = inner.on_room.take_if(|_| taken.has_room);
        // The actor polls until nothing is left, so it needs no wake-up here.
        let _is_polled_again = self.unlock(inner);
        if taken.schedule {
            self.resolver.schedule(self.clone());
        }
        if let Some(on_room) = on_room {
            on_room();
        }
        Poll::Ready(taken.item)
    }

    /// The worker of the subscription's actor.
    pub(super) fn worker(&self) -> &WokenWorker {
        &self.worker
    }

    /// Wakes the actor.
    pub(super) fn wake_actor(&self) {
        self.waker.wake();
    }

    /// For the worker: takes the responses that are next, and wakes the actor if something else follows.
    pub(super) fn take_responses(self: &Arc<Self>, send: impl Fn(Outcome, Option<LocalPosition>)) {
        while self.has_news.swap(false, AcqRel) {
            let mut inner = self.inner.lock();
            let taken = inner.state.take_response();
            let is_more = self.unlock(inner);
            let Some((outcome, at, schedule)) = taken else {
                if is_more {
                    self.waker.wake();
                }
                return;
            };
            if schedule {
                self.resolver.schedule(self.clone());
            }
            send(outcome, at);
        }
    }

    /// For the actor, when its timer fires: ends the calls that run longer than `limit`, with the
    /// error `timed_out`. Returns the time until the next call could reach the limit; `None`: no
    /// timer is needed.
    pub(crate) fn expire(
        self: &Arc<Self>,
        limit: Duration,
        timed_out: &ResolverError,
    ) -> Option<Duration> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let expired = inner.state.expire(now, limit, || {
            let mut response = Vec::new();
            if let Some(plan) = &self.info.plan {
                plan.project_error(timed_out.clone(), &mut response);
            }
            response.into()
        });
        self.end_transition(inner, expired.schedule);
        if !expired.ids.is_empty() {
            let count = expired.ids.len() as u64;
            self.series.timeouts.add(count);
            self.series.errors.add(count);
            for _ in &expired.ids {
                self.series.time.observe(limit);
            }
            self.resolver.cancel(self.clone(), expired.ids);
        }
        expired.next
    }

    /// Whether the outcomes of all events were taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.lock().state.is_idle()
    }

    /// The sequence of the last event whose outcome was not taken; 0 when there is none.
    pub(crate) fn last(&self) -> u64 {
        self.inner.lock().state.last()
    }

    /// Whether the initial value and the outcomes of all events up to a sequence were taken.
    pub(crate) fn is_past(&self, sequence: u64) -> bool {
        self.inner.lock().state.is_past(sequence)
    }

    /// Closes the lane: no call starts any more, and running calls are cancelled.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        self.is_closed.store(true, Release);
        let calls = inner.state.close();
        let on_room = inner.on_room.take();
        drop(inner);
        drop(on_room);
        if !calls.is_empty() {
            self.resolver.cancel(self.clone(), calls);
        }
    }
}

/// The error that ends a subscription whose resolver does not keep up.
fn too_far_behind() -> Outcome {
    let error = GraphQLError::new(format!(
        "the subscription was ended: its resolver is more than {MAX_PENDING_EVENTS} events behind"
    ));
    Outcome::Refused(graphql::errors_to_json(&[error]).into())
}
