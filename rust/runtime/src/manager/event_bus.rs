//! The broadcast: takes events from the intake, records them in the history and sends them to every
//! shard.
//!
//! One actor per manager, on the system's thread. It starts with the runtime and ends when the
//! intake is closed and empty. Not here: which subscriptions an event reaches (`routing`).

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, WrapFuture};
use bus::StreamItem;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::BROADCAST_BATCH;
use crate::state::RuntimeState;
use crate::worker::{Broadcast, ShardActor};

/// The shards that events are sent to. Workers add themselves from their own threads.
#[derive(Debug, Default)]
pub struct ShardList(Mutex<Vec<Addr<ShardActor>>>);

impl ShardList {
    /// Adds a worker's shard.
    pub fn add(&self, shard: Addr<ShardActor>) {
        self.0.lock().push(shard);
    }

    /// Returns the shards of all workers that run, and forgets the others.
    #[must_use]
    pub fn live(&self) -> Vec<Addr<ShardActor>> {
        let mut shards = self.0.lock();
        shards.retain(Addr::connected);
        shards.clone()
    }
}

/// Sends each event to every shard, in batches and in order.
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
        // Each `Broadcast` holds the permit, which is released when the last shard has handled it.
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
                // Waiting for all shards bounds the events in their mailboxes. When fan-out does
                // not keep up, the intake fills and publishers wait.
                let Ok(turn) = turns.clone().acquire_owned().await else {
                    break;
                };
                let turn = Arc::new(turn);
                let mut items = intake.take(BROADCAST_BATCH);
                let taken = items.iter().filter_map(StreamItem::event).count();
                // With an engine, this was done when the events were published.
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
                    // Before they are sent: a subscription that resumes finds each event in the
                    // history, or receives it from its shard.
                    metrics.set_history(history.record(&items, Instant::now()));
                }
                metrics.events_published.add(taken as u64);
                // The mailbox of a worker that has ended drops the message.
                for shard in shards.live() {
                    let (items, turn) = (items.clone(), turn.clone());
                    shard.do_send(Broadcast { items, turn });
                }
            }
            // Waits until the shards have handled the last batch.
            turns.acquire().await.ok();
        };
        let ended = broadcast.into_actor(self).map(|(), _, ctx| ctx.stop());
        ctx.spawn(ended);
    }
}
