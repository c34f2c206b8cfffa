//! The work of a subscriber link: subscribes to the wanted streams of its master's partitions, and
//! reports when they are ready.
//!
//! One task does it step by step, so it always knows what is subscribed. It compares that with the
//! wants at the time of the step: earlier changes of a want do not matter. When a partition comes to the
//! master, it handles all wants of the partition. When a partition leaves, it only forgets it: the new
//! master has its own subscriber. Not here: events (`delivery`), checks that they arrive (`probe`).

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bus::StreamKey;
use bus::engine::{Role, Scope};
use tokio::time::sleep_until;

use super::control::ControlChannels;
use super::delivery::Delivery;
use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::master::Master;
use super::masters::Masters;
use super::pace::Pace;
use super::probe::check_delivery;
use super::reader;
use super::shared::Shared;
use super::stopped::Stopped;
use super::wants::Wanted;

/// Limit of the channels that one step handles (count).
const NAMES: usize = 512;

/// Serves a new link until it fails. Returns why.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    master: &Arc<Master>,
    link: &Arc<Link>,
    delivery: &Arc<Delivery>,
) -> Fault {
    let reconciled = async {
        match Reconciler::new(shared, master, link, delivery)
            .reconcile()
            .await
        {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    };
    tokio::select! {
        fault = reconciled => fault,
        fault = check_delivery(shared, master, delivery) => fault,
    }
}

/// Subscribes to the wanted streams of a link, and unsubscribes from the others.
struct Reconciler<'a> {
    shared: &'a Arc<Shared>,
    master: &'a Arc<Master>,
    link: &'a Arc<Link>,
    delivery: &'a Arc<Delivery>,
    /// The partitions of the master.
    partitions: BTreeSet<u32>,
    /// The partition whose probe channel is subscribed.
    probe: Option<u32>,
    /// One more than the partition that was last tried for the probe channel.
    probes_tried: u32,
    /// Whether the channels of nodes are subscribed, or refused for good.
    has_joined: bool,
    /// The partition of each subscribed channel.
    subscribed: HashMap<Arc<str>, u32>,
    /// Wanted streams that cannot be made ready now.
    stopped: Stopped,
    pace: Pace,
}

impl<'a> Reconciler<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        master: &'a Arc<Master>,
        link: &'a Arc<Link>,
        delivery: &'a Arc<Delivery>,
    ) -> Self {
        Self {
            shared,
            master,
            link,
            delivery,
            partitions: BTreeSet::new(),
            probe: None,
            probes_tried: 0,
            has_joined: false,
            subscribed: HashMap::new(),
            stopped: Stopped::new(shared.config.times),
            pace: Pace::new(Instant::now()),
        }
    }

    async fn reconcile(mut self) -> Result<Infallible, Fault> {
        let shared = self.shared;
        let mut masters = shared.masters.subscribe();
        let mut is_live = false;
        masters.mark_changed();
        loop {
            if masters.has_changed().unwrap_or_default() {
                let now = masters.borrow_and_update().clone();
                self.follow(&now);
            }
            self.check_ended();
            if self.probe.is_none() {
                self.listen_to_probes().await?;
            }
            if self.has_to_join() {
                self.join_nodes().await?;
            }
            let changed = shared.wants.take(self.master.number, &self.partitions);
            for channels in changed.chunks(NAMES) {
                self.reconcile_some(channels).await?;
            }
            if !changed.is_empty() {
                continue;
            }
            if !is_live {
                shared
                    .health
                    .live(self.master, Role::Subscriber, shared.arrivals());
                is_live = true;
            }
            tokio::select! {
                () = self.wait() => {}
                _ = masters.changed() => masters.mark_changed(),
            }
        }
    }

    /// Starts with the partitions that have come to the master, and forgets those that have left.
    fn follow(&mut self, masters: &Masters) {
        let shared = self.shared;
        let now = masters.partitions_of(self.master);
        shared.wants.keep(self.master.number, &now);
        // A partition may have left and come back between two checks. Another subscriber has started
        // with it then.
        let come = shared.wants.not_of(self.master.number, &now);
        self.subscribed
            .retain(|_, partition| now.contains(partition) && !come.contains(partition));
        self.stopped.retain(|channel| {
            let want = shared.wants.get(channel);
            want.is_some_and(|want| now.contains(&want.partition))
        });
        self.has_joined &= now.contains(&ControlChannels::PARTITION);
        self.partitions = now;
        if !self
            .probe
            .is_some_and(|probe| self.partitions.contains(&probe))
        {
            self.lose_probe();
        }
        if come.is_empty() {
            return;
        }
        // Events before this link are unknown. The doubt is reported before streams are ready again: a
        // later read of the history finds these events.
        let streams = shared.wants.begin(self.master.number, &come);
        if come.len() == shared.config.partitions as usize {
            shared.arrivals().doubt(Scope::All);
        } else {
            for stream in streams {
                shared.arrivals().doubt(Scope::Stream(stream));
            }
        }
    }

    /// Subscribes to the probe channel of one of the partitions. If that partition is being moved, the
    /// next one is tried later.
    async fn listen_to_probes(&mut self) -> Result<(), Fault> {
        let after = self.partitions.range(self.probes_tried..).next();
        let Some(partition) = after.or(self.partitions.first()).copied() else {
            return Ok(());
        };
        self.probes_tried = partition + 1;
        let channel = self.shared.probe(partition);
        let refused = self.subscribe_all(std::slice::from_ref(&channel)).await?;
        match refused.into_iter().next() {
            Some((_, fault)) if fault.is_configuration() => Err(fault),
            Some(_) => Ok(()),
            None => {
                self.probe = Some(partition);
                self.delivery.set_probe(Some(channel));
                Ok(())
            }
        }
    }

    /// Whether the channels of nodes belong to this master and are not subscribed.
    fn has_to_join(&self) -> bool {
        let control = &self.shared.control;
        !self.has_joined
            && self.partitions.contains(&ControlChannels::PARTITION)
            && !control.names().is_empty()
    }

    /// Subscribes to the channels of nodes. If they are refused, events are still delivered. If the
    /// partition is being moved or the server is busy, it is tried again later.
    async fn join_nodes(&mut self) -> Result<(), Fault> {
        let shared = self.shared;
        let refused = self.subscribe_all(shared.control.names()).await?;
        match refused.into_iter().map(|(_, fault)| fault).next() {
            None => {
                self.has_joined = true;
                shared.control.subscribed();
            }
            Some(fault) if matches!(fault.kind, FaultKind::Moved | FaultKind::Busy) => {}
            Some(fault) => {
                self.has_joined = true;
                tracing::warn!(
                    name: "cluster.refused",
                    target: "fraiseql_subs",
                    reason = fault.reason,
                    "nodes cannot exchange messages: the bus refuses them"
                );
            }
        }
        Ok(())
    }

    fn lose_probe(&mut self) {
        self.probe = None;
        self.delivery.set_probe(None);
    }

    /// Handles subscriptions that Redis has ended, because their partition has left the server.
    fn check_ended(&mut self) {
        for channel in self.delivery.take_ended() {
            let Some((channel, _)) = self.subscribed.remove_entry(&*channel) else {
                if self.delivery.probe().as_deref() == Some(&*channel) {
                    self.lose_probe();
                } else if self.shared.control.has(&channel) {
                    self.has_joined = false;
                    self.shared.refresh_masters();
                }
                continue;
            };
            self.shared.refresh_masters();
            if let Some(want) = self.shared.wants.get(&channel) {
                let scope = Scope::Stream(want.stream.clone());
                self.shared.arrivals().doubt(scope);
                let reason = "the partition has moved to another server";
                self.stop(&channel, &want, &Fault::new(FaultKind::Moved, reason));
            }
        }
    }

    /// Waits until there is work to do.
    async fn wait(&self) {
        let wants = &self.shared.wants;
        let collected = async {
            tokio::select! {
                () = self.master.wants_changed.notified() => {}
                () = self.delivery.some_ended() => {}
            }
            tokio::time::sleep(self.shared.config.times.collect).await;
        };
        let try_again = Instant::now() + self.shared.config.times.backoff_limit;
        let try_again = (self.probe.is_none() || self.has_to_join()).then_some(try_again);
        let Some(again_at) = self.stopped.next().into_iter().chain(try_again).min() else {
            return collected.await;
        };
        tokio::select! {
            () = collected => {}
            () = sleep_until(again_at.into()) => {
                for channel in self.stopped.due(Instant::now()) {
                    wants.mark_changed(&channel);
                }
            }
        }
    }

    async fn reconcile_some(&mut self, channels: &[Arc<str>]) -> Result<(), Fault> {
        let wants = &self.shared.wants;
        let mut wanted: Vec<(Arc<str>, Wanted)> = Vec::new();
        let mut new = Vec::new();
        let mut old = Vec::new();
        for channel in channels {
            let is_subscribed = self.subscribed.contains_key(channel);
            match wants.get(channel) {
                Some(want) => {
                    if !is_subscribed {
                        new.push(channel.clone());
                    }
                    wanted.push((channel.clone(), want));
                }
                None => {
                    self.stopped.remove(channel);
                    if is_subscribed {
                        old.push(channel.clone());
                    }
                }
            }
        }
        if !old.is_empty() {
            self.unsubscribe(&old).await?;
        }
        let refused = self.subscribe(&new).await?;
        for (channel, want) in &wanted {
            match refused.get(channel) {
                Some(fault) => self.stop(channel, want, fault),
                None => _ = self.subscribed.insert(channel.clone(), want.partition),
            }
        }
        wanted.retain(|(channel, _)| !refused.contains_key(channel));
        if !wanted.is_empty() {
            self.make_ready(&wanted).await?;
        }
        Ok(())
    }

    async fn unsubscribe(&mut self, old: &[Arc<str>]) -> Result<(), Fault> {
        if self.shared.is_cluster() {
            self.delivery.leave(old);
            self.link.unsubscribe_sharded(old).await?;
            self.delivery.has_left();
        } else {
            self.link.unsubscribe(old).await?;
        }
        for channel in old {
            self.subscribed.remove(channel);
        }
        Ok(())
    }

    /// Subscribes to channels at a limited rate. Returns those that are refused.
    async fn subscribe(&mut self, new: &[Arc<str>]) -> Result<HashMap<Arc<str>, Fault>, Fault> {
        if new.is_empty() {
            return Ok(HashMap::new());
        }
        let at = self.pace.next(Instant::now(), new.len());
        sleep_until(at.into()).await;
        Ok(self.subscribe_all(new).await?.into_iter().collect())
    }

    async fn subscribe_all(&self, new: &[Arc<str>]) -> Result<Vec<(Arc<str>, Fault)>, Fault> {
        if !self.shared.is_cluster() {
            return self.subscribe_at_once(new).await;
        }
        let answers = self.link.subscribe_sharded(new).await?;
        let mut refused = Vec::new();
        for (channel, answer) in new.iter().zip(answers) {
            match answer {
                Ok(()) => {}
                Err(fault) if fault.is_of_program() => return Err(fault),
                Err(fault) => refused.push((channel.clone(), fault)),
            }
        }
        Ok(refused)
    }

    /// Subscribes to channels with one command. Divides a command that is refused into halves, to
    /// isolate the channel that is the cause.
    async fn subscribe_at_once(&self, new: &[Arc<str>]) -> Result<Vec<(Arc<str>, Fault)>, Fault> {
        let mut refused = Vec::new();
        let mut rest = vec![new];
        while let Some(channels) = rest.pop() {
            match self.link.subscribe(channels).await {
                Ok(()) => {}
                Err(fault) if !fault.may_be_of_one_stream() => return Err(fault),
                Err(fault) => match channels {
                    [channel] => refused.push((channel.clone(), fault)),
                    channels => {
                        let (first, second) = channels.split_at(channels.len() / 2);
                        rest.push(second);
                        rest.push(first);
                    }
                },
            }
        }
        Ok(refused)
    }

    /// Reports from which position on the events of subscribed streams arrive.
    async fn make_ready(&mut self, wanted: &[(Arc<str>, Wanted)]) -> Result<(), Fault> {
        // Asked on this link, so that the server that answers is the one that delivers.
        let streams: Vec<&StreamKey> = wanted.iter().map(|(_, want)| &want.stream).collect();
        let heads = reader::heads_on(self.shared, self.master, self.link, &streams).await?;
        for ((channel, want), head) in wanted.iter().zip(heads) {
            match head {
                Ok(head) => {
                    self.stopped.remove(channel);
                    let wants = &self.shared.wants;
                    if wants.is_current(channel, want.generation, self.master.number) {
                        self.shared.arrivals().ready(&want.stream, head);
                    }
                }
                Err(fault) => self.stop(channel, want, &fault),
            }
        }
        Ok(())
    }

    /// Stops a stream that cannot be made ready now.
    fn stop(&mut self, channel: &Arc<str>, want: &Wanted, fault: &Fault) {
        let names = self.shared.names.stream(&want.stream);
        self.stopped.add(channel, &names, fault);
    }
}

impl Drop for Reconciler<'_> {
    fn drop(&mut self) {
        self.shared.wants.end(self.master.number);
    }
}
