//! Whether the event loop runs: connections of its server are not judged while it does not.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use crate::bridge::Bridge;

/// Counts turns of one event loop, one for each request.
#[derive(Default)]
pub(crate) struct Pulse {
    turns: AtomicU64,
    /// Whether a turn was requested; there is at most one request.
    is_asked: AtomicBool,
}

impl Pulse {
    /// Returns the pulse for connections, which any thread may use.
    pub(crate) fn of(bridge: Arc<Bridge>) -> runtime::Pulse {
        let pulse = Arc::<Self>::default();
        Arc::new(move || {
            let turns = pulse.turns.load(Acquire);
            if !pulse.is_asked.swap(true, AcqRel) {
                let pulse = pulse.clone();
                bridge.push(Box::new(move |_| {
                    pulse.turns.fetch_add(1, AcqRel);
                    pulse.is_asked.store(false, Release);
                }));
            }
            turns
        })
    }
}
