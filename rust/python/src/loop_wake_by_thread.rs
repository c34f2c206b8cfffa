//! Wakes an event loop from any thread, where loops watch no socket pairs: a thread of its own calls
//! `call_soon_threadsafe`, so that no thread of the actors waits for the GIL.
//!
//! A loop that was closed is noticed at the next wake-up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use parking_lot::Mutex;
use pyo3::prelude::*;

/// The way to wake one event loop.
pub(crate) struct LoopWake {
    /// Whether a wake-up was not taken yet.
    is_woken: AtomicBool,
    /// `None` before the loop watches, and after.
    thread: Mutex<Option<SyncSender<()>>>,
}

impl LoopWake {
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            is_woken: AtomicBool::new(false),
            thread: Mutex::new(None),
        })
    }

    /// Lets the loop call `turn` for each wake-up.
    pub(crate) fn watch<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        turn: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let (sender, wakes) = sync_channel(1);
        let (event_loop, turn) = (event_loop.clone().unbind(), turn.unbind());
        let run = move || {
            while wakes.recv().is_ok() {
                let called = Python::attach(|py| {
                    let arguments = (turn.clone_ref(py),);
                    let called = event_loop.call_method1(py, "call_soon_threadsafe", arguments);
                    called.is_ok()
                });
                if !called {
                    // The loop is closed. Dropping `turn` tells the bridge.
                    break;
                }
            }
            Python::attach(|_| drop((turn, event_loop)));
        };
        let named = std::thread::Builder::new().name("fraiseql-subs-wake".to_owned());
        named.spawn(run)?;
        *self.thread.lock() = Some(sender);
        Ok(())
    }

    /// Ends this.
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn unwatch(&self, _event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        *self.thread.lock() = None;
        Ok(())
    }

    /// Wakes the loop. There may be one wake-up that is not taken, so there is room for it.
    pub(crate) fn wake(&self) {
        self.is_woken.store(true, Ordering::Release);
        if let Some(thread) = &*self.thread.lock() {
            thread.try_send(()).ok();
        }
    }

    /// Takes a wake-up. Returns whether there was one.
    pub(crate) fn take(&self) -> bool {
        self.is_woken.swap(false, Ordering::AcqRel)
    }
}
