//! One operation: its place in the shard, the outcomes of its lane, the time of its calls.
//!
//! Started by `worker::Worker::open`, on the thread of its connection; ended by its connection,
//! by the drain, or by itself when its resolver is too slow. It ends with the operation.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, StreamHandler};
use futures_util::Stream;
use graphql::ResolverError;

use crate::lane::{Found, Lane, Outcome};
use crate::messages::{FinishSubscription, StopSubscription};
use crate::shard::Registration;
use crate::sink::ResponseSink;

/// How often a member that drains looks whether its shared group is done.
const GROUP_POLL: Duration = Duration::from_millis(5);

/// One running operation.
pub struct SubscriptionActor {
    sink: Rc<dyn ResponseSink>,
    /// Given up as soon as no further event is wanted.
    registration: Option<Registration>,
    /// `None` for a passthrough, whose results come from its group.
    lane: Option<Arc<Lane>>,
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
        }
    }

    fn complete(&mut self, ctx: &mut Context<Self>) {
        self.sink.complete();
        ctx.stop();
    }

    fn fail(&mut self, errors: &[u8], ctx: &mut Context<Self>) {
        self.sink.error(errors);
        ctx.stop();
    }

    fn complete_when_idle(&mut self, ctx: &mut Context<Self>) {
        if self.registration.is_none() && self.lane.as_ref().is_none_or(|lane| lane.is_idle()) {
            self.complete(ctx);
        }
    }

    fn mind_the_time(&mut self, limit: Duration, ctx: &mut Context<Self>) {
        let Some(lane) = &self.lane else { return };
        let timed_out = ResolverError::new(format!(
            "the resolver of `{}` did not answer within {} s",
            lane.info.definition.field,
            limit.as_secs_f64()
        ));
        if let Some(left) = lane.expire(limit, &timed_out) {
            self.set_timer(left, limit, ctx);
        }
    }

    fn set_timer(&mut self, left: Duration, limit: Duration, ctx: &mut Context<Self>) {
        ctx.run_later(left, move |actor, ctx| actor.mind_the_time(limit, ctx));
    }
}

impl Actor for SubscriptionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(lane) = &self.lane else { return };
        let definition = &lane.info.definition;
        let waits = definition.kind.is_stream() || definition.is_shared;
        ctx.add_stream(LaneStream {
            lane: lane.clone(),
            gate: waits.then(|| self.sink.clone()),
        });
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

impl StreamHandler<Found> for SubscriptionActor {
    fn handle(&mut self, found: Found, ctx: &mut Context<Self>) {
        match found {
            Found::Outcome(Outcome::Response(response) | Outcome::Failed(response), offset) => {
                self.sink.next_of(&response, offset);
                self.complete_when_idle(ctx);
            }
            Found::Outcome(Outcome::Skip, _) => self.complete_when_idle(ctx),
            Found::Outcome(Outcome::Refused(errors), _) => self.fail(&errors, ctx),
            Found::Outcome(Outcome::End, _) => self.complete(ctx),
            Found::Start(limit) => self.set_timer(limit, limit, ctx),
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
        if let Some(group) = self.registration.as_ref().and_then(Registration::group) {
            let group = group.clone();
            ctx.run_interval(GROUP_POLL, move |actor, ctx| {
                if group.is_idle() {
                    actor.registration = None;
                    actor.complete(ctx);
                }
            });
            return;
        }
        self.registration = None;
        match &self.lane {
            // A source stream would go on by itself.
            Some(lane) if lane.info.definition.kind.is_stream() => self.complete(ctx),
            _ => self.complete_when_idle(ctx),
        }
    }
}

/// What a lane has for its actor. The items of a source stream and the results of a shared
/// resolver are taken only while those who receive them have room.
struct LaneStream {
    lane: Arc<Lane>,
    gate: Option<Rc<dyn ResponseSink>>,
}

impl Stream for LaneStream {
    type Item = Found;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Found>> {
        if let Some(sink) = &self.gate {
            ready!(sink.poll_room(cx));
        }
        self.lane.poll(cx).map(Some)
    }
}
