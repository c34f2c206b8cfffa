//! Bounds the memory that the operations of one connection keep for their requests.

use std::cell::Cell;
use std::rc::Rc;

/// The bytes that the operations of a connection keep.
pub(super) struct Retained {
    limit: usize,
    total: Rc<Cell<usize>>,
}

impl Retained {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            total: Rc::default(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Counts the bytes of one operation; `None` past the limit.
    pub(super) fn charge(&self, bytes: usize) -> Option<Charge> {
        let total = self.total.get().saturating_add(bytes);
        (total <= self.limit).then(|| {
            self.total.set(total);
            Charge {
                bytes,
                total: self.total.clone(),
            }
        })
    }
}

/// The counted bytes of one operation, released when this is dropped.
pub(super) struct Charge {
    bytes: usize,
    total: Rc<Cell<usize>>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.set(self.total.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_charges_free_their_bytes() {
        let retained = Retained::new(100);
        let first = retained.charge(60);
        assert!(first.is_some() && retained.charge(41).is_none());
        let second = retained.charge(40);
        drop(first);
        assert!(second.is_some() && retained.charge(61).is_none());
        assert!(retained.charge(60).is_some());
    }
}
