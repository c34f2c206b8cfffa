//! The actor of the broadcast: takes over what publishers leave in the intake, and keeps the history
//! free of old events.
//!
//! One per manager, on the system's thread. It starts with the runtime and ends when the intake is
//! closed and empty. Not here: how events are sent (`broadcaster`), which subscriptions an event
//! reaches (`routing`).

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::broadcaster::Broadcaster;
use crate::clock;
use crate::state::RuntimeState;

/// Sends the events that are too many for the thread of their publisher.
pub(crate) struct EventBusActor {
    state: Arc<RuntimeState>,
    broadcaster: Arc<Broadcaster>,
}

impl EventBusActor {
    /// Creates the actor of a manager.
    pub(super) fn new(state: &Arc<RuntimeState>, broadcaster: Arc<Broadcaster>) -> Self {
        Self {
            state: state.clone(),
            broadcaster,
        }
    }
}

impl Actor for EventBusActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(history) = &self.state.history {
            ctx.run_interval(history.sweep_interval(), |actor, _| {
                let state = &actor.state;
                if let Some(history) = &state.history {
                    state.metrics.set_history(history.sweep(clock::now()));
                    state.event_streams.sweep();
                }
            });
        }
        let broadcaster = self.broadcaster.clone();
        let broadcast = async move {
            while !broadcaster.has_ended() {
                broadcaster.taken_over().await;
                broadcaster.run();
            }
        };
        let ended = broadcast.into_actor(self).map(|(), _, ctx| ctx.stop());
        ctx.spawn(ended);
    }
}
