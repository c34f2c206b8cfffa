//! What the link does on its own thread: reads the history of streams with gaps, looks after silent
//! streams, and ends the delivery of those that nothing wants.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{interval, sleep};

use super::inbox::ReadRequest;
use super::{EngineLink, READS_AT_ONCE};
use crate::StreamKey;
use crate::engine::Health;

/// Events of one read (count).
const READ_EVENTS: usize = 256;

/// Half of the longest pause after a read that has brought nothing; each further one doubles it, up to
/// 32 times.
const READ_PAUSE: Duration = Duration::from_millis(50);

/// Pause while broadcasting does not keep up with what is read.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// How often silent and unwanted streams are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A stream of which nothing was heard for so long is compared with the engine.
const SILENCE: Duration = Duration::from_secs(30);

/// Streams that are compared at a time (count).
const AUDIT_STREAMS: usize = 512;

/// How long a stream stays that nothing wants any more, at least; at most twice as long.
const LINGER: Duration = Duration::from_secs(20);

/// Reads what has gaps, until it is dropped.
pub(super) async fn read_gaps(link: Arc<EngineLink>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < READS_AT_ONCE
            && let Some(request) = link.inbox.next_read()
        {
            under_way.push(read(&link, request));
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = link.inbox.reads_changed() => {}
        }
    }
}

async fn read(link: &EngineLink, ReadRequest { key, after }: ReadRequest) {
    let answer = link.engine.read(&key, after, READ_EVENTS).await;
    let fruitless = link.inbox.read(&key, answer);
    if fruitless > 0 {
        let longest = READ_PAUSE.mul_f64(f64::from(1 << fruitless.min(6)));
        sleep(longest.mul_f64(fastrand::f64())).await;
    }
    while link.inbox.is_full() {
        // What is read now would have to be read again.
        sleep(FULL_PAUSE).await;
    }
    link.inbox.end_read(&key);
}

/// Compares silent streams with the engine, and ends the delivery of those that nothing wants.
pub(super) async fn look_after(link: Arc<EngineLink>) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let linger = LINGER.mul_f64(1.0 + fastrand::f64());
        link.inbox
            .expire(now, linger, |key| link.engine.unwant(key));
        if link.has_history() && link.engine.health().is_live() {
            let silence = SILENCE.mul_f64(0.5 + fastrand::f64());
            let silent = link.inbox.silent(silence, AUDIT_STREAMS, now);
            if !silent.is_empty() {
                audit(&link, silent.into()).await;
            }
        }
    }
}

/// Tells in the log when the engine cannot be reached, and when it can again.
pub(super) async fn tell_health(link: Arc<EngineLink>) {
    let mut health = link.health();
    let mut away_since = None;
    loop {
        match &*health.borrow_and_update() {
            Health::Live => {
                link.outbox.try_now();
                if let Some(since) = away_since.take() {
                    let seconds = Instant::now().duration_since(since).as_secs_f64();
                    tracing::info!(
                        target: "fraiseql_subs",
                        "the bus is back after {seconds:.1} s: events are published and delivered again"
                    );
                }
            }
            Health::Away {
                since,
                reason,
                is_configuration,
            } if away_since.is_none() => {
                away_since = Some(*since);
                tell_away(reason, *is_configuration);
            }
            Health::Silent { since } if away_since.is_none() => {
                away_since = Some(*since);
                tell_away("nothing that is published comes back", false);
            }
            Health::Starting | Health::Silent { .. } | Health::Away { .. } | Health::Closed => {}
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}

fn tell_away(reason: &str, is_configuration: bool) {
    if is_configuration {
        tracing::error!(
            target: "fraiseql_subs",
            reason,
            "the bus refuses this program: correct its configuration; clients stay connected, and no event reaches them"
        );
    } else {
        tracing::warn!(
            target: "fraiseql_subs",
            reason,
            "the bus cannot be reached: clients stay connected, and no event reaches them; it is tried again until it is back"
        );
    }
}

async fn audit(link: &EngineLink, streams: Arc<[StreamKey]>) {
    // What has no answer is compared later.
    if let Ok(heads) = link.engine.heads(streams.clone()).await {
        link.inbox.audited(streams.iter().cloned().zip(heads));
    }
}
