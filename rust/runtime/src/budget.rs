//! A limit of bytes that several holders share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The limit and the used bytes; safe to share between threads.
#[derive(Debug, Default)]
pub struct ByteBudget {
    kept: AtomicUsize,
    limit: usize,
}

/// A used part of a budget, which is released when this is dropped.
#[derive(Debug)]
pub struct KeptBytes {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    /// Creates an unused budget.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            kept: AtomicUsize::new(0),
            limit,
        })
    }

    /// Reserves a part of it; `None`: too much is used. A part larger than the whole budget is
    /// allowed if nothing else is used.
    #[must_use]
    pub fn keep(self: &Arc<Self>, bytes: usize) -> Option<KeptBytes> {
        let before = self.kept.fetch_add(bytes, Relaxed);
        // Created also if it does not fit, so that dropping it releases the bytes.
        let kept = KeptBytes {
            budget: self.clone(),
            bytes,
        };
        let fits = before == 0 || before.saturating_add(bytes) <= self.limit;
        fits.then_some(kept)
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.budget.kept.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_bytes_can_be_reserved_again() {
        let budget = ByteBudget::new(10);
        let first = budget.keep(6).unwrap();
        assert!(budget.keep(5).is_none());
        let second = budget.keep(4).unwrap();
        drop(first);
        assert!(budget.keep(6).is_some());
        drop(second);
        assert!(budget.keep(50).is_some(), "nothing else is kept");
    }
}
