//! Places of clients, counted for `Limits.max_connections`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// All places of a manager.
#[derive(Debug)]
pub(crate) struct Places {
    limit: usize,
    taken: AtomicUsize,
}

/// One place: a WebSocket, a reserved event stream, or a request from its head until its response
/// is written. Released when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Place(#[expect(dead_code, reason = "held for its end")] Arc<Held>);

#[derive(Debug)]
struct Held(Arc<Places>);

impl Places {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            limit: limit.unwrap_or(usize::MAX),
            taken: AtomicUsize::new(0),
        }
    }

    /// Whether there is a free place.
    pub(crate) fn has_room(&self) -> bool {
        self.taken.load(Relaxed) < self.limit
    }

    /// Takes a place; `None` if there is none.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let one_more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Place(Arc::new(Held(self.clone()))))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_last_clone_is_gone() {
        let places = Arc::new(Places::new(Some(1)));
        let place = places.take().unwrap();
        let clone = place.clone();
        drop(place);
        assert!(places.take().is_none());
        drop(clone);
        assert!(places.take().is_some());
    }
}
