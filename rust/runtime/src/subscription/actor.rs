//! The actor of one running operation: holds its registration, sends the outcomes of its lane,
//! limits the time of its calls.
//!
//! `operation::Opener` starts it on the thread of its connection. Its connection or a drain stops
//! it; it stops by itself when the operation completes or fails. Not here: events and calls
//! (`lane`).

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker, ready};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle,
    StreamHandler, WrapFuture,
};
use bus::{Interest, LocalPosition, Received};
use futures_util::Stream;
use graphql::ResolverError;

use super::call::Outcome;
use super::catch_up::CatchUp;
use super::initial_retry::InitialRetry;
use super::lane::{Lane, LaneItem};
use super::passage::{Gate, OpenPassage};
use super::replay::Replay;
use super::shard::Registration;
use super::sink::ResponseSink;

/// Command: end a subscription; nothing more is sent to its client.
/// Sender: its connection, when the client has ended it or has disconnected. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopSubscription;

/// Command: accept no further event, send the results of accepted ones, then end as drained.
/// A query, a mutation or a source stream is not affected: it ends by itself.
/// Sender: the connection when it drains; the runtime for in-process operations. Reply: `()`.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FinishSubscription;

/// Interval at which a draining member checks whether its call group has sent all results.
const GROUP_POLL: Duration = Duration::from_millis(5);

/// One running operation.
pub struct SubscriptionActor {
    sink: Rc<dyn ResponseSink>,
    /// Dropped to stop receiving events.
    registration: Option<Registration>,
    /// `None` when a group makes the results: for a passthrough, and for a member of a call group
    /// that is live.
    lane: Option<Arc<Lane>>,
    /// The task that reads the lane.
    taking: Option<SpawnHandle>,
    /// Up to where outcomes are taken only while the sink has room.
    gate: Rc<Gate>,
    /// The way of responses that concern the sink alone.
    passage: Option<Box<OpenPassage>>,
    /// The replay of missed events, until the actor starts it.
    replay: Option<Box<Replay>>,
    /// Set while missed events are replayed.
    is_catching_up: bool,
    /// Wakes the replay when the lane has made progress.
    catch_up: Option<Waker>,
    /// Set by [`FinishSubscription`] during a replay: the actor ends after it.
    is_finishing: bool,
    /// While held, the engine delivers the events of the stream.
    interest: Option<Box<Interest>>,
    initial: InitialRetry,
}

impl SubscriptionActor {
    /// Creates the actor of an operation that is registered.
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
            gate: Rc::default(),
            passage: None,
            replay: None,
            is_catching_up: false,
            catch_up: None,
            is_finishing: false,
            interest: None,
            initial: InitialRetry::default(),
        }
    }

    /// Keeps an interest in the events of the stream until the actor ends.
    #[must_use]
    pub(crate) fn with_interest(mut self, interest: Option<Interest>) -> Self {
        self.interest = interest.map(Box::new);
        self
    }

    /// Replays missed events before the subscription goes live. Until then its registration only
    /// counts it.
    #[must_use]
    pub(crate) fn with_replay(mut self, replay: Replay) -> Self {
        if let Some(lane) = &self.lane {
            lane.skip_initial();
        }
        self.gate.set(u64::MAX);
        self.is_catching_up = true;
        self.replay = Some(Box::new(replay));
        self
    }

    pub(super) fn sink(&self) -> &Rc<dyn ResponseSink> {
        &self.sink
    }

    /// Whether it ends as soon as it has caught up.
    pub(super) fn is_finishing(&self) -> bool {
        self.is_finishing
    }

    pub(super) fn lane(&self) -> Option<&Arc<Lane>> {
        self.lane.as_ref()
    }

    /// Wakes `waker` once, when the lane has produced its next item.
    pub(super) fn wake_when_moved(&mut self, waker: Waker) {
        self.catch_up = Some(waker);
    }

    /// Ends the replay and registers for the events after a sequence. Returns false when one of
    /// them is available only from the history: the replay has to go on.
    pub(super) fn caught_up(
        &mut self,
        replay: &mut Replay,
        after: u64,
        ctx: &mut Context<Self>,
    ) -> bool {
        if self.is_finishing {
            self.is_catching_up = false;
            self.leave();
            self.end_when_idle(ctx);
            return true;
        }
        let Some(registration) = replay.go_live(after, &self.sink) else {
            return false;
        };
        self.is_catching_up = false;
        self.catch_up = None;
        self.gate.set(replay.missed.sequence());
        let is_shared = registration.membership().is_some();
        self.registration = Some(registration);
        if is_shared {
            // From now on the group makes the calls.
            self.passage = None;
            if let Some(taking) = self.taking.take() {
                ctx.cancel_future(taking);
            }
            if let Some(lane) = self.lane.take() {
                lane.close();
            }
        }
        self.open_passage();
        true
    }

    /// Lets responses pass, as long as they concern the sink alone.
    fn open_passage(&self) {
        if let Some(passage) = &self.passage {
            let is_live = self.registration.is_some() && !self.is_catching_up;
            passage.open(is_live && !self.initial.is_due());
        }
    }

    /// Receives no further events.
    fn leave(&mut self) {
        self.registration = None;
        self.open_passage();
    }

    fn complete(&mut self, ctx: &mut Context<Self>) {
        self.sink.complete();
        ctx.stop();
    }

    fn fail(&mut self, errors: &[u8], ctx: &mut Context<Self>) {
        self.sink.error(errors);
        ctx.stop();
    }

    /// Ends a subscription that receives no further events, if all its results were sent.
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

    /// Takes the outcome of the call for the initial value.
    fn take_initial(
        &mut self,
        outcome: Outcome,
        at: Option<LocalPosition>,
        ctx: &mut Context<Self>,
    ) {
        let Outcome::Retry(response) = outcome else {
            self.initial.succeeded::<Self>(ctx);
            self.open_passage();
            // It is no result of that event.
            let at = at.map(|at| LocalPosition {
                received: Received::default(),
                ..at
            });
            return StreamHandler::handle(self, LaneItem::Outcome(outcome, at), ctx);
        };
        if !self.initial.is_due() {
            self.sink.next(&response);
        }
        self.initial.failed(ctx, |actor: &mut Self| {
            if let Some(lane) = &actor.lane {
                lane.retry_initial();
            }
        });
        self.open_passage();
        self.end_when_idle(ctx);
    }

    /// Lets the initial value be made when it will contain what was delivered up to a position.
    fn settle(&self, at: LocalPosition, ctx: &mut Context<Self>) {
        let Some(lane) = self.lane.clone() else {
            return;
        };
        match lane.settled_at(at.position) {
            None => lane.settled(),
            Some(settled) => {
                ctx.spawn(settled.into_actor(self).map(move |(), _, _| lane.settled()));
            }
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
            ctx.spawn(CatchUp::new(*replay));
        }
        let Some(lane) = &self.lane else { return };
        let definition = &lane.info.definition;
        if definition.kind.is_stream() || definition.is_shared {
            self.gate.set(u64::MAX);
        }
        self.taking = Some(ctx.add_stream(LaneStream {
            lane: lane.clone(),
            sink: self.sink.clone(),
            gate: self.gate.clone(),
        }));
        if let Some(registration) = &self.registration {
            let (passages, sink) = (registration.passages(), &self.sink);
            let passage = OpenPassage::new(passages, lane, sink, &self.gate);
            self.passage = Some(Box::new(passage));
        }
        self.open_passage();
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
        // The lane may have room again, or may be idle.
        if let Some(waker) = self.catch_up.take() {
            waker.wake();
        }
        match found {
            LaneItem::Gap(at) => {
                let has_initial = self
                    .lane
                    .as_ref()
                    .is_some_and(|lane| lane.info.definition.has_initial);
                // With an initial value, the position is known once that value exists.
                self.sink
                    .announce_position(Some(at).filter(|_| !has_initial), true);
                self.end_when_idle(ctx);
            }
            LaneItem::Initial(outcome, at) => self.take_initial(outcome, at, ctx),
            LaneItem::Outcome(
                Outcome::Response(response) | Outcome::Failed(response) | Outcome::Retry(response),
                at,
            ) => {
                let at = at.filter(|_| !self.initial.is_due());
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
            LaneItem::Settle(at) => self.settle(at, ctx),
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
        self.leave();
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
                    actor.leave();
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
            // A source stream ends by itself, or with its connection.
            return;
        }
        self.leave();
        self.end_when_idle(ctx);
    }
}

/// The items of a lane, as a stream. Items of a source stream, results of a call group and results
/// of missed events are taken only while the sink has room: their producers wait until then.
struct LaneStream {
    lane: Arc<Lane>,
    sink: Rc<dyn ResponseSink>,
    gate: Rc<Gate>,
}

impl Stream for LaneStream {
    type Item = LaneItem;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<LaneItem>> {
        if !self.gate.is_open() {
            ready!(self.sink.poll_room(cx));
        }
        let found = ready!(self.lane.poll(cx));
        if let LaneItem::Outcome(_, Some(at)) | LaneItem::Initial(_, Some(at)) | LaneItem::Gap(at) =
            found
        {
            self.gate.pass(at);
        }
        Poll::Ready(Some(found))
    }
}
