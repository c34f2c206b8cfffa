//! The counters of publishing.

/// The counters of publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishCounts {
    /// Events that the engine has confirmed, also after their publisher received an error (total).
    pub published: u64,
    /// Further attempts to publish an event (total).
    pub retried: u64,
    /// Events that failed and were certainly not published (total).
    pub failed_not_sent: u64,
    /// Events that failed but may have been published (total).
    pub failed_unknown: u64,
    /// Events that were not published because their publisher stopped waiting (total).
    pub cancelled: u64,
    /// Failed events whose publisher had received [`Published::Queued`](super::Published::Queued)
    /// (total).
    pub lost: u64,
    /// Events that are queued or in flight (count now).
    pub queue_events: usize,
    /// The size of their envelopes (bytes now).
    pub queue_bytes: usize,
    /// Events that wait for room in the queue (count now).
    pub waiting_events: usize,
    /// Events that were sent and have no answer yet (count now). They are part of `queue_events`.
    pub in_flight: usize,
}
