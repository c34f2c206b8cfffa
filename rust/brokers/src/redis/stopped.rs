//! Streams that the server refuses, or has no room for, and when each is asked for again.
//!
//! The fault of one stream is that stream's alone: it waits here, and the others go on. Not here: what
//! is wanted (`wants`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::Throttle;

use super::config::Times;
use super::fault::{Fault, FaultKind};
use super::names::StreamNames;

/// Streams that are not ready because of a fault of their own.
#[derive(Debug)]
pub(super) struct Stopped {
    times: Times,
    /// By channel: never more than are wanted.
    streams: HashMap<Arc<str>, StoppedStream>,
    /// How often a server that is full is told of: it says the same of every stream.
    busy: Throttle,
    /// How often streams are told of that are refused.
    refused: Throttle,
}

#[derive(Debug)]
struct StoppedStream {
    /// Times that it was refused in a row.
    failures: u32,
    again_at: Instant,
    /// The reason that was told.
    told: Option<String>,
}

impl Stopped {
    pub(super) fn new(times: Times) -> Self {
        Self {
            times,
            streams: HashMap::new(),
            busy: Throttle::new(),
            refused: Throttle::new(),
        }
    }

    /// A stream could not be made ready. What is new of it is told.
    pub(super) fn add(&mut self, channel: &Arc<str>, names: &StreamNames<'_>, fault: &Fault) {
        let now = Instant::now();
        let is_busy = matches!(fault.kind, FaultKind::Busy | FaultKind::Moved);
        let known = self.streams.remove(channel);
        let failures = known
            .as_ref()
            .map_or(0, |stream| stream.failures.saturating_add(1));
        let mut told = known.and_then(|stream| stream.told);
        let throttle = if is_busy {
            &mut self.busy
        } else {
            &mut self.refused
        };
        if told.as_ref() != Some(&fault.reason) && throttle.admit(now).is_some() {
            told = Some(fault.reason.clone());
            tracing::warn!(
                target: "fraiseql_subs",
                reason = fault.reason,
                key = names.counter(),
                redis_channel = &**channel,
                "a stream of the bus is not ready, and its events do not come: it is asked for again until it is; other streams go on"
            );
        }
        let pause = self.pause(fault.kind, failures);
        let stopped = StoppedStream {
            failures,
            again_at: now + pause.mul_f64(0.5 + fastrand::f64() / 2.0),
            told,
        };
        self.streams.insert(channel.clone(), stopped);
    }

    /// A stream is ready, or not wanted any more.
    pub(super) fn remove(&mut self, channel: &str) {
        self.streams.remove(channel);
    }

    /// Keeps the streams of these channels alone.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.streams.retain(|channel, _| is_kept(channel));
    }

    /// When a stream is asked for again, the first of them.
    pub(super) fn next(&self) -> Option<Instant> {
        self.streams.values().map(|stream| stream.again_at).min()
    }

    /// The streams that are to be asked for again now.
    pub(super) fn due(&self, now: Instant) -> Vec<Arc<str>> {
        let due = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.again_at <= now);
        due.map(|(channel, _)| channel.clone()).collect()
    }

    fn pause(&self, kind: FaultKind, failures: u32) -> Duration {
        let longest = self.times.backoff_limit;
        let doubled =
            |first: Duration| first.saturating_mul(2_u32.saturating_pow(failures.min(16)));
        match kind {
            FaultKind::Busy => longest,
            // A partition is moved within moments.
            FaultKind::Moved => doubled(self.times.backoff).min(longest),
            _ => doubled(longest).min(self.times.configuration_pause.max(longest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bus::StreamKey;

    use super::super::names::Names;
    use super::*;

    #[test]
    fn a_stream_that_stays_refused_is_asked_for_ever_more_rarely() {
        let times = Times::default();
        let mut stopped = Stopped::new(times);
        let names = Names::new("fs1", 1);
        let names = names.stream(&StreamKey::of_channel("orders"));
        let channel: Arc<str> = names.channel().into();
        let fault = Fault::of_text("WRONGTYPE Operation");
        assert_eq!(stopped.next(), None);
        for _ in 0..20 {
            stopped.add(&channel, &names, &fault);
        }
        let now = Instant::now();
        let pause = stopped.next().unwrap().saturating_duration_since(now);
        assert!(pause <= times.configuration_pause);
        assert!(pause + Duration::from_secs(5) > times.configuration_pause / 2);
        assert!(stopped.due(now).is_empty());
        assert_eq!(
            stopped.due(now + times.configuration_pause),
            std::slice::from_ref(&channel)
        );
        stopped.remove(&channel);
        assert_eq!(stopped.next(), None);
    }
}
