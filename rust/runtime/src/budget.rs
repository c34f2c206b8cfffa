//! Bytes that several holders may keep together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How much may be kept, and how much is; safe to share between threads.
#[derive(Debug, Default)]
pub struct ByteBudget {
    kept: AtomicUsize,
    limit: usize,
}

/// A part of a budget that is in use; dropped, it is free again.
#[derive(Debug)]
pub struct KeptBytes {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    /// A budget of which nothing is used.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            kept: AtomicUsize::new(0),
            limit,
        })
    }

    /// Takes a part of it; `None`: too much is kept already. What is larger than the whole budget
    /// passes when nothing else is kept.
    #[must_use]
    pub fn keep(self: &Arc<Self>, bytes: usize) -> Option<KeptBytes> {
        let before = self.kept.fetch_add(bytes, Relaxed);
        // Made also where it does not fit, so that it is given back.
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
    fn what_is_dropped_is_free_again() {
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
