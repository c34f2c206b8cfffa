//! What the link to an engine counts. Written by its tasks, read by `metrics()`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the link to an engine has counted so far.
#[derive(Debug, Default)]
pub struct LinkCounters {
    pub(super) doubles: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) unreadable: AtomicU64,
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
}

impl LinkCounters {
    pub(super) fn snapshot(&self, streams: u64) -> LinkSnapshot {
        LinkSnapshot {
            streams,
            doubles: self.doubles.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            missed: self.missed.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
            other_stream: self.other_stream.load(Relaxed),
            reads: self.reads.load(Relaxed),
            refused: self.refused.load(Relaxed),
            links_lost: self.links_lost.load(Relaxed),
        }
    }
}

/// Adds one to a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
