//! Whether this node may still publish what it has read.
//!
//! A process that was stopped for a while, or whose machine was, does not know it: PostgreSQL has ended
//! its link in that time, and another node reads. It must not publish what it had read before. So the time
//! between two signs of life of this process is measured by a clock that runs while it stands still, and
//! right before each batch is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bus::engine::{
    Arrivals, AttemptError, Capabilities, Control, Engine, EngineHealth, Health, Outgoing, Page,
    Pending, ReadError,
};
use bus::{Position, StreamKey};

/// The right to publish. It is over for good when it was not renewed in time.
pub(super) struct Lease {
    /// When it was renewed (ms).
    renewed_at: AtomicU64,
    limit: u64,
    is_over: AtomicBool,
}

impl Lease {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            renewed_at: AtomicU64::new(now()),
            limit: limit.as_millis() as u64,
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether it is not over.
    pub(super) fn holds(&self) -> bool {
        let is_late = now().saturating_sub(self.renewed_at.load(Relaxed)) > self.limit;
        if is_late {
            self.is_over.store(true, Relaxed);
        }
        !self.is_over.load(Relaxed)
    }

    /// Renews it. Returns false if it is over.
    pub(super) fn renew(&self) -> bool {
        let holds = self.holds();
        if holds {
            self.renewed_at.store(now(), Relaxed);
        }
        holds
    }
}

/// Milliseconds of a clock that also counts the time in which the process or the machine stands still.
#[cfg(target_os = "linux")]
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let milliseconds = time.tv_sec * 1000 + time.tv_nsec / 1_000_000;
    u64::try_from(milliseconds).unwrap_or_default()
}

/// Milliseconds of the monotonic clock, which stops with the machine only.
#[cfg(not(target_os = "linux"))]
fn now() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// An engine that publishes while a lease holds.
pub(super) struct Leased {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) lease: Arc<Lease>,
}

impl Engine for Leased {
    fn capabilities(&self) -> &Capabilities {
        self.engine.capabilities()
    }

    fn start(&self, arrivals: Arc<dyn Arrivals>) {
        self.engine.start(arrivals);
    }

    fn partition(&self, stream: &StreamKey) -> u32 {
        self.engine.partition(stream)
    }

    fn publish(&self, batch: Arc<[Outgoing]>) -> Pending<Vec<Result<Position, AttemptError>>> {
        if !self.lease.holds() {
            let over = AttemptError::NotSent("another node may publish these events".to_owned());
            return Box::pin(async move { vec![Err(over); batch.len()] });
        }
        self.engine.publish(batch)
    }

    fn want(&self, stream: &StreamKey) {
        self.engine.want(stream);
    }

    fn unwant(&self, stream: &StreamKey) {
        self.engine.unwant(stream);
    }

    fn read(
        &self,
        stream: &StreamKey,
        after: Position,
        limit: usize,
    ) -> Pending<Result<Page, ReadError>> {
        self.engine.read(stream, after, limit)
    }

    fn heads(&self, streams: Arc<[StreamKey]>) -> Pending<Vec<Result<Position, ReadError>>> {
        self.engine.heads(streams)
    }

    fn control(&self) -> &dyn Control {
        self.engine.control()
    }

    fn health(&self) -> EngineHealth {
        self.engine.health()
    }

    fn publisher_health(&self, partition: u32) -> Health {
        self.engine.publisher_health(partition)
    }

    fn close(&self, drain: Duration) -> Pending<()> {
        self.engine.close(drain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_was_not_renewed_in_time_is_over_for_good() {
        let lease = Lease::new(Duration::from_mins(1));
        assert!(lease.renew() && lease.holds());
        lease
            .renewed_at
            .store(now().saturating_sub(60_001), Relaxed);
        assert!(!lease.renew(), "renewing does not bring it back");
        assert!(!lease.holds());
        let other = Lease::new(Duration::from_mins(1));
        other
            .renewed_at
            .store(now().saturating_sub(60_001), Relaxed);
        assert!(!other.holds());
        other.renewed_at.store(now(), Relaxed);
        assert!(!other.holds(), "it is over since then");
    }
}
