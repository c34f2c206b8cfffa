//! The broadcast: takes events from the intake, records them in the history and sends them to the
//! shards with subscriptions on their channels.
//!
//! It runs on the thread of whoever adds events, or of the worker that was last done with the events
//! before, so that an event is passed to another thread once. Not here: which subscriptions an event
//! reaches (`routing`), the actor that takes over long queues (`event_bus`).

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use actix::Addr;
use bus::{Consumer, StreamItem};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;
use crate::config::{BROADCAST_BATCH, DIRECT_BATCHES, DIRECT_ITEMS};
use crate::routing::WorkerNumber;
use crate::state::RuntimeState;
use crate::worker::{Broadcast, ShardActor, Turn};

/// The shards that events are sent to. Workers add themselves from their own threads.
#[derive(Debug, Default)]
pub(super) struct ShardList(Mutex<Vec<(WorkerNumber, Addr<ShardActor>)>>);

impl ShardList {
    /// Adds a worker's shard.
    pub(super) fn add(&self, worker: WorkerNumber, shard: Addr<ShardActor>) {
        self.0.lock().push((worker, shard));
    }

    /// Returns the shards of all workers that run, and forgets the others.
    #[must_use]
    pub(super) fn live(&self) -> Vec<Addr<ShardActor>> {
        let mut shards = self.0.lock();
        shards.retain(|(_, shard)| shard.connected());
        shards.iter().map(|(_, shard)| shard.clone()).collect()
    }

    /// Returns the shards of these workers, as far as they run.
    fn of(&self, workers: &[WorkerNumber]) -> Vec<Addr<ShardActor>> {
        let shards = self.0.lock();
        let of_workers = shards
            .iter()
            .filter(|(worker, shard)| workers.contains(worker) && shard.connected());
        of_workers.map(|(_, shard)| shard.clone()).collect()
    }
}

/// Sends the events of a manager, in batches and in order.
pub(super) struct Broadcaster {
    state: Arc<RuntimeState>,
    shards: Arc<ShardList>,
    /// Whether a batch is being sent, or a shard is not done with it.
    is_busy: AtomicBool,
    /// Events that were handed to the mailboxes of all their shards (count).
    sent: AtomicU64,
    /// Wakes the actor.
    take_over: Notify,
}

/// The batch that is under way.
struct BatchTurn(Arc<Broadcaster>);

impl Turn for BatchTurn {
    fn is_followed(&self) -> bool {
        !self.0.state.intake.is_empty()
    }
}

impl Drop for BatchTurn {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Release);
        self.0.go_on();
    }
}

impl Broadcaster {
    pub(super) fn new(state: &Arc<RuntimeState>, shards: &Arc<ShardList>) -> Arc<Self> {
        let broadcaster = Arc::new(Self {
            state: state.clone(),
            shards: shards.clone(),
            is_busy: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            take_over: Notify::new(),
        });
        let consumer: Arc<dyn Consumer> = broadcaster.clone();
        state.intake.set_consumer(Arc::downgrade(&consumer));
        broadcaster
    }

    /// Waits until the actor has to call [`Self::run`], or may end.
    pub(super) async fn taken_over(&self) {
        self.take_over.notified().await;
    }

    /// Whether no further event will be sent, and the shards are done with all.
    pub(super) fn has_ended(&self) -> bool {
        let intake = &self.state.intake;
        // In this order: who takes the last item is busy before.
        intake.is_closed() && intake.is_empty() && !self.is_busy.load(Acquire)
    }

    /// Whether a batch is being sent, or a shard is not done with it.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.load(Acquire)
    }

    /// Events that were handed to the mailboxes of all their shards (count).
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Acquire)
    }

    /// As [`Self::run`]. Lets the actor end if there is nothing more to come.
    fn go_on(self: &Arc<Self>) {
        self.run();
        // After `run` has looked at the queue: whoever closes it does so under its lock, and then either
        // this thread sees it, or the actor sees that no batch is under way.
        if self.state.intake.is_closed() {
            self.take_over.notify_one();
        }
    }

    /// Sends what is in the intake, until a shard has to be waited for. A batch is sent when all
    /// shards are done with the one before: that bounds the events in their mailboxes. When they do not
    /// keep up, the intake fills and publishers wait.
    pub(super) fn run(self: &Arc<Self>) {
        let intake = &self.state.intake;
        // One batch is sent without shards, or is under way. More would delay this thread for the
        // events of others.
        for _ in 0..DIRECT_BATCHES {
            // Whoever is busy comes here when it is done.
            if intake.is_empty() || self.is_busy.swap(true, AcqRel) {
                return;
            }
            self.send(intake.take(BROADCAST_BATCH));
        }
        self.take_over.notify_one();
    }

    /// Records events and sends them. Ends being busy now if no shard has subscriptions on their
    /// channels, or else when the shards are done.
    fn send(self: &Arc<Self>, mut items: Vec<StreamItem>) {
        let (state, metrics) = (&self.state, &self.state.metrics);
        let taken = items.iter().filter_map(StreamItem::event).count();
        // With an engine, this was done when the events were published.
        if state.link.is_none() {
            let mut notices = state.notices.lock();
            let events = items.iter().filter_map(StreamItem::event);
            let mut last = None;
            for event in events {
                let (channel, has_tenant) = (&event.channel, event.tenant_id.is_some());
                if last.replace((channel, has_tenant)) != Some((channel, has_tenant)) {
                    notices.look_at(channel, has_tenant);
                }
            }
        }
        if state.policy.tenant.is_some() {
            let is_of_tenant = |item: &StreamItem| {
                let event = item.event();
                event.is_none_or(|event| event.tenant_id.is_some())
            };
            items.retain(is_of_tenant);
            let kept = items.iter().filter_map(StreamItem::event).count();
            let dropped = taken - kept;
            metrics.events_without_tenant.add(dropped as u64);
        }
        if let Some(history) = &state.history {
            // Before it is known which workers have subscriptions: one that resumes holds its channel,
            // and then finds each event in the history, or receives it from its shard.
            metrics.set_history(history.record(&items, clock::now()));
        }
        metrics.events_published.add(taken as u64);
        let mut workers = Vec::new();
        for items in items.chunk_by(|one, next| one.channel() == next.channel()) {
            if let Some(item) = items.first() {
                state.channel_workers.add_to(item.channel(), &mut workers);
            }
        }
        let shards = match workers.is_empty() {
            true => Vec::new(),
            false => self.shards.of(&workers),
        };
        if let Some((last, others)) = shards.split_last() {
            let items: Arc<[StreamItem]> = items.into();
            let turn = Arc::new(BatchTurn(self.clone()));
            // The mailbox of a worker that has ended drops the message.
            for shard in others {
                let (items, turn) = (items.clone(), turn.clone());
                shard.do_send(Broadcast { items, turn });
            }
            last.do_send(Broadcast { items, turn });
            self.sent.fetch_add(taken as u64, AcqRel);
        } else {
            self.sent.fetch_add(taken as u64, AcqRel);
            self.is_busy.store(false, Release);
        }
    }
}

impl Consumer for Broadcaster {
    fn filled(self: Arc<Self>, waiting: usize) {
        // Whoever is busy looks at the queue afterwards, as in `run`. The actor could only do the same.
        if self.is_busy.load(Acquire) {
            return;
        }
        if waiting > DIRECT_ITEMS {
            self.take_over.notify_one();
        } else {
            self.go_on();
        }
    }
}
