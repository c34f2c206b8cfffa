//! The tasks of calls, kept until they are done, because an event loop has only weak references to
//! tasks.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use runtime::CallId;

/// The tasks of calls that have not ended.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<HashMap<CallId, Started>>);

/// The task of one call.
struct Started {
    task: Py<PyAny>,
    /// The subscription field, for the log.
    field: String,
}

impl Tasks {
    /// Keeps a task until its call has answered; if it `cleans_up` after that, until it is done.
    pub(crate) fn hold(
        self: &Arc<Self>,
        id: CallId,
        task: &Bound<'_, PyAny>,
        field: &str,
        cleans_up: bool,
    ) -> PyResult<()> {
        if cleans_up {
            self.release_at_end(id, task)?;
        }
        let started = Started {
            task: task.clone().unbind(),
            field: field.to_owned(),
        };
        self.0.lock().insert(id, started);
        Ok(())
    }

    /// Forgets a task.
    pub(crate) fn release(&self, id: CallId) {
        self.0.lock().remove(&id);
    }

    fn release_at_end(self: &Arc<Self>, id: CallId, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let release = Release {
            id,
            tasks: self.clone(),
        };
        let release = release.into_pyobject(task.py())?;
        let add = intern!(task.py(), "add_done_callback");
        task.call_method1(add, (release,)).map(drop)
    }

    /// Cancels a call; its task is kept while it cleans up.
    pub(crate) fn cancel(self: &Arc<Self>, py: Python<'_>, id: CallId) {
        let started = self.0.lock();
        let task = started.get(&id).map(|started| started.task.clone_ref(py));
        drop(started);
        let Some(task) = task else { return };
        let task = task.bind(py);
        // A task that is cancelled before its first step never answers.
        let cancelled = self
            .release_at_end(id, task)
            .and_then(|()| task.call_method0(intern!(py, "cancel")));
        if let Err(error) = cancelled {
            error.write_unraisable(py, Some(task));
        }
    }

    /// Cancels all calls.
    pub(crate) fn cancel_all(self: &Arc<Self>, py: Python<'_>) {
        let ids: Vec<_> = self.0.lock().keys().copied().collect();
        for id in ids {
            self.cancel(py, id);
        }
    }

    /// Ends all calls of a closed event loop, each with `abandon`.
    pub(crate) fn abandon_all(&self, py: Python<'_>, abandon: &Py<PyAny>) {
        let tasks: Vec<_> = self.0.lock().drain().collect();
        for (_, Started { task, field }) in tasks {
            let what = format!("the resolver of {field}");
            if let Err(error) = abandon.call1(py, (task, what)) {
                error.write_unraisable(py, None);
            }
        }
    }
}

/// A callback for a task that is done.
#[pyclass(frozen)]
struct Release {
    id: CallId,
    tasks: Arc<Tasks>,
}

#[pymethods]
impl Release {
    fn __call__(&self, _task: &Bound<'_, PyAny>) {
        self.tasks.release(self.id);
    }
}
