//! The actor that receives events and commands for a worker's subscriptions and connections.
//!
//! One per worker thread, started with it. Its state is built by the registrations of
//! subscriptions.

use std::rc::Rc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, MessageResult,
    ResponseFuture, WrapFuture,
};

use super::Worker;
use super::messages::{
    Broadcast, CloseConnections, CloseRevoked, DrainConnections, ListPaths, RunOnWorker, StopWorker,
};
use crate::clock::run_for;
use crate::connection::ClientPath;
use crate::subscription::{CallGroupCommand, PassOn};

/// Interval of the checks for expired identities; a connection outlives its identity by at most
/// this time.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);

/// Receives events and commands for one worker.
pub struct ShardActor {
    worker: Rc<Worker>,
}

impl ShardActor {
    /// Creates the actor of a worker.
    #[must_use]
    pub fn new(worker: Rc<Worker>) -> Self {
        Self { worker }
    }

    /// Runs the keepalive of the connections in each `interval`. All connections of the worker
    /// share one timer, and an interval begins when the previous one has ended, so that delayed
    /// intervals do not accumulate.
    fn keep_alive_after(&self, interval: Duration, ctx: &mut Context<Self>) {
        let due = run_for(interval).into_actor(self);
        ctx.spawn(due.map(move |(), actor, ctx| {
            actor.worker.registry().keep_alive();
            actor.keep_alive_after(interval, ctx);
        }));
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(keepalive) = self.worker.state().limits.keepalive {
            self.keep_alive_after(keepalive, ctx);
        }
        if self.worker.state().authenticates() {
            ctx.run_interval(EXPIRY_INTERVAL, |actor, _| {
                actor.worker.registry().expire();
            });
        }
    }
}

impl Handler<Broadcast> for ShardActor {
    type Result = ();

    fn handle(&mut self, Broadcast { items, turn }: Broadcast, _: &mut Context<Self>) {
        for item in items.iter() {
            self.worker.opener().subscriptions().shard().deliver(item);
        }
        if turn.is_followed() {
            // The next batch is sent from this thread: first the connections write.
            actix::spawn(async move { drop(turn) });
        }
    }
}

impl Handler<CallGroupCommand> for ShardActor {
    type Result = ();

    fn handle(&mut self, command: CallGroupCommand, _: &mut Context<Self>) {
        self.worker.opener().subscriptions().run(command);
    }
}

impl Handler<RunOnWorker> for ShardActor {
    type Result = ();

    fn handle(&mut self, RunOnWorker(run): RunOnWorker, _: &mut Context<Self>) {
        run(&self.worker);
    }
}

impl Handler<PassOn> for ShardActor {
    type Result = ();

    fn handle(&mut self, PassOn(lanes): PassOn, _: &mut Context<Self>) {
        let subscriptions = self.worker.opener().subscriptions();
        for lane in lanes {
            subscriptions.shard().passages().pass_on(&lane);
        }
    }
}

impl Handler<ListPaths> for ShardActor {
    type Result = ResponseFuture<Vec<(u64, ClientPath)>>;

    fn handle(&mut self, _: ListPaths, _: &mut Context<Self>) -> Self::Result {
        let registry = self.worker.registry().clone();
        Box::pin(async move {
            // First the connections write what was delivered just now.
            tokio::task::yield_now().await;
            registry.paths()
        })
    }
}

impl Handler<DrainConnections> for ShardActor {
    type Result = ();

    fn handle(&mut self, drain: DrainConnections, _: &mut Context<Self>) {
        self.worker.registry().drain(drain.departures);
    }
}

impl Handler<StopWorker> for ShardActor {
    type Result = ();

    fn handle(&mut self, _: StopWorker, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<CloseConnections> for ShardActor {
    type Result = MessageResult<CloseConnections>;

    fn handle(&mut self, command: CloseConnections, _: &mut Context<Self>) -> Self::Result {
        MessageResult(
            self.worker
                .registry()
                .close(&command.selector, &command.close),
        )
    }
}

impl Handler<CloseRevoked> for ShardActor {
    type Result = MessageResult<CloseRevoked>;

    fn handle(&mut self, _: CloseRevoked, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.worker.registry().close_revoked())
    }
}
