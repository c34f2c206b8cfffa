//! What the link does on its own thread: reads the history of streams with gaps, compares streams
//! with the engine, and ends the delivery of those that nothing wants.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{interval, sleep};

use super::health_log::HealthLog;
use super::inbox::ReadRequest;
use super::{EngineLink, READS_AT_ONCE};
use crate::StreamKey;
use crate::engine::Role;

/// Events of one read (count).
const READ_EVENTS: usize = 256;

/// Half of the longest pause after a read that has brought nothing; each further one doubles it, up to
/// 32 times.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// Pause while broadcasting does not keep up with what is read.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// How often streams are looked for that are to be compared with the engine, or that nothing wants.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A stream is compared with the engine about so often: half of it at least, half as long again at most.
const AUDIT_PERIOD: Duration = Duration::from_secs(30);

/// One look begins to compare one in so many of the streams where there are many: all have their turn
/// within half a period.
const AUDIT_SHARE: usize = 15;

/// Streams of one question to the engine (count).
const AUDIT_STREAMS: usize = 512;

/// Links that change within this time are told in one line.
const TOGETHER: Duration = Duration::from_millis(100);

/// How long a stream stays that nothing wants any more, at least; at most twice as long.
const LINGER: Duration = Duration::from_secs(20);

/// Reads what has gaps, until it is dropped.
pub(super) async fn read_gaps(link: Arc<EngineLink>) {
    let mut reads = FuturesUnordered::new();
    // Beside the reads: streams that cannot be read hinder none that can.
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

/// Reads once. Returns for how many reads in a row nothing was found.
async fn read(link: &EngineLink, ReadRequest { key, after }: ReadRequest) -> (StreamKey, u32) {
    let answer = link.engine.read(&key, after, READ_EVENTS).await;
    let fruitless = link.inbox.read(&key, answer);
    while link.inbox.is_full() {
        // What is read now would have to be read again.
        sleep(FULL_PAUSE).await;
    }
    (key, fruitless)
}

/// Ends a read, after a pause that is the longer the more of them have brought nothing.
async fn pause(link: &EngineLink, key: StreamKey, fruitless: u32) {
    if fruitless > 0 {
        let longest = READ_PAUSE.mul_f64(f64::from(1 << fruitless.min(6)));
        sleep(longest.mul_f64(fastrand::f64())).await;
    }
    link.inbox.end_read(&key);
}

/// Compares streams with the engine, and ends the delivery of those that nothing wants.
pub(super) async fn look_after(link: Arc<EngineLink>) {
    let mut ticks = interval(LOOK_INTERVAL);
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

/// Tries again at once what waits to be published, when the engine can be published to again.
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

/// Tells in the log what of the engine cannot be reached and why, and when it can again.
pub(super) async fn tell_health(link: Arc<EngineLink>) {
    let mut health = link.health();
    let mut log = HealthLog::default();
    while health.changed().await.is_ok() {
        // All links to one server are lost together, and so are they told.
        sleep(TOGETHER).await;
        let now = health.borrow_and_update().clone();
        for line in log.look(&now, Instant::now()) {
            line.tell();
        }
    }
}

async fn audit(link: &EngineLink, streams: Arc<[StreamKey]>) {
    let heads = link.engine.heads(streams.clone()).await;
    let known = streams.iter().cloned().zip(heads);
    // What has no answer is compared later.
    link.inbox
        .audited(known.filter_map(|(key, head)| Some((key, head.ok()?))));
}
