//! Counters of the link to an engine. Its tasks write them, `metrics()` reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::Throttle;
use crate::sequencer::SequencerCounters;

/// The counters of the link to an engine, since its start.
#[derive(Debug, Default)]
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

impl LinkCounters {
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
