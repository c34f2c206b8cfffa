//! What an engine can do.

use std::time::Duration;

/// What an engine can do. Constant for the life of a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// What follows from the offsets of two events.
    pub numbering: Numbering,
    /// Whether the engine itself keeps events; `None`: each node keeps what it has received.
    pub history: Option<HistoryKind>,
    /// For how long an event that is published again with the same id is the same event; `None`:
    /// it is another one.
    pub idempotency: Option<Duration>,
    /// The largest envelope (bytes).
    pub max_event_bytes: usize,
    /// Whether events only come from it: publishing is refused.
    pub is_read_only: bool,
}

/// What follows from the offsets of two events of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// The next event has the next offset.
    Dense,
    /// Each event names the offset of the one before it.
    Linked,
    /// Offsets order events, and show no gap.
    Sparse,
}

/// Where events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryKind {
    /// In the engine: every node reads the same.
    Shared,
}
