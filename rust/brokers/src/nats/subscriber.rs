//! The work of the link that delivers: subscribes to the wanted streams, and reports when they are ready.
//!
//! One task does it step by step, so it always knows what is subscribed. It compares that with the wants
//! at the time of the step: earlier changes of a want do not matter.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Message, Subscriber};
use bus::engine::{Arrival, Role, Scope};
use bus::{Offset, Position, StreamKey, Throttle};
use futures_util::StreamExt;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{interval, sleep, sleep_until};

use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::reader::{self, number};
use super::shared::Shared;
use super::wants::Wanted;

/// Limit of the streams that one step handles (count). If all are refused, the crate has room for all
/// refusals.
const STREAMS: usize = 100;

/// Serves a link until it fails. Returns why.
pub(super) async fn serve(shared: &Arc<Shared>, link: &Arc<Link>) -> Fault {
    let reconciler = Reconciler {
        shared,
        link,
        subscribed: HashMap::new(),
        refused: HashMap::new(),
        unreadable: Arc::default(),
    };
    match reconciler.reconcile().await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

/// Subscribes to the wanted streams, and unsubscribes from the others.
struct Reconciler<'a> {
    shared: &'a Arc<Shared>,
    link: &'a Arc<Link>,
    subscribed: HashMap<Arc<str>, Delivery>,
    /// Streams that the server refuses, and when to try them again.
    refused: HashMap<Arc<str>, Instant>,
    unreadable: Arc<Mutex<Throttle>>,
}

/// A task that delivers the messages of one subscription. It ends when this is dropped.
struct Delivery(AbortHandle);

impl Drop for Delivery {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Reconciler<'_> {
    fn drop(&mut self) {
        self.shared.wants.end();
    }
}

impl Reconciler<'_> {
    async fn reconcile(mut self) -> Result<Infallible, Fault> {
        let shared = self.shared;
        if shared.has_history() {
            // Events before this link are unknown. The doubt is reported before streams are ready again:
            // a later read of the history finds these events.
            shared.arrivals().doubt(Scope::All);
        }
        for store in &shared.stores {
            store.reset();
            store.ensure(&shared.config, self.link).await?;
        }
        shared.wants.begin();
        let _control = self.join_nodes().await?;
        let mut refreshes = interval(shared.config.times.refresh_after);
        refreshes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_live = false;
        loop {
            let changed = shared.wants.take();
            for subjects in changed.chunks(STREAMS) {
                self.reconcile_some(subjects).await?;
            }
            if !changed.is_empty() {
                continue;
            }
            if !is_live {
                shared.health.live(Role::Subscriber, shared.arrivals());
                if !shared.has_history() {
                    // Without history there is no other link that could fail.
                    shared.health.live(Role::Reader, shared.arrivals());
                }
                is_live = true;
            }
            let again = self.refused.values().min().copied();
            tokio::select! {
                () = shared.wants.changed.notified() => sleep(shared.config.times.collect).await,
                () = shared.refresh.notified() => self.refresh().await?,
                () = shared.overrun.pending() => shared.arrivals().doubt(Scope::All),
                _ = refreshes.tick() => self.refresh().await?,
                () = at(again) => {
                    let now = Instant::now();
                    for (subject, _) in self.refused.extract_if(|_, at| *at <= now) {
                        shared.wants.mark_changed(&subject);
                    }
                }
            }
        }
    }

    /// Checks that the link answers, and that the stores are still the same.
    async fn refresh(&self) -> Result<(), Fault> {
        let shared = self.shared;
        if !shared.has_history() {
            return self.link.round_trip().await;
        }
        let mut is_renumbered = false;
        for store in &shared.stores {
            let state = match store.refresh(self.link).await {
                // Deleted, or without a leader.
                Err(fault) if fault.kind == FaultKind::Busy => {
                    store.ensure(&shared.config, self.link).await?
                }
                state => state?,
            };
            store.note_refresh(&state);
            if store.take_renumbered() {
                shared.wants.mark_partition_changed(store.partition);
                is_renumbered = true;
            }
        }
        if is_renumbered {
            shared.arrivals().doubt(Scope::All);
        }
        Ok(())
    }

    /// Subscribes to the messages of nodes. If they are refused, events are still delivered.
    async fn join_nodes(&self) -> Result<Vec<Delivery>, Fault> {
        let shared = self.shared;
        let Some(joined) = shared.control.get() else {
            return Ok(Vec::new());
        };
        let before = self.link.denials();
        let mut deliveries = Vec::new();
        for subject in &joined.subjects {
            let mut messages = self.subscribe(subject).await?;
            let arrivals = joined.arrivals.clone();
            let task = tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    arrivals.message(message.payload);
                }
            });
            deliveries.push(Delivery(task.abort_handle()));
        }
        self.link.round_trip().await?;
        let denied = |subject: &String| self.link.denial(subject, before);
        match joined.subjects.iter().find_map(denied) {
            None => joined.arrivals.joined(),
            Some(fault) => tracing::warn!(
                target: "fraiseql_subs",
                reason = fault.reason,
                "nodes cannot exchange messages: the bus refuses them"
            ),
        }
        Ok(deliveries)
    }

    async fn subscribe(&self, subject: &str) -> Result<Subscriber, Fault> {
        let subscriber = self.link.client.subscribe(subject.to_owned()).await;
        subscriber.map_err(|_| Fault::away("the link to NATS has ended"))
    }

    async fn reconcile_some(&mut self, subjects: &[Arc<str>]) -> Result<(), Fault> {
        let wants = &self.shared.wants;
        let before = self.link.denials();
        let mut wanted: Vec<(Arc<str>, Wanted)> = Vec::new();
        let mut new = Vec::new();
        for subject in subjects {
            // It is tried now, so an earlier refusal does not count.
            self.refused.remove(subject);
            let Some(want) = wants.get(subject) else {
                self.subscribed.remove(subject);
                continue;
            };
            if !self.subscribed.contains_key(subject) {
                let messages = self.subscribe(subject).await?;
                new.push((subject.clone(), want.stream.clone(), messages));
            }
            wanted.push((subject.clone(), want));
        }
        // From here on the server delivers.
        self.link.round_trip().await?;
        wanted.retain(|(subject, _)| match self.link.denial(subject, before) {
            None => true,
            Some(fault) => {
                self.refuse(subject, &fault);
                false
            }
        });
        for (subject, stream, messages) in new {
            if self.refused.contains_key(&subject) {
                continue;
            }
            if !self.shared.has_history() {
                // What came before can never be read, so this is reported when all that follows arrives,
                // and before it.
                self.shared.arrivals().doubt(Scope::Stream(stream));
            }
            let delivery = self.deliver(subject.clone(), messages);
            self.subscribed.insert(subject, delivery);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let streams: Vec<StreamKey> = wanted.iter().map(|(_, want)| want.stream.clone()).collect();
        let heads = reader::heads_on(self.shared, self.link, &streams).await;
        for ((subject, want), head) in wanted.iter().zip(heads) {
            match head {
                Ok(head) => {
                    if wants.ready(subject, want.generation, head.offset.major) {
                        self.shared.arrivals().ready(&want.stream, head);
                    }
                }
                Err(fault) if fault.is_configuration() => self.refuse(subject, &fault),
                // Such as a store without a leader.
                Err(_) => {
                    let soon = Instant::now() + Duration::from_millis(500);
                    self.refused.insert(subject.clone(), soon);
                }
            }
        }
        Ok(())
    }

    /// Tries a stream again later.
    fn refuse(&mut self, subject: &Arc<str>, fault: &Fault) {
        tracing::warn!(
            target: "fraiseql_subs",
            subject = &**subject,
            reason = fault.reason,
            "the bus refuses a stream"
        );
        let pause = self.shared.config.times.configuration_pause;
        self.refused.insert(subject.clone(), Instant::now() + pause);
    }

    /// Delivers the messages of a subscription.
    fn deliver(&self, subject: Arc<str>, mut messages: Subscriber) -> Delivery {
        let (shared, unreadable) = (self.shared.clone(), self.unreadable.clone());
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                if deliver(&shared, &subject, message) {
                    continue;
                }
                shared.arrivals().unreadable();
                if let Some(suppressed) = unreadable.lock().admit(Instant::now()) {
                    tracing::warn!(
                        target: "fraiseql_subs",
                        subject = &*subject,
                        suppressed,
                        "a message on a subject of the bus has no position, and is dropped: another program publishes there"
                    );
                }
            }
        });
        Delivery(task.abort_handle())
    }
}

/// Delivers a message. Returns false if it has no position.
fn deliver(shared: &Shared, subject: &str, message: Message) -> bool {
    let Some(want) = shared.wants.get(subject) else {
        return true;
    };
    let (epoch, before, offset) = match shared.stores.get(want.partition as usize) {
        None => (shared.epoch, None, None),
        Some(store) => {
            let is_of_store = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Nats-Stream"))
                .is_some_and(|name| name.as_str() == store.name);
            let sequences = (
                number(&message, "Nats-Sequence"),
                number(&message, "Nats-Last-Sequence"),
            );
            let (true, (Some(sequence), Some(before))) = (is_of_store, sequences) else {
                return false;
            };
            let Some(epoch) = store.note(sequence) else {
                return true;
            };
            if want.newest.is_some_and(|newest| sequence < newest) {
                // The store may be another one, or have lost its newest events.
                shared.refresh.notify_one();
            }
            (epoch, Some(Offset::new(before)), Some(sequence))
        }
    };
    let offset = || offset.unwrap_or_else(|| shared.count());
    if let Some((stream, offset)) = shared.wants.deliver(subject, offset) {
        shared.arrivals().event(Arrival {
            stream,
            position: Position::new(epoch, offset),
            before,
            transaction: None,
            envelope: message.payload,
        });
    }
    true
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
