//! What a connection asks of its transport. Not here: what it sends (`outbox`).

use super::Flow;

/// The connection's interface to its transport.
pub trait Transport {
    /// Aborts the transport at once, even with unwritten data.
    fn shut_down(&self);
    /// Whether it sends [`Outgoing::Ping`](super::outbox::Outgoing::Ping) as a ping of the transport.
    fn has_pings(&self) -> bool;
    /// Returns the observation of the client since the last call; called in each interval.
    fn flow(&self) -> Flow;
    /// Whether it has data that the client has not taken.
    fn is_behind(&self) -> bool;
}
