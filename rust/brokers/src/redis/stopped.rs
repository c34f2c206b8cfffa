//! Streams that the server refuses or has no room for, and when to try each again.
//!
//! A stream with a fault waits here, and does not delay the others. Not here: which streams are wanted
//! (`wants`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::Throttle;

use super::config::Times;
use super::fault::{Fault, FaultKind};
use super::names::StreamNames;

/// Streams that are not ready because of their own faults.
#[derive(Debug)]
pub(super) struct Stopped {
    times: Times,
    /// By channel; never more than are wanted.
    streams: HashMap<Arc<str>, StoppedStream>,
    /// Limits how often a full server is logged: its answer is the same for every stream.
    busy: Throttle,
    /// Limits how often refused streams are logged.
    refused: Throttle,
}

#[derive(Debug)]
struct StoppedStream {
    /// How many times in a row it failed, after the first.
    failures: u32,
    again_at: Instant,
    /// The reason that was logged.
    logged: Option<String>,
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

    /// Adds a stream that could not be made ready. Logs a reason that is new.
    pub(super) fn add(&mut self, channel: &Arc<str>, names: &StreamNames<'_>, fault: &Fault) {
        let now = Instant::now();
        let is_busy = matches!(fault.kind, FaultKind::Busy | FaultKind::Moved);
        let known = self.streams.remove(channel);
        let failures = known
            .as_ref()
            .map_or(0, |stream| stream.failures.saturating_add(1));
        let mut logged = known.and_then(|stream| stream.logged);
        let throttle = if is_busy {
            &mut self.busy
        } else {
            &mut self.refused
        };
        if logged.as_ref() != Some(&fault.reason) && throttle.admit(now).is_some() {
            logged = Some(fault.reason.clone());
            tracing::warn!(
                name: "stream.refused",
                target: "fraiseql_subs",
                reason = fault.reason,
                key = names.counter(),
                redis_channel = &**channel,
                "a stream of the bus is not ready, and its events are not delivered: it is tried again until it is ready; other streams are not affected"
            );
        }
        let pause = self.pause(fault.kind, failures);
        let stopped = StoppedStream {
            failures,
            again_at: now + pause.mul_f64(0.5 + fastrand::f64() / 2.0),
            logged,
        };
        self.streams.insert(channel.clone(), stopped);
    }

    /// Removes a stream that is ready, or no longer wanted.
    pub(super) fn remove(&mut self, channel: &str) {
        self.streams.remove(channel);
    }

    /// Removes all other streams than those of these channels.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.streams.retain(|channel, _| is_kept(channel));
    }

    /// When the next stream is to be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.streams.values().map(|stream| stream.again_at).min()
    }

    /// The streams that are to be tried again now.
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
            // Moving a partition takes moments.
            FaultKind::Moved => doubled(self.times.backoff).min(longest),
            _ => doubled(longest).min(self.times.configuration_pause.max(longest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bus::StreamKey;

    use super::super::names::Names;
    use super::super::said::Secrets;
    use super::*;

    #[test]
    fn a_stream_that_stays_refused_is_tried_at_growing_intervals() {
        let times = Times::default();
        let mut stopped = Stopped::new(times);
        let names = Names::new("fs1", 1);
        let names = names.stream(&StreamKey::of_channel("orders"));
        let channel: Arc<str> = names.channel().into();
        let fault = Fault::of_text("WRONGTYPE Operation", &Secrets::default());
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
