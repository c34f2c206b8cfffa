//! The event loops that may take records: those of all managers, as any of them may stand or be
//! blocked.

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

/// One event loop, which several managers may have.
struct State {
    event_loop: usize,
    /// Whether a hand-over is on its way or under way.
    has_turn: AtomicBool,
    /// Whether it has a timer for the counts.
    has_timer: AtomicBool,
}

impl Loops {
    /// Adds the event loop of a manager.
    pub(super) fn add(&self, bridge: &Arc<Bridge>) {
        let mut places = self.0.lock();
        places.retain(|place| place.bridge.strong_count() > 0);
        // A bridge keeps its event loop, so no two have one address.
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

    /// Those that no hand-over is on its way to, though there are records for one, or else counts
    /// that need a timer.
    pub(super) fn idle(&self, has_records: bool) -> Vec<Place> {
        let places = self.0.lock();
        let is_idle = |place: &&Place| {
            let state = &place.state;
            !state.has_turn.load(Acquire) && (has_records || !state.has_timer.load(Acquire))
        };
        places.iter().filter(is_idle).cloned().collect()
    }

    /// In a forked child.
    pub(super) fn forget(&self) {
        // A thread of the parent may have held it.
        if let Some(mut places) = self.0.try_lock() {
            places.clear();
        }
    }
}

impl Place {
    pub(super) fn bridge(&self) -> Option<Arc<Bridge>> {
        self.bridge.upgrade()
    }

    /// Begins a hand-over, unless another manager on this event loop has one.
    pub(super) fn begin(&self) -> Option<RecordTurn> {
        let is_free = !self.state.has_turn.swap(true, AcqRel);
        is_free.then(|| RecordTurn(self.clone()))
    }

    /// Whether a timer may be started: there is none.
    pub(super) fn takes_timer(&self) -> bool {
        !self.state.has_timer.swap(true, AcqRel)
    }

    pub(super) fn timer_ended(&self) {
        self.state.has_timer.store(false, Release);
    }
}

/// One hand-over; when it is dropped the next may begin. A bridge that is detached drops it undone.
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
