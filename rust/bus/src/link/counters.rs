//! What the link to an engine counts. Written by its tasks, read by `metrics()`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::Throttle;
use crate::sequencer::SequencerCounters;

/// What the link to an engine has counted so far.
#[derive(Debug, Default)]
pub(crate) struct LinkCounters {
    pub(super) doubles: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) gap_events: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) unreadable: AtomicU64,
    /// How often unreadable events are told.
    pub(super) unreadable_told: Mutex<Throttle>,
    pub(super) other_stream: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) links_lost: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkSnapshot {
    /// Streams whose events the engine delivers.
    pub streams: u64,
    /// Events that came again, and were dropped.
    pub doubles: u64,
    /// Gaps that were noticed.
    pub gaps: u64,
    /// Events that were read from the engine's history to fill gaps.
    pub gap_events: u64,
    /// Gaps that history could not fill: subscribers were told `missed`.
    pub missed: u64,
    /// Envelopes that this program cannot read, and skipped.
    pub unreadable: u64,
    /// Events that name another tenant or channel than the stream on which they came, and were dropped.
    pub other_stream: u64,
    /// Reads of the engine's history.
    pub reads: u64,
    /// Events that came faster than they were broadcast, and were read again.
    pub refused: u64,
    /// How often a link was lost.
    pub links_lost: u64,
    /// Events of other programs without a tenant, where tenants are isolated.
    pub without_tenant: u64,
}

impl LinkCounters {
    /// Adds what a sequencer has seen.
    pub(super) fn add(&self, seen: &SequencerCounters) {
        let add = |counter: &AtomicU64, n: u64| {
            if n > 0 {
                counter.fetch_add(n, Relaxed);
            }
        };
        add(&self.doubles, seen.doubles + seen.stale);
        add(&self.gaps, seen.gaps);
        add(&self.missed, seen.missed);
        add(&self.gap_events, seen.gap_events);
        add(&self.reads, seen.reads);
    }

    pub(super) fn snapshot(&self, streams: u64) -> LinkSnapshot {
        LinkSnapshot {
            streams,
            doubles: self.doubles.load(Relaxed),
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

/// Adds one to a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
