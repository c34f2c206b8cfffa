//! The counters of publishing, for metrics.

/// The counters of publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishCounts {
    /// Events that the engine has confirmed, also after their publisher was told otherwise (total).
    pub published: u64,
    /// Events that were tried once more (total).
    pub retried: u64,
    /// Events that were not published, and whose publisher was told so (total).
    pub failed_not_sent: u64,
    /// Events that may have been published, and whose publisher was told so (total).
    pub failed_unknown: u64,
    /// Events that were not published because their publisher stopped waiting (total).
    pub cancelled: u64,
    /// Of the failed: events whose publisher had been told that they are queued (total).
    pub lost: u64,
    /// Events that are queued or under way (count now).
    pub queue_events: usize,
    /// Their envelopes (bytes now).
    pub queue_bytes: usize,
    /// Events whose publisher waits for room in the queue (count now).
    pub waiting_events: usize,
    /// Of the queued: events that were sent and have no answer yet (count now).
    pub in_flight: usize,
}
