//! One operation: its place in the shard, the outcomes of its lane, the time of its calls.
//!
//! Started by `operation::Opener`, on the thread of its connection; ended by its connection,
//! by the drain, or by itself when its resolver is too slow. It ends with the operation.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker, ready};
use std::time::Duration;

use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, SpawnHandle, StreamHandler,
};
use bus::Interest;
use futures_util::Stream;
use graphql::ResolverError;

use super::call::Outcome;
use super::catch_up::CatchUp;
use super::lane::{Lane, LaneItem};
use super::replay::Replay;
use super::shard::Registration;
use super::sink::ResponseSink;

/// Command: end a subscription without a word.
/// Sender: its connection, when the client has ended it or has left. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopSubscription;

/// Command: take no further event, send what is under way, then end as drained. Whatever ends by
/// itself (a query, a mutation, a source stream) goes on.
/// Sender: the connection when it leaves; the runtime for in-process operations. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FinishSubscription;

/// How often a member that drains looks whether its shared group is done.
const GROUP_POLL: Duration = Duration::from_millis(5);

/// One running operation.
pub struct SubscriptionActor {
    sink: Rc<dyn ResponseSink>,
    /// Given up as soon as no further event is wanted.
    registration: Option<Registration>,
    /// `None` for a passthrough, whose results come from its group.
    lane: Option<Arc<Lane>>,
    /// Takes what the lane has.
    taking: Option<SpawnHandle>,
    /// Outcomes up to this sequence are taken only while the client has room.
    gated_to: Rc<Cell<u64>>,
    /// What it has to catch up with first.
    replay: Option<Replay>,
    /// Set while it catches up.
    is_catching_up: bool,
    /// Woken when the lane has moved while it catches up.
    catch_up: Option<Waker>,
    /// It ends when it has caught up.
    is_finishing: bool,
    /// Held so that the engine delivers its events.
    interest: Option<Interest>,
}

impl SubscriptionActor {
    /// Makes the actor of an operation that is registered already.
    #[must_use]
    pub fn new(
        sink: Rc<dyn ResponseSink>,
        registration: Registration,
        lane: Option<Arc<Lane>>,
    ) -> Self {
        Self {
            sink,
            registration: Some(registration),
            lane,
            taking: None,
            gated_to: Rc::default(),
            replay: None,
            is_catching_up: false,
            catch_up: None,
            is_finishing: false,
            interest: None,
        }
    }

    /// Has the engine deliver its events as long as it runs.
    #[must_use]
    pub(crate) fn with_interest(mut self, interest: Option<Interest>) -> Self {
        self.interest = interest;
        self
    }

    /// Lets it catch up with what it has missed before it goes live. Its registration keeps its
    /// place until then.
    #[must_use]
    pub(crate) fn with_replay(mut self, replay: Replay) -> Self {
        if let Some(lane) = &self.lane {
            lane.skip_initial();
        }
        self.gated_to.set(u64::MAX);
        self.is_catching_up = true;
        self.replay = Some(replay);
        self
    }

    pub(super) fn sink(&self) -> &Rc<dyn ResponseSink> {
        &self.sink
    }

    /// Whether it takes no further event.
    pub(super) fn is_finishing(&self) -> bool {
        self.is_finishing
    }

    pub(super) fn lane(&self) -> Option<&Arc<Lane>> {
        self.lane.as_ref()
    }

    /// Wakes who catches up, once the lane has room again or nothing to do.
    pub(super) fn wake_when_moved(&mut self, waker: Waker) {
        self.catch_up = Some(waker);
    }

    /// It has caught up: what comes after this sequence of its stream comes to it from now on. False when
    /// there is more by now.
    pub(super) fn caught_up(
        &mut self,
        replay: &mut Replay,
        after: u64,
        ctx: &mut Context<Self>,
    ) -> bool {
        if self.is_finishing {
            self.is_catching_up = false;
            self.registration = None;
            self.end_when_idle(ctx);
            return true;
        }
        let Some(registration) = replay.go_live(after, &self.sink) else {
            return false;
        };
        self.is_catching_up = false;
        self.catch_up = None;
        self.gated_to.set(replay.missed.sequence());
        let is_shared = registration.membership().is_some();
        self.registration = Some(registration);
        if is_shared {
            // The calls are its group's from now on.
            if let Some(taking) = self.taking.take() {
                ctx.cancel_future(taking);
            }
            if let Some(lane) = self.lane.take() {
                lane.close();
            }
        }
        true
    }

    fn complete(&mut self, ctx: &mut Context<Self>) {
        self.sink.complete();
        ctx.stop();
    }

    fn fail(&mut self, errors: &[u8], ctx: &mut Context<Self>) {
        self.sink.error(errors);
        ctx.stop();
    }

    /// Ends a subscription that takes no further event, once it has sent what was under way.
    fn end_when_idle(&mut self, ctx: &mut Context<Self>) {
        if self.registration.is_none() && self.lane.as_ref().is_none_or(|lane| lane.is_idle()) {
            self.sink.drained();
            ctx.stop();
        }
    }

    fn check_timeouts(&mut self, limit: Duration, ctx: &mut Context<Self>) {
        let Some(lane) = &self.lane else { return };
        let timed_out = ResolverError::new(format!(
            "the resolver of `{}` did not answer within {} s",
            lane.info.definition.field,
            limit.as_secs_f64()
        ));
        if let Some(left) = lane.expire(limit, &timed_out) {
            Self::set_timer(left, limit, ctx);
        }
    }

    fn set_timer(left: Duration, limit: Duration, ctx: &mut Context<Self>) {
        ctx.run_later(left, move |actor, ctx| actor.check_timeouts(limit, ctx));
    }
}

impl Actor for SubscriptionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(replay) = self.replay.take() {
            ctx.spawn(CatchUp::new(replay));
        }
        let Some(lane) = &self.lane else { return };
        let definition = &lane.info.definition;
        if definition.kind.is_stream() || definition.is_shared {
            self.gated_to.set(u64::MAX);
        }
        self.taking = Some(ctx.add_stream(LaneStream {
            lane: lane.clone(),
            sink: self.sink.clone(),
            gated_to: self.gated_to.clone(),
            passed: 0,
        }));
        lane.open();
    }
}

impl Drop for SubscriptionActor {
    fn drop(&mut self) {
        if let Some(lane) = &self.lane {
            lane.close();
        }
    }
}

impl StreamHandler<LaneItem> for SubscriptionActor {
    fn handle(&mut self, found: LaneItem, ctx: &mut Context<Self>) {
        // The lane has room again, or nothing to do.
        if let Some(waker) = self.catch_up.take() {
            waker.wake();
        }
        match found {
            LaneItem::Gap(at) => {
                let has_initial = self
                    .lane
                    .as_ref()
                    .is_some_and(|lane| lane.info.definition.has_initial);
                // With an initial value its position is known once it has that.
                self.sink
                    .announce_position(Some(at).filter(|_| !has_initial), true);
                self.end_when_idle(ctx);
            }
            LaneItem::Outcome(Outcome::Response(response) | Outcome::Failed(response), at) => {
                self.sink.next_of(&response, at);
                self.end_when_idle(ctx);
            }
            LaneItem::Outcome(Outcome::Skip, _) => self.end_when_idle(ctx),
            LaneItem::Outcome(Outcome::Refused(errors), _) => self.fail(&errors, ctx),
            LaneItem::Outcome(Outcome::End, _) => self.complete(ctx),
            LaneItem::Outcome(Outcome::Headed(headed), at) => {
                let (amendment, outcome) = *headed;
                self.sink.amend(amendment);
                StreamHandler::handle(self, LaneItem::Outcome(outcome, at), ctx);
            }
            LaneItem::Start(limit) => Self::set_timer(limit, limit, ctx),
        }
    }
}

impl Handler<StopSubscription> for SubscriptionActor {
    type Result = ();

    fn handle(&mut self, _: StopSubscription, ctx: &mut Context<Self>) {
        if let Some(lane) = &self.lane {
            lane.close();
        }
        self.registration = None;
        ctx.stop();
    }
}

impl Handler<FinishSubscription> for SubscriptionActor {
    type Result = ();

    fn handle(&mut self, _: FinishSubscription, ctx: &mut Context<Self>) {
        if self.is_catching_up {
            self.is_finishing = true;
            return;
        }
        let membership = self.registration.as_ref();
        if let Some(membership) = membership.and_then(Registration::membership) {
            let last = membership.last();
            ctx.run_interval(GROUP_POLL, move |actor, ctx| {
                let membership = actor.registration.as_ref();
                let membership = membership.and_then(Registration::membership);
                if membership.is_none_or(|membership| membership.has_received(last)) {
                    actor.registration = None;
                    actor.end_when_idle(ctx);
                }
            });
            return;
        }
        if self
            .lane
            .as_ref()
            .is_some_and(|lane| lane.info.definition.kind.is_stream())
        {
            // It ends by itself, or with its connection.
            return;
        }
        self.registration = None;
        self.end_when_idle(ctx);
    }
}

/// What a lane has for its actor. The items of a source stream, the results of a shared resolver
/// and those of missed events are taken only while those who receive them have room.
struct LaneStream {
    lane: Arc<Lane>,
    sink: Rc<dyn ResponseSink>,
    gated_to: Rc<Cell<u64>>,
    /// The sequence of the last outcome.
    passed: u64,
}

impl Stream for LaneStream {
    type Item = LaneItem;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<LaneItem>> {
        if self.passed < self.gated_to.get() {
            ready!(self.sink.poll_room(cx));
        }
        let found = ready!(self.lane.poll(cx));
        if let LaneItem::Outcome(_, Some(at)) | LaneItem::Gap(at) = found {
            self.passed = at.sequence;
        }
        Poll::Ready(Some(found))
    }
}
