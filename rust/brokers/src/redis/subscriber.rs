//! The work of the subscriber link: subscribes what is wanted, tells what is ready, and proves that
//! events come through.
//!
//! One task does it, one step after the other. So it always knows what is subscribed: what was wanted,
//! not wanted and wanted again before it looks is settled by what is wanted when it looks. Not here: the
//! events (`delivery`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::StreamKey;
use bus::engine::{Role, Scope};

use super::delivery::Delivery;
use super::fault::Fault;
use super::link::Link;
use super::reader;
use super::shared::Shared;
use super::stopped::Stopped;
use super::wants::Wanted;

/// The most channels of one command.
const NAMES: usize = 512;

/// Serves a new link until it is of no use.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    delivery: &Arc<Delivery>,
) -> Fault {
    let settled = async {
        match Settling::new(shared, link).settle().await {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    };
    tokio::select! {
        fault = settled => fault,
        fault = prove(shared, delivery) => fault,
    }
}

/// Brings what is subscribed on a link to what is wanted.
struct Settling<'a> {
    shared: &'a Arc<Shared>,
    link: &'a Arc<Link>,
    subscribed: HashSet<Arc<str>>,
    /// Wanted streams that cannot be made ready now.
    stopped: Stopped,
}

impl<'a> Settling<'a> {
    fn new(shared: &'a Arc<Shared>, link: &'a Arc<Link>) -> Self {
        Self {
            shared,
            link,
            subscribed: HashSet::new(),
            stopped: Stopped::new(shared.config.times),
        }
    }

    async fn settle(mut self) -> Result<std::convert::Infallible, Fault> {
        let shared = self.shared;
        let probe = std::slice::from_ref(&shared.probe);
        self.link.subscribe(probe).await?;
        // What came between the last link and this one is not known. It is said before streams are
        // ready again: whoever reads history from now on finds it.
        shared.arrivals().doubt(Scope::All);
        shared.wants.restart();
        let mut is_live = false;
        loop {
            let changed = shared.wants.take();
            if changed.is_empty() {
                if !is_live {
                    shared.health.live(Role::Subscriber, shared.arrivals());
                    is_live = true;
                }
                self.wait().await;
            }
            for channels in changed.chunks(NAMES) {
                self.settle_some(channels).await?;
            }
        }
    }

    /// Waits for something to do.
    async fn wait(&self) {
        let wants = &self.shared.wants;
        let collected = async {
            wants.changed().await;
            tokio::time::sleep(self.shared.config.times.collect).await;
        };
        let Some(again_at) = self.stopped.next() else {
            return collected.await;
        };
        tokio::select! {
            () = collected => {}
            () = tokio::time::sleep_until(again_at.into()) => {
                for channel in self.stopped.due(Instant::now()) {
                    wants.look_again(&channel);
                }
            }
        }
    }

    async fn settle_some(&mut self, channels: &[Arc<str>]) -> Result<(), Fault> {
        let wants = &self.shared.wants;
        let mut wanted: Vec<(Arc<str>, Wanted)> = Vec::new();
        let mut new = Vec::new();
        let mut old = Vec::new();
        for channel in channels {
            let is_subscribed = self.subscribed.contains(channel);
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
            self.link.unsubscribe(&old).await?;
            for channel in &old {
                self.subscribed.remove(channel);
            }
        }
        for (channel, fault) in self.subscribe(&new).await? {
            let want = wanted.iter().position(|(wanted, _)| *wanted == channel);
            if let Some(want) = want {
                let (channel, want) = wanted.swap_remove(want);
                self.stop(&channel, &want, &fault);
            }
        }
        if !wanted.is_empty() {
            self.make_ready(&wanted).await?;
        }
        Ok(())
    }

    /// Subscribes to channels. Where that is refused each half of them is tried: so the one that it is
    /// about hinders no other. Returns those that are refused.
    async fn subscribe(&mut self, new: &[Arc<str>]) -> Result<Vec<(Arc<str>, Fault)>, Fault> {
        let mut refused = Vec::new();
        let mut rest = Vec::new();
        if !new.is_empty() {
            rest.push(new);
        }
        while let Some(channels) = rest.pop() {
            match self.link.subscribe(channels).await {
                Ok(()) => self.subscribed.extend(channels.iter().cloned()),
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

    /// Tells from where on the events of subscribed streams arrive.
    async fn make_ready(&mut self, wanted: &[(Arc<str>, Wanted)]) -> Result<(), Fault> {
        // Asked on this link: the server that answers is the one that delivers.
        let streams: Vec<&StreamKey> = wanted.iter().map(|(_, want)| &want.stream).collect();
        let heads = reader::heads_on(self.shared, self.link, &streams).await?;
        for ((channel, want), head) in wanted.iter().zip(heads) {
            match head {
                Ok(head) => {
                    self.stopped.remove(channel);
                    if self.shared.wants.is_current(channel, want.generation) {
                        self.shared.arrivals().ready(&want.stream, head);
                    }
                }
                Err(fault) => self.stop(channel, want, &fault),
            }
        }
        Ok(())
    }

    /// A stream cannot be made ready now.
    fn stop(&mut self, channel: &Arc<str>, want: &Wanted, fault: &Fault) {
        let names = self.shared.names.stream(&want.stream);
        self.stopped.add(channel, &names, fault);
    }
}

/// Publishes a probe where no event has come for a while; returns when one does not come back.
async fn prove(shared: &Arc<Shared>, delivery: &Arc<Delivery>) -> Fault {
    let times = shared.config.times;
    loop {
        // A probe that helps nothing is sent more and more rarely.
        let failures = *shared.probe_failures.lock();
        let patience = times
            .probe_after
            .saturating_mul(2_u32.saturating_pow(failures.min(16)))
            .min(times.probe_limit.max(times.probe_after))
            .mul_f64(0.8 + fastrand::f64() * 0.4);
        let silent = delivery.activity.silent_for();
        if let Some(rest) = patience.checked_sub(silent).filter(|rest| !rest.is_zero()) {
            tokio::time::sleep(rest).await;
            continue;
        }
        let Some(publisher) = shared.slot(Role::Publisher).current() else {
            // That there is no link is told already.
            tokio::time::sleep(times.probe_answer.min(Duration::from_secs(1))).await;
            continue;
        };
        let number = fastrand::u64(1..);
        let mut answers = delivery.probe.subscribe();
        let mut command = redis::cmd("PUBLISH");
        command.arg(&*shared.probe).arg(number);
        if publisher.ask(&command).await.is_err() {
            tokio::time::sleep(times.probe_answer.min(Duration::from_secs(1))).await;
            continue;
        }
        let answer = answers.wait_for(|answer| *answer == number);
        if tokio::time::timeout(times.probe_answer, answer)
            .await
            .is_ok()
        {
            *shared.probe_failures.lock() = 0;
            continue;
        }
        *shared.probe_failures.lock() += 1;
        shared.health.silent(Role::Subscriber, shared.arrivals());
        let seconds = times.probe_answer.as_secs_f64();
        return Fault::away(format!(
            "a probe was published and has not come back within {seconds} seconds: publishing and \
             subscribing may have led to two servers"
        ));
    }
}
