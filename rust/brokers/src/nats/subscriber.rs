//! The work of the link that delivers: subscribes to the wanted streams, and reports when they are ready.
//!
//! One task does it step by step, so it always knows what is subscribed. It compares that with the wants
//! at the time of the step: earlier changes of a want do not matter. No step waits for a store.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use bus::engine::{Role, Scope};
use bus::{StreamKey, Throttle};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use super::delivery::Delivery;
use super::fault::{Fault, FaultKind};
use super::heads;
use super::link::Link;
use super::looks::{Look, Looks, Readiness};
use super::shared::Shared;

/// Limit of the streams that one step subscribes to (count). The crate drops what servers say while 128
/// errors wait: a step whose streams are all refused leaves room for as many that were removed.
const STREAMS: usize = 64;
/// How many subscriptions the servers may remove before the link ends (count). If they remove more at
/// once, the crate may drop what they say about others.
const REMOVED: usize = 64;
/// After which time a stream is tried again for which there was no answer.
const RETRY: Duration = Duration::from_millis(500);

/// Serves a link until it fails. Returns why.
pub(super) async fn serve(shared: &Arc<Shared>, link: &Arc<Link>) -> Fault {
    let reconciler = Reconciler {
        shared,
        link,
        subscribed: HashMap::new(),
        refused: HashMap::new(),
        control: Vec::new(),
        join_at: None,
        denials: link.denials(),
        removed: 0,
        looks: Looks::new(shared, link),
        unreadable: Arc::default(),
        refusals: Throttle::new(),
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
    /// The messages of nodes, and when to subscribe to them again if the server refuses that.
    control: Vec<Delivery>,
    join_at: Option<Instant>,
    /// How many denials of the link were handled.
    denials: u64,
    /// How many subscriptions the servers have removed.
    removed: usize,
    looks: Looks<'a>,
    unreadable: Arc<Mutex<Throttle>>,
    refusals: Throttle,
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
            // All streams are reported as ready again anyway.
            store.take_renumbered();
        }
        shared.wants.begin();
        self.join_nodes().await?;
        let mut refreshes = interval(shared.config.times.refresh_after);
        refreshes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is due at once.
        refreshes.tick().await;
        if !shared.has_history() {
            // Without history there is no other link that could fail.
            shared.health.live(Role::Subscriber, shared.arrivals());
            shared.health.live(Role::Reader, shared.arrivals());
        }
        loop {
            let next_look = self.looks.start();
            let next_refused = self.refused.values().min().copied();
            let times = [next_look, next_refused, self.join_at];
            let again = times.into_iter().flatten().min();
            // In random order, so that many changed streams do not keep up the rest.
            tokio::select! {
                () = std::future::ready(()), if shared.wants.has_changed() => {
                    let subjects = shared.wants.take(STREAMS);
                    self.reconcile_some(&subjects).await?;
                }
                () = shared.wants.changed.notified() => sleep(shared.config.times.collect).await,
                look = self.looks.next() => self.handle_look(look).await?,
                () = self.link.denied_after(self.denials) => {
                    self.handle_denials(Vec::new())?;
                }
                () = shared.refresh.notified() => self.refresh().await?,
                () = shared.overrun.pending() => shared.arrivals().doubt(Scope::All),
                _ = refreshes.tick() => self.refresh().await?,
                () = at(again) => {
                    let now = Instant::now();
                    for (subject, _) in self.refused.extract_if(|_, at| *at <= now) {
                        shared.wants.mark_changed(&subject);
                    }
                    if self.join_at.is_some_and(|at| at <= now) {
                        self.join_nodes().await?;
                    }
                }
            }
        }
    }

    /// Checks that the link answers, and that the stores are still the same.
    async fn refresh(&mut self) -> Result<(), Fault> {
        if !self.shared.has_history() {
            return self.link.round_trip().await;
        }
        self.looks.refresh();
        Ok(())
    }

    /// Subscribes to the messages of nodes. If they are refused, events are still delivered.
    async fn join_nodes(&mut self) -> Result<(), Fault> {
        let Some(joined) = self.shared.control.get() else {
            return Ok(());
        };
        self.join_at = None;
        for subject in &joined.subjects {
            let messages = subscribe(self.link, subject).await?;
            let delivery = Delivery::of_control(joined.arrivals.clone(), messages);
            self.control.push(delivery);
        }
        self.link.round_trip().await?;
        self.handle_denials(Vec::new())?;
        if self.join_at.is_none() {
            joined.arrivals.joined();
        }
        Ok(())
    }

    /// The server refuses the messages of nodes. They are subscribed to again later.
    fn leave_nodes(&mut self, fault: &Fault) {
        tracing::warn!(
            name: "cluster.refused",
            target: "fraiseql_subs",
            reason = fault.reason,
            "nodes cannot exchange messages: the bus refuses them"
        );
        self.control.clear();
        self.join_at = Some(Instant::now() + self.shared.config.times.configuration_pause);
    }

    async fn reconcile_some(&mut self, subjects: &[Arc<str>]) -> Result<(), Fault> {
        let shared = self.shared;
        let mut wanted = Vec::new();
        let mut new = Vec::new();
        for subject in subjects {
            // It is tried now, so an earlier refusal does not count.
            self.refused.remove(subject);
            let Some(want) = shared.wants.get(subject) else {
                self.subscribed.remove(subject);
                continue;
            };
            if !self.subscribed.contains_key(subject) {
                let messages = subscribe(self.link, subject).await?;
                new.push((subject.clone(), want.stream.clone(), messages));
            }
            wanted.push((subject.clone(), want));
        }
        // From here on the server delivers.
        self.link.round_trip().await?;
        let new = self.handle_denials(new)?;
        for (subject, stream, messages) in new {
            if !shared.has_history() {
                // What came before can never be read, so this is reported when all that follows arrives,
                // and before it.
                shared.arrivals().doubt(Scope::Stream(stream));
            }
            let unreadable = self.unreadable.clone();
            let delivery =
                Delivery::of_events(shared.clone(), unreadable, subject.clone(), messages);
            self.subscribed.insert(subject, delivery);
        }
        wanted.retain(|(subject, _)| self.subscribed.contains_key(subject));
        for (subject, want) in wanted {
            if shared.has_history() {
                self.looks.ask(want.partition, subject);
                continue;
            }
            let head = heads::counted(shared, &want.stream);
            if shared.wants.ready(&subject, want.generation, head) {
                shared.arrivals().ready(&want.stream, head);
            }
        }
        Ok(())
    }

    /// Handles the subscriptions that the server has denied, also those that it has removed since. Keeps
    /// those of `new` that are not denied.
    fn handle_denials(&mut self, mut new: Vec<New>) -> Result<Vec<New>, Fault> {
        let shared = self.shared;
        let (denied, denials) = self.link.denied_subscriptions(self.denials)?;
        self.denials = denials;
        for (subject, fault) in denied {
            if let Some(index) = new.iter().position(|(of, ..)| **of == *subject) {
                new.swap_remove(index);
                self.refuse(subject.into(), &fault);
            } else if self.subscribed.remove(&*subject).is_some() {
                self.removed += 1;
                if let Some(want) = shared.wants.get(&subject) {
                    shared.arrivals().doubt(Scope::Stream(want.stream));
                }
                self.refuse(subject.into(), &fault);
            } else if self.join_at.is_none()
                && let Some(joined) = shared.control.get()
                && joined.subjects.contains(&subject)
            {
                self.leave_nodes(&fault);
            }
        }
        if self.removed > REMOVED {
            return Err(Fault::away("the server has removed many subscriptions"));
        }
        Ok(new)
    }

    /// Handles the answer to a look.
    async fn handle_look(&mut self, look: Look) -> Result<(), Fault> {
        let shared = self.shared;
        let before = self.looks.note(&look);
        let Look {
            partition, answer, ..
        } = look;
        let answered = match answer {
            Ok(answered) => answered,
            Err(fault) if fault.is_of_store() => {
                if fault.kind == FaultKind::Late {
                    self.link.round_trip().await?;
                }
                if !matches!(before, Readiness::Unready(_)) {
                    tracing::warn!(
                        name: "stream.away",
                        target: "fraiseql_subs",
                        partition,
                        reason = fault.reason,
                        "a JetStream stream of the bus does not answer"
                    );
                }
                self.report();
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        if let Some(store) = shared.stores.get(partition) {
            if store.take_renumbered() {
                shared.wants.mark_partition_changed(store.partition);
                shared.arrivals().doubt(Scope::All);
            } else if matches!(before, Readiness::Unready(_)) {
                // The servers may have lost messages with their leader.
                for (subject, stream) in shared.wants.of_partition(store.partition) {
                    shared.arrivals().doubt(Scope::Stream(stream));
                    shared.wants.mark_changed(&subject);
                }
            }
        }
        for (subject, want, head) in answered {
            // The server may have removed it since it was asked.
            if !self.subscribed.contains_key(&subject) {
                continue;
            }
            match head {
                Ok(head) => {
                    if shared.wants.ready(&subject, want.generation, head) {
                        shared.arrivals().ready(&want.stream, head);
                    }
                }
                Err(fault) if fault.is_configuration() => self.refuse(subject, &fault),
                Err(_) => {
                    self.refused.insert(subject, Instant::now() + RETRY);
                }
            }
        }
        self.report();
        Ok(())
    }

    /// Reports whether events are delivered. One partition whose store does not answer is told by the
    /// doubts of its streams alone.
    fn report(&self) {
        let (health, arrivals) = (&self.shared.health, self.shared.arrivals());
        match self.looks.state() {
            Readiness::Ready => health.live(Role::Subscriber, arrivals),
            Readiness::Unready(fault) => health.away(Role::Subscriber, &fault, arrivals),
            Readiness::Unknown => {}
        }
    }

    /// Tries a stream again later.
    fn refuse(&mut self, subject: Arc<str>, fault: &Fault) {
        let now = Instant::now();
        if let Some(suppressed) = self.refusals.admit(now) {
            tracing::warn!(
                name: "stream.refused",
                target: "fraiseql_subs",
                subject = &*subject,
                reason = fault.reason,
                suppressed,
                "the bus refuses a stream"
            );
        }
        let pause = self.shared.config.times.configuration_pause;
        self.refused.insert(subject, now + pause);
    }
}

/// A subscription whose messages are not delivered yet.
type New = (Arc<str>, StreamKey, Subscriber);

async fn subscribe(link: &Link, subject: &str) -> Result<Subscriber, Fault> {
    let subscriber = link.client.subscribe(subject.to_owned()).await;
    subscriber.map_err(|_| Fault::away("the link to NATS has ended"))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
