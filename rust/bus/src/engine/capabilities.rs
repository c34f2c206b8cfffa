//! The capabilities of an engine.

use std::time::Duration;

/// The capabilities of an engine. Constant for the life of a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// How the engine numbers the events of a stream.
    pub numbering: Numbering,
    /// Where the engine keeps events; `None`: it keeps none, and each node keeps the events that it has
    /// received.
    pub history: Option<HistoryKind>,
    /// How long the engine recognizes an event that is published again with the same id; `None`: it
    /// does not.
    pub idempotency: Option<Duration>,
    /// The largest envelope (bytes).
    pub max_event_bytes: usize,
    /// Whether events belong to transactions of a database, whose state a [`Snapshot`](crate::Snapshot)
    /// describes; `None`: they do not.
    pub transactions: Option<Transactions>,
    /// Whether the engine only delivers events and refuses to publish.
    pub is_read_only: bool,
}

/// How an engine numbers the events of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Each event has the offset after that of the previous event.
    Dense,
    /// Each event has its offset, and that of the previous event.
    Linked,
    /// Offsets order events, but do not show whether one is missing.
    Sparse,
}

/// How the transaction of an event is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transactions {
    /// An [`Arrival`](super::Arrival) names it.
    Named,
    /// [`Offset::major`](crate::Offset::major) is its id.
    InOffset,
}

/// Where events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryKind {
    /// In the engine: every node reads the same history.
    Shared,
    /// In each process: the events that it has received, of all streams. Gaps are not read from it.
    PerNode,
}
