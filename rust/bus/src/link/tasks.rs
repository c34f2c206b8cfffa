//! The tasks of a link, on its own thread: read the history of streams with gaps, compare streams with
//! the engine, and stop the delivery of unused streams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{interval, sleep};

use super::health_log::HealthLog;
use super::inbox::ReadRequest;
use super::{EngineLink, READS_AT_ONCE};
use crate::StreamKey;
use crate::engine::{Arrivals, Role};

/// Limit of the events of one read (count).
const READ_EVENTS: usize = 256;

/// Half of the longest pause after the first read that found no event. Each further read without an
/// event doubles it, up to 32 times.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// Pause while the intake is full.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// How often streams are checked for an audit, and for expiry.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often a stream is compared with the engine, on average. Each period is between half and one and
/// a half times as long.
const AUDIT_PERIOD: Duration = Duration::from_secs(30);

/// Where there are many streams, one check audits at most one in so many of them: all are audited
/// within half a period.
const AUDIT_SHARE: usize = 15;

/// Limit of the streams of one request to the engine (count).
const AUDIT_STREAMS: usize = 512;

/// Links that change within this time share one log line.
const LOG_DELAY: Duration = Duration::from_millis(100);

/// How long an unused stream stays, at least; at most twice as long.
const LINGER: Duration = Duration::from_secs(20);

/// Reads the history of streams with gaps, until the future is dropped.
pub(super) async fn read_gaps(link: Arc<EngineLink>) {
    let mut reads = FuturesUnordered::new();
    // Pauses do not count as reads, so streams that cannot be read do not delay others.
    let mut pauses = FuturesUnordered::new();
    loop {
        while reads.len() < READS_AT_ONCE
            && let Some(request) = link.inbox.next_read()
        {
            reads.push(read(&link, request));
        }
        tokio::select! {
            Some((key, fruitless)) = reads.next() => pauses.push(pause(&link, key, fruitless)),
            Some(()) = pauses.next() => {}
            () = link.inbox.reads_changed() => {}
        }
    }
}

/// Reads once. Returns how many reads in a row have found no event.
async fn read(link: &EngineLink, ReadRequest { key, after }: ReadRequest) -> (StreamKey, u32) {
    let answer = link.engine.read(&key, after, READ_EVENTS).await;
    let fruitless = link.inbox.read(&key, answer);
    while link.inbox.is_full() {
        // The intake would refuse further events, and they would have to be read again.
        sleep(FULL_PAUSE).await;
    }
    (key, fruitless)
}

/// Ends a read after a random pause, whose maximum grows with each read that has found no event.
async fn pause(link: &EngineLink, key: StreamKey, fruitless: u32) {
    if fruitless > 0 {
        let longest = READ_PAUSE.mul_f64(f64::from(1 << fruitless.min(6)));
        sleep(longest.mul_f64(fastrand::f64())).await;
    }
    link.inbox.end_read(&key);
}

/// Compares streams with the engine, and stops the delivery of unused ones.
pub(super) async fn maintain(link: Arc<EngineLink>) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let linger = LINGER.mul_f64(1.0 + fastrand::f64());
        link.inbox
            .expire(now, linger, |key| link.engine.unwant(key));
        let period = AUDIT_PERIOD.mul_f64(0.5 + fastrand::f64());
        let due = link
            .inbox
            .begin_audit(period, AUDIT_STREAMS, AUDIT_SHARE, now);
        let audits = due
            .chunks(AUDIT_STREAMS)
            .map(|streams| audit(&link, streams.into()));
        join_all(audits).await;
    }
}

/// Ends all pauses of publishing when the engine can be reached again.
pub(super) async fn resume_publishing(link: Arc<EngineLink>) {
    let mut health = link.health();
    loop {
        if health.borrow_and_update().of(Role::Publisher).is_live() {
            link.outbox.try_now();
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}

/// Logs which links fail and why, and when they work again.
pub(super) async fn log_health(link: Arc<EngineLink>) {
    let mut health = link.health();
    let mut log = HealthLog::default();
    while health.changed().await.is_ok() {
        // The links to one server fail together, and share one log line.
        sleep(LOG_DELAY).await;
        let now = health.borrow_and_update().clone();
        for line in log.update(&now, Instant::now()) {
            line.log(link.has_clients);
        }
    }
}

async fn audit(link: &EngineLink, streams: Arc<[StreamKey]>) {
    let heads = link.engine.heads(streams.clone()).await;
    let known = streams.iter().cloned().zip(heads);
    // A stream without an answer is compared later.
    link.inbox
        .audited(known.filter_map(|(key, head)| Some((key, head.ok()?))));
}
