//! Places of clients, counted for `Limits.max_connections`, and those of programs that publish, for which a
//! drain waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// All places of a manager.
#[derive(Debug)]
pub(crate) struct Places {
    limit: usize,
    taken: AtomicUsize,
    /// Those of programs that publish.
    publishers: AtomicUsize,
}

/// One place: a WebSocket, a reserved event stream, or a request from its head until its response
/// is written. Released when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Place(#[expect(dead_code, reason = "held for its end")] Arc<Held>);

#[derive(Debug)]
struct Held {
    places: Arc<Places>,
    is_publisher: bool,
}

impl Places {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            limit: limit.unwrap_or(usize::MAX),
            taken: AtomicUsize::new(0),
            publishers: AtomicUsize::new(0),
        }
    }

    /// Whether there is a free place.
    pub(crate) fn has_room(&self) -> bool {
        self.taken.load(Relaxed) < self.limit
    }

    /// Takes a place; `None` if there is none.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        self.take_as(false)
    }

    /// Takes a place of a request to publish.
    pub(crate) fn take_for_publisher(self: &Arc<Self>) -> Option<Place> {
        self.take_as(true)
    }

    /// Requests to publish whose responses are not written (count).
    pub(crate) fn publishers(&self) -> usize {
        self.publishers.load(Relaxed)
    }

    fn take_as(self: &Arc<Self>, is_publisher: bool) -> Option<Place> {
        let one_more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        if is_publisher {
            self.publishers.fetch_add(1, Relaxed);
        }
        Some(Place(Arc::new(Held {
            places: self.clone(),
            is_publisher,
        })))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Relaxed);
        if self.is_publisher {
            self.places.publishers.fetch_sub(1, Relaxed);
        }
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

    #[test]
    fn publishers_are_counted_among_all() {
        let places = Arc::new(Places::new(Some(2)));
        let (client, publisher) = (places.take().unwrap(), places.take_for_publisher().unwrap());
        assert!(places.take_for_publisher().is_none());
        assert_eq!(places.publishers(), 1);
        drop(client);
        assert_eq!(places.publishers(), 1);
        drop(publisher);
        assert_eq!(places.publishers(), 0);
    }
}
