//! Whether the manager of a `Core` runs, and its end.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::future::{future, running_loop};
use crate::running::Running;

/// Whether the manager of a `Core` runs.
pub(crate) enum CoreState {
    /// It was not started, or has ended with its event loop.
    New,
    /// It runs.
    Running(Arc<Running>),
    /// It was closed.
    Closed,
}

/// The managers that may still run when the interpreter ends.
static STATES: Mutex<Vec<Weak<Mutex<CoreState>>>> = Mutex::new(Vec::new());

/// Stops a manager when the interpreter exits, if it runs then.
pub(crate) fn stop_at_exit(state: &Arc<Mutex<CoreState>>) {
    let mut states = STATES.lock();
    states.retain(|state| state.strong_count() > 0);
    states.push(Arc::downgrade(state));
}

/// Ends a started manager together with its event loop; the manager may be started again.
pub(crate) fn end(state: &Mutex<CoreState>, running: Arc<Running>, py: Python<'_>) {
    let mut state = state.lock();
    if !matches!(&*state, CoreState::Running(current) if Arc::ptr_eq(current, &running)) {
        return;
    }
    let ended = std::mem::replace(&mut *state, CoreState::New);
    drop(state);
    drop(ended);
    Running::stop(running, py);
}

/// Stops a manager for good.
pub(crate) fn stop(state: &Mutex<CoreState>, py: Python<'_>) {
    let previous = std::mem::replace(&mut *state.lock(), CoreState::Closed);
    if let CoreState::Running(running) = previous {
        Running::stop(running, py);
    }
}

/// Ends all managers that still run; called when the interpreter exits.
#[pyfunction]
pub(crate) fn stop_all(py: Python<'_>) {
    let states = std::mem::take(&mut *STATES.lock());
    for state in states.iter().filter_map(Weak::upgrade) {
        stop(&state, py);
    }
}

/// Waits until the managers of the running event loop have passed on what was begun; for tests.
///
/// Returns a future for each; its result is a number that changes with each event, call and result.
#[pyfunction]
pub(crate) fn settle(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let event_loop = running_loop(py)?;
    let states: Vec<_> = STATES.lock().iter().filter_map(Weak::upgrade).collect();
    let mut settling = Vec::new();
    for state in states {
        let running = match &*state.lock() {
            CoreState::Running(running) if !running.is_foreign() => running.clone(),
            CoreState::New | CoreState::Running(_) | CoreState::Closed => continue,
        };
        if !running.bridge.event_loop(py).is(&event_loop) {
            continue;
        }
        let working = running.clone();
        let work = async move { working.runtime.settle().await };
        let done = future(py, &running.bridge, &running.runtime, work, |py, count| {
            Ok(count.into_pyobject(py)?.into_any().unbind())
        })?;
        settling.push(done);
    }
    Ok(settling)
}
