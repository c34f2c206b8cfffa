//! The broadcast: takes events from the intake, keeps them in the history and hands them to every
//! shard.
//!
//! One per manager, on the system's thread, started with the runtime. Events that were not yet
//! broadcast stay in the intake, so a restart loses nothing. It ends when the intake is closed
//! and empty.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, WrapFuture};
use bus::StreamItem;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::BROADCAST_BATCH;
use crate::state::RuntimeState;
use crate::worker::{Broadcast, ShardActor};

/// The shards that events are handed to. Shared, so that a subscription never has to wait for
/// its worker to be known.
#[derive(Debug, Default)]
pub struct ShardList(Mutex<Vec<Addr<ShardActor>>>);

impl ShardList {
    /// Adds a worker's shard.
    pub fn add(&self, shard: Addr<ShardActor>) {
        self.0.lock().push(shard);
    }

    /// The shards of all workers that still run.
    #[must_use]
    pub fn live(&self) -> Vec<Addr<ShardActor>> {
        let mut shards = self.0.lock();
        shards.retain(Addr::connected);
        shards.clone()
    }
}

/// Hands each event to every shard, in batches and in order.
pub struct EventBusActor {
    state: Arc<RuntimeState>,
    shards: Arc<ShardList>,
}

impl EventBusActor {
    /// Creates the actor that empties the intake of a manager.
    #[must_use]
    pub fn new(state: &Arc<RuntimeState>, shards: Arc<ShardList>) -> Self {
        Self {
            state: state.clone(),
            shards,
        }
    }
}

impl Actor for EventBusActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (state, shards) = (self.state.clone(), self.shards.clone());
        // Whether events without a tenant are dropped.
        let is_isolated = state.policy.tenant.is_some();
        // Held by the messages themselves, so that shards wake no publisher while none waits.
        let turns = Arc::new(Semaphore::new(1));
        if let Some(history) = &state.history {
            ctx.run_interval(history.sweep_interval(), |actor, _| {
                let state = &actor.state;
                if let Some(history) = &state.history {
                    state.metrics.set_history(history.sweep(Instant::now()));
                    state.event_streams.sweep();
                }
            });
        }
        let broadcast = async move {
            let (intake, metrics) = (&state.intake, &state.metrics);
            loop {
                let closed = intake.is_closed();
                if intake.is_empty() {
                    if closed {
                        break;
                    }
                    intake.filled().await;
                    continue;
                }
                // Waiting for all shards bounds what is on its way to them, and makes publishers
                // wait for fan-out that does not keep up.
                let Ok(turn) = turns.clone().acquire_owned().await else {
                    break;
                };
                let turn = Arc::new(turn);
                let mut items = intake.take(BROADCAST_BATCH);
                let taken = items.iter().filter_map(StreamItem::event).count();
                // What goes to an engine was looked at before.
                if state.link.is_none() {
                    let mut notices = state.notices.lock();
                    for event in items.iter().filter_map(StreamItem::event) {
                        notices.look_at(&event.channel, event.tenant_id.is_some());
                    }
                }
                if is_isolated {
                    let is_of_tenant = |item: &StreamItem| {
                        let event = item.event();
                        event.is_none_or(|event| event.tenant_id.is_some())
                    };
                    items.retain(is_of_tenant);
                    let kept = items.iter().filter_map(StreamItem::event).count();
                    let dropped = taken - kept;
                    metrics.events_without_tenant.add(dropped as u64);
                }
                let items: Arc<[StreamItem]> = items.into();
                if let Some(history) = &state.history {
                    // Before they leave: who reads what was missed learns of every event from
                    // here or from its shard.
                    metrics.set_history(history.record(&items, Instant::now()));
                }
                metrics.events_published.add(taken as u64);
                // A shard whose worker has ended drops the message and is off the list next time.
                for shard in shards.live() {
                    let (items, turn) = (items.clone(), turn.clone());
                    shard.do_send(Broadcast { items, turn });
                }
            }
            // The shards are done with the last.
            turns.acquire().await.ok();
        };
        let ended = broadcast.into_actor(self).map(|(), _, ctx| ctx.stop());
        ctx.spawn(ended);
    }
}
