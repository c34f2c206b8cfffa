//! Where the links of an engine are found.
//!
//! Each role has a connection of its own: a page of history must not stand before live events.

use std::sync::Arc;

use parking_lot::Mutex;

use super::link::Link;

/// Where the link of a role is found while there is one.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Arc<Link>>>);

impl Slot {
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        self.0.lock().clone()
    }

    /// Puts a link there for as long as what is returned is kept.
    pub(super) fn put(&self, link: &Arc<Link>) -> Placed<'_> {
        *self.0.lock() = Some(link.clone());
        Placed(self)
    }
}

/// A link in its slot. Takes it out when it is dropped, also where the task is aborted.
pub(super) struct Placed<'a>(&'a Slot);

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        self.0.0.lock().take();
    }
}
