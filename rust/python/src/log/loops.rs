//! The event loops that may write records: those of all managers, because any of them may be
//! stopped or blocked.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Acquire, Release},
};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::bridge::Bridge;

pub(super) static LOOPS: Loops = Loops(Mutex::new(Vec::new()));

pub(super) struct Loops(Mutex<Vec<Place>>);

/// The event loop of one manager. Cheap to clone.
#[derive(Clone)]
pub(super) struct Place {
    bridge: Weak<Bridge>,
    state: Arc<State>,
}

/// One event loop, which several managers may share.
struct State {
    event_loop: usize,
    /// Whether writing is scheduled or running.
    has_turn: AtomicBool,
    /// Whether it has a timer for the counts.
    has_timer: AtomicBool,
}

impl Loops {
    /// Adds the event loop of a manager.
    pub(super) fn add(&self, bridge: &Arc<Bridge>) {
        let mut places = self.0.lock();
        places.retain(|place| place.bridge.strong_count() > 0);
        // A bridge keeps its event loop alive, so no two loops have the same address.
        let event_loop = bridge.event_loop_address();
        let known = places
            .iter()
            .find(|place| place.state.event_loop == event_loop);
        let new = || {
            Arc::new(State {
                event_loop,
                has_turn: AtomicBool::new(false),
                has_timer: AtomicBool::new(false),
            })
        };
        let state = known.map_or_else(new, |place| place.state.clone());
        let bridge = Arc::downgrade(bridge);
        places.push(Place { bridge, state });
    }

    /// Returns the loops without scheduled writing if there are records, otherwise those that need
    /// a timer for counts.
    pub(super) fn idle(&self, has_records: bool) -> Vec<Place> {
        let places = self.0.lock();
        let is_idle = |place: &&Place| {
            let state = &place.state;
            !state.has_turn.load(Acquire) && (has_records || !state.has_timer.load(Acquire))
        };
        places.iter().filter(is_idle).cloned().collect()
    }

    /// Whether no manager has a loop that writes.
    pub(super) fn is_empty(&self) -> bool {
        let places = self.0.lock();
        places.iter().all(|place| place.bridge.strong_count() == 0)
    }

    /// Removes all loops, in a forked child.
    pub(super) fn forget(&self) {
        // A thread of the parent may have locked it.
        if let Some(mut places) = self.0.try_lock() {
            places.clear();
        }
    }
}

impl Place {
    pub(super) fn bridge(&self) -> Option<Arc<Bridge>> {
        self.bridge.upgrade()
    }

    /// Begins writing, unless another manager on this event loop is writing.
    pub(super) fn begin(&self) -> Option<RecordTurn> {
        let is_free = !self.state.has_turn.swap(true, AcqRel);
        is_free.then(|| RecordTurn(self.clone()))
    }

    /// Whether a timer has to be started: there is none.
    pub(super) fn takes_timer(&self) -> bool {
        !self.state.has_timer.swap(true, AcqRel)
    }

    pub(super) fn timer_ended(&self) {
        self.state.has_timer.store(false, Release);
    }
}

/// A guard for writing; when it is dropped the next one may begin. A detached bridge drops it
/// unused.
pub(super) struct RecordTurn(Place);

impl RecordTurn {
    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl Drop for RecordTurn {
    fn drop(&mut self) {
        self.0.state.has_turn.store(false, Release);
    }
}
