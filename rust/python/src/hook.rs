//! The tasks of hooks, such as `authenticate`: held until they are done, as an event loop holds
//! them weakly.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::oneshot;

use crate::bridge::Bridge;

/// The tasks of the hooks of one started manager.
#[derive(Default)]
pub(crate) struct Hooks(Mutex<Tasks>);

#[derive(Default)]
struct Tasks {
    last: u64,
    running: HashMap<u64, Py<PyAny>>,
}

impl Hooks {
    /// Has the event loop run what a hook returned; called on its thread.
    pub(crate) fn run(
        self: &Arc<Self>,
        bridge: &Bridge,
        awaitable: &Bound<'_, PyAny>,
    ) -> PyResult<oneshot::Receiver<PyResult<Py<PyAny>>>> {
        let py = awaitable.py();
        let on_loop = PyDict::new(py);
        on_loop.set_item("loop", bridge.event_loop(py))?;
        let asyncio = py.import(intern!(py, "asyncio"))?;
        let ensure = intern!(py, "ensure_future");
        let task = asyncio.call_method(ensure, (awaitable,), Some(&on_loop))?;
        let (reply, answer) = oneshot::channel();
        let id = {
            let mut tasks = self.0.lock();
            tasks.last += 1;
            let id = tasks.last;
            tasks.running.insert(id, task.clone().unbind());
            id
        };
        let done = Done {
            id,
            hooks: self.clone(),
            reply: Mutex::new(Some(reply)),
        };
        let done = done.into_pyobject(py)?;
        task.call_method1(intern!(py, "add_done_callback"), (done,))?;
        Ok(answer)
    }

    /// Cancels all; called on the thread of the event loop.
    pub(crate) fn cancel_all(&self, py: Python<'_>) {
        let tasks = self
            .0
            .lock()
            .running
            .values()
            .map(|task| task.clone_ref(py))
            .collect::<Vec<_>>();
        for task in tasks {
            if let Err(error) = task.call_method0(py, intern!(py, "cancel")) {
                error.write_unraisable(py, Some(task.bind(py)));
            }
        }
    }

    /// Ends all that an event loop has left which is closed.
    pub(crate) fn abandon_all(&self, py: Python<'_>) {
        let tasks: Vec<_> = self.0.lock().running.drain().collect();
        for (_, task) in tasks {
            let abandoned = py
                .import("fraiseql_subs._resolving")
                .and_then(|module| module.call_method1("abandon", (task, "authenticate")));
            if let Err(error) = abandoned {
                error.write_unraisable(py, None);
            }
        }
    }
}

/// Called by a task that has ended.
#[pyclass(frozen)]
struct Done {
    id: u64,
    hooks: Arc<Hooks>,
    reply: Mutex<Option<oneshot::Sender<PyResult<Py<PyAny>>>>>,
}

#[pymethods]
impl Done {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        self.hooks.0.lock().running.remove(&self.id);
        let result = task.call_method0(intern!(task.py(), "result"));
        if let Some(reply) = self.reply.lock().take() {
            // Fails only when the client has left.
            reply.send(result.map(Bound::unbind)).ok();
        }
    }
}
