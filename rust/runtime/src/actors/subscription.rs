//! One operation: its place in the shard, its pending events, its resolver calls, their order.
//!
//! Started by `worker::Worker::open`, on the thread of its connection; ended by its connection,
//! by the drain, or by itself when its resolver is too slow. It ends with the operation.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture,
};
use bus::Event;
use graphql::{GraphQLError, ResolverError};
use tokio::sync::oneshot;

use crate::config::MAX_PENDING_EVENTS;
use crate::engine::Engine;
use crate::event_queue::EventQueue;
use crate::messages::{FinishSubscription, StopSubscription};
use crate::resolver::{Call, CallId, Outcome, SubscriptionInfo};
use crate::shard::Registration;
use crate::signal::SignalStream;
use crate::sink::ResponseSink;

/// One running operation.
pub struct SubscriptionActor {
    sink: Rc<dyn ResponseSink>,
    /// Given up as soon as no further event is wanted.
    registration: Option<Registration>,
    /// `None` for a passthrough, whose results come from its group.
    calls: Option<Calls>,
}

impl SubscriptionActor {
    /// Makes the actor of an operation that is registered already.
    #[must_use]
    pub fn new(
        sink: Rc<dyn ResponseSink>,
        registration: Registration,
        calls: Option<Calls>,
    ) -> Self {
        Self {
            sink,
            registration: Some(registration),
            calls,
        }
    }

    /// Starts as many calls as may run at once; ends when there is nothing left to do.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        if let Some(error) = self.calls.as_ref().and_then(Calls::overflow) {
            self.sink.error(&graphql::errors_to_json(&[error]));
            ctx.stop();
            return;
        }
        while let Some((id, ended)) = self.calls.as_mut().and_then(Calls::start_next) {
            let ended = ended
                .into_actor(self)
                .map(move |outcome, actor, ctx| actor.call_ended(id, outcome, ctx));
            ctx.spawn(ended);
        }
        let busy = self.calls.as_ref().is_some_and(|c| !c.started.is_empty());
        if self.registration.is_none() && !busy {
            self.sink.complete();
            ctx.stop();
        }
    }

    fn call_ended(&mut self, id: CallId, outcome: Option<Outcome>, ctx: &mut Context<Self>) {
        let Some(calls) = &mut self.calls else { return };
        let Some(outcome) = outcome else {
            // The host is gone: nothing can be resolved any more.
            self.sink.complete();
            ctx.stop();
            return;
        };
        calls.record(id, outcome);
        while let Some(outcome) = calls.next_outcome() {
            match outcome {
                Outcome::Response(response) | Outcome::Failed(response) => {
                    self.sink.next(&response);
                }
                Outcome::Skip => {}
            }
        }
        self.advance(ctx);
    }
}

impl Actor for SubscriptionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(calls) = &self.calls {
            ctx.add_stream(SignalStream::new(calls.events.signal()));
        }
    }
}

impl StreamHandler<()> for SubscriptionActor {
    fn handle(&mut self, (): (), ctx: &mut Context<Self>) {
        self.advance(ctx);
    }
}

impl Handler<StopSubscription> for SubscriptionActor {
    type Result = ();

    fn handle(&mut self, _: StopSubscription, ctx: &mut Context<Self>) {
        self.registration = None;
        ctx.stop();
    }
}

impl Handler<FinishSubscription> for SubscriptionActor {
    type Result = ();

    fn handle(&mut self, _: FinishSubscription, ctx: &mut Context<Self>) {
        self.registration = None;
        self.advance(ctx);
    }
}

/// The resolver calls of one subscription. Dropped, it cancels those that have not ended.
pub struct Calls {
    engine: Arc<Engine>,
    info: Arc<SubscriptionInfo>,
    events: Rc<EventQueue>,
    /// In the order of their events; an outcome waits for those before it.
    started: VecDeque<(CallId, Option<Outcome>)>,
}

impl Calls {
    /// Resolves the events of `events`.
    #[must_use]
    pub fn new(engine: Arc<Engine>, info: Arc<SubscriptionInfo>, events: Rc<EventQueue>) -> Self {
        Self {
            engine,
            info,
            events,
            started: VecDeque::new(),
        }
    }

    fn overflow(&self) -> Option<GraphQLError> {
        self.events.has_overflowed().then(|| {
            self.engine.metrics.slow_consumer_disconnects.add(1);
            GraphQLError::new(format!(
                "the subscription was ended: its resolver is more than {MAX_PENDING_EVENTS} events behind"
            ))
        })
    }

    /// Starts the call for the next event, if there is one and it may run now.
    fn start_next(&mut self) -> Option<(CallId, impl Future<Output = Option<Outcome>> + use<>)> {
        if self.started.len() >= self.info.definition.concurrency {
            return None;
        }
        let event = self.events.pop()?;
        let id = next_call_id();
        self.started.push_back((id, None));
        Some((id, call(self.engine.clone(), self.info.clone(), event, id)))
    }

    fn record(&mut self, id: CallId, outcome: Outcome) {
        if let Outcome::Failed(_) = outcome {
            self.engine.metrics.resolver_errors.add(1);
        }
        if let Some((_, place)) = self.started.iter_mut().find(|(call, _)| *call == id) {
            *place = Some(outcome);
        }
    }

    fn next_outcome(&mut self) -> Option<Outcome> {
        match self.started.front_mut() {
            Some((_, outcome @ Some(_))) => {
                let outcome = outcome.take();
                self.started.pop_front();
                outcome
            }
            _ => None,
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        for (id, outcome) in &self.started {
            if outcome.is_none() {
                self.engine.resolver.cancel(*id);
            }
        }
    }
}

fn next_call_id() -> CallId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    CallId(LAST.fetch_add(1, Relaxed))
}

/// Hands the call to the host and waits for its outcome, at most for its timeout.
async fn call(
    engine: Arc<Engine>,
    info: Arc<SubscriptionInfo>,
    event: Arc<Event>,
    id: CallId,
) -> Option<Outcome> {
    let (reply, outcome) = oneshot::channel();
    engine.metrics.resolver_calls.add(1);
    engine.resolver.call(Call {
        id,
        subscription: info.clone(),
        event,
        reply,
    });
    let Some(limit) = info.definition.timeout else {
        return outcome.await.ok();
    };
    if let Ok(outcome) = tokio::time::timeout(limit, outcome).await {
        return outcome.ok();
    }
    engine.resolver.cancel(id);
    engine.metrics.resolver_timeouts.add(1);
    let mut response = Vec::new();
    let error = ResolverError::new(format!(
        "the resolver of `{}` did not answer within {} s",
        info.definition.field,
        limit.as_secs_f64()
    ));
    info.plan.project_error(error, &mut response);
    Some(Outcome::Failed(response.into()))
}
