//! The work of the subscriber link: subscribes what is wanted, tells what is ready, and proves that
//! events come through.
//!
//! One task does it, one step after the other. So it always knows what is subscribed: what was wanted,
//! not wanted and wanted again before it looks is settled by what is wanted when it looks. Not here: the
//! events (`delivery`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bus::StreamKey;
use bus::engine::Scope;

use super::delivery::Delivery;
use super::fault::{Fault, FaultKind};
use super::link::Link;
use super::reader;
use super::shared::Shared;
use super::slot::Role;
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
        match settle(shared, link).await {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    };
    tokio::select! {
        fault = settled => fault,
        fault = prove(shared, delivery) => fault,
    }
}

async fn settle(shared: &Arc<Shared>, link: &Arc<Link>) -> Result<std::convert::Infallible, Fault> {
    link.subscribe(std::slice::from_ref(&shared.probe)).await?;
    // What came between the last link and this one is not known. It is said before streams are ready
    // again: whoever reads history from now on finds it.
    shared.arrivals().doubt(Scope::All);
    shared.wants.restart();
    let mut subscribed = HashSet::new();
    let mut is_live = false;
    loop {
        let changed = shared.wants.take();
        if changed.is_empty() {
            if !is_live {
                shared.health.live(Role::Subscriber, shared.arrivals());
                is_live = true;
            }
            shared.wants.changed().await;
            tokio::time::sleep(shared.config.times.collect).await;
        }
        for channels in changed.chunks(NAMES) {
            settle_some(shared, link, channels, &mut subscribed).await?;
        }
    }
}

async fn settle_some(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    channels: &[Arc<str>],
    subscribed: &mut HashSet<Arc<str>>,
) -> Result<(), Fault> {
    let mut wanted: Vec<(Arc<str>, Wanted)> = Vec::new();
    let mut new = Vec::new();
    let mut old = Vec::new();
    for channel in channels {
        match shared.wants.get(channel) {
            Some(want) => {
                if !subscribed.contains(channel) {
                    new.push(channel.clone());
                }
                wanted.push((channel.clone(), want));
            }
            None if subscribed.contains(channel) => old.push(channel.clone()),
            None => {}
        }
    }
    if !old.is_empty() {
        link.unsubscribe(&old).await?;
        for channel in &old {
            subscribed.remove(channel);
        }
    }
    if !new.is_empty() {
        link.subscribe(&new).await?;
        subscribed.extend(new);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    // Asked on this link: the server that answers is the one that delivers.
    let streams: Vec<&StreamKey> = wanted.iter().map(|(_, want)| &want.stream).collect();
    let heads = match reader::heads_on(shared, link, &streams).await {
        Ok(heads) => heads,
        Err(fault) if fault.kind == FaultKind::Busy => vec![Err(fault); streams.len()],
        Err(fault) => return Err(fault),
    };
    let mut busy = None;
    for ((channel, want), head) in wanted.iter().zip(heads) {
        match head {
            Ok(head) if shared.wants.is_current(channel, want.generation) => {
                shared.arrivals().ready(&want.stream, head);
            }
            Ok(_) => {}
            // The others stay ready: a server that is full cannot store a new stream, and delivers.
            Err(fault) if fault.kind == FaultKind::Busy => {
                shared.wants.look_again(channel);
                busy = Some(fault);
            }
            Err(fault) => return Err(fault),
        }
    }
    if let Some(fault) = busy {
        tracing::warn!(target: "fraiseql_subs", reason = fault.reason, "streams are not ready");
        let pause = shared.config.times.backoff_limit;
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
    Ok(())
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
