//! The tasks of resolvers and hooks: held until they are done, as an event loop holds them weakly.
//!
//! Not here: what they run and who takes their results (`resolver`, `hook`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use runtime::CallId;

/// What a task runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TaskId {
    /// One call of a resolver.
    Call(CallId),
    /// One call of a resolver for many subscribers.
    Batch(u64),
    /// The `authenticate` hook for one client.
    Hook(u64),
}

impl TaskId {
    pub(crate) fn next_batch() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self::Batch(LAST.fetch_add(1, Relaxed))
    }

    pub(crate) fn next_hook() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self::Hook(LAST.fetch_add(1, Relaxed))
    }
}

/// The tasks of one started manager that have not ended.
pub(crate) struct Tasks {
    running: Mutex<HashMap<TaskId, HeldTask>>,
    /// `_resolving.abandon`.
    abandon: Py<PyAny>,
}

struct HeldTask {
    task: Py<PyAny>,
    /// Whose it is, for the log.
    owner: String,
}

impl Tasks {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("fraiseql_subs._resolving")?;
        Ok(Self {
            running: Mutex::default(),
            abandon: module.getattr("abandon")?.unbind(),
        })
    }

    /// Holds a task until it is released or cancelled.
    pub(crate) fn hold(&self, id: TaskId, task: &Bound<'_, PyAny>, owner: String) {
        let task = task.clone().unbind();
        self.running.lock().insert(id, HeldTask { task, owner });
    }

    /// Holds a task until it is done.
    pub(crate) fn hold_to_end(
        self: &Arc<Self>,
        id: TaskId,
        task: &Bound<'_, PyAny>,
        owner: String,
    ) -> PyResult<()> {
        self.release_at_end(id, task)?;
        self.hold(id, task, owner);
        Ok(())
    }

    /// Whether a task has not ended.
    pub(crate) fn is_held(&self, id: TaskId) -> bool {
        self.running.lock().contains_key(&id)
    }

    /// Forgets a task.
    pub(crate) fn release(&self, id: TaskId) {
        self.running.lock().remove(&id);
    }

    fn release_at_end(self: &Arc<Self>, id: TaskId, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let release = Release {
            id,
            tasks: self.clone(),
        };
        let release = release.into_pyobject(task.py())?;
        let add = intern!(task.py(), "add_done_callback");
        task.call_method1(add, (release,)).map(drop)
    }

    /// Cancels a task, if it has not ended; it is held while it cleans up. Called on the thread of
    /// the event loop.
    pub(crate) fn cancel(self: &Arc<Self>, py: Python<'_>, id: TaskId) {
        let running = self.running.lock();
        let task = running.get(&id).map(|held| held.task.clone_ref(py));
        drop(running);
        let Some(task) = task else { return };
        let task = task.bind(py);
        // A call may be cancelled before its first step, and then never answers.
        let cancelled = self
            .release_at_end(id, task)
            .and_then(|()| task.call_method0(intern!(py, "cancel")));
        if let Err(error) = cancelled {
            error.write_unraisable(py, Some(task));
        }
    }

    /// Cancels all; called on the thread of the event loop.
    pub(crate) fn cancel_all(self: &Arc<Self>, py: Python<'_>) {
        let ids: Vec<_> = self.running.lock().keys().copied().collect();
        for id in ids {
            self.cancel(py, id);
        }
    }

    /// Ends all tasks of an event loop that is closed.
    pub(crate) fn abandon_all(&self, py: Python<'_>) {
        let tasks: Vec<_> = self.running.lock().drain().collect();
        for (_, HeldTask { task, owner }) in tasks {
            if let Err(error) = self.abandon.call1(py, (task, owner)) {
                error.write_unraisable(py, None);
            }
        }
    }
}

/// A callback for a task that is done.
#[pyclass(frozen)]
struct Release {
    id: TaskId,
    tasks: Arc<Tasks>,
}

#[pymethods]
impl Release {
    fn __call__(&self, _task: &Bound<'_, PyAny>) {
        self.tasks.release(self.id);
    }
}
