//! Counters of the link to an engine. Its tasks write them, `metrics()` reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::sequencer::SequencerCounters;
use crate::{DELAYS, Histogram, Throttle};

/// The counters of the link to an engine, since its start.
#[derive(Debug)]
pub(crate) struct LinkCounters {
    pub(super) duplicates: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) gap_events: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) unreadable: AtomicU64,
    /// Limits how often unreadable events are logged.
    pub(super) unreadable_log: Mutex<Throttle>,
    pub(super) other_stream: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) links_lost: AtomicU64,
    /// From the publishing of an event, on any node, to its arrival here.
    pub(super) delay: Histogram,
}

/// The counters at one moment. All but `streams` are totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkSnapshot {
    /// Streams whose events the engine delivers (count now).
    pub streams: u64,
    /// Events that arrived again, and were dropped.
    pub duplicates: u64,
    /// Gaps that were detected.
    pub gaps: u64,
    /// Events that were read from the engine's history to fill gaps.
    pub gap_events: u64,
    /// Gaps that history could not fill. Their subscribers received `missed`.
    pub missed: u64,
    /// Envelopes that this program could not read, and skipped.
    pub unreadable: u64,
    /// Events whose envelope names another tenant or channel than their stream. They were dropped.
    pub other_stream: u64,
    /// Reads of the engine's history.
    pub reads: u64,
    /// Events for which the intake had no room. They are read from history later.
    pub refused: u64,
    /// Links that were lost.
    pub links_lost: u64,
    /// Events of other programs that have no tenant although tenants are isolated.
    pub without_tenant: u64,
}

impl Default for LinkCounters {
    fn default() -> Self {
        Self {
            duplicates: AtomicU64::default(),
            gaps: AtomicU64::default(),
            gap_events: AtomicU64::default(),
            missed: AtomicU64::default(),
            unreadable: AtomicU64::default(),
            unreadable_log: Mutex::default(),
            other_stream: AtomicU64::default(),
            reads: AtomicU64::default(),
            refused: AtomicU64::default(),
            links_lost: AtomicU64::default(),
            delay: Histogram::new(DELAYS),
        }
    }
}

impl LinkCounters {
    /// Counts the delay of an event that was published at a time (ms since 1970); 0: unknown. The clocks of
    /// two machines differ: what would be negative is 0.
    pub(super) fn arrived(&self, published_at: u64) {
        if published_at == 0 {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let delay = now
            .unwrap_or_default()
            .saturating_sub(Duration::from_millis(published_at));
        self.delay.observe(delay);
    }

    /// Adds the counts of one sequencer.
    pub(super) fn add(&self, seen: &SequencerCounters) {
        let add = |counter: &AtomicU64, n: u64| {
            if n > 0 {
                counter.fetch_add(n, Relaxed);
            }
        };
        add(&self.duplicates, seen.duplicates + seen.stale);
        add(&self.gaps, seen.gaps);
        add(&self.missed, seen.missed);
        add(&self.gap_events, seen.gap_events);
        add(&self.reads, seen.reads);
    }

    pub(super) fn snapshot(&self, streams: u64) -> LinkSnapshot {
        LinkSnapshot {
            streams,
            duplicates: self.duplicates.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            gap_events: self.gap_events.load(Relaxed),
            missed: self.missed.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
            other_stream: self.other_stream.load(Relaxed),
            reads: self.reads.load(Relaxed),
            refused: self.refused.load(Relaxed),
            links_lost: self.links_lost.load(Relaxed),
            without_tenant: 0,
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
