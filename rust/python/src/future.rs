//! asyncio futures that Rust completes, and an awaitable that is already complete.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use parking_lot::Mutex;
use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use runtime::{Callback, Runtime};
use tokio::sync::oneshot;

use crate::bridge::Bridge;
use crate::error::manager_closed;
use crate::exit::is_exit;
use crate::unread::{Outcome, Reader};

/// Runs `work` on the system's thread. Returns an asyncio future of the caller's loop, whose result
/// is what `finish` returns for the output, called on the bridge's thread.
pub(crate) fn future<'py, T: Send + 'static>(
    py: Python<'py>,
    bridge: &Arc<Bridge>,
    runtime: &Runtime,
    work: impl Future<Output = T> + Send + 'static,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let promise = Promise::new(py)?;
    let future = promise.future(py);
    let work = async move { Some(work.await) };
    complete(py, bridge, runtime, promise, work, finish);
    Ok(future)
}

/// Like [`future`], but cancelling the future drops the work.
pub(crate) fn cancellable<'py, T: Send + 'static>(
    py: Python<'py>,
    bridge: &Arc<Bridge>,
    runtime: &Runtime,
    work: impl Future<Output = T> + Send + 'static,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let promise = Promise::new(py)?;
    let future = promise.future(py);
    let (until_done, done) = oneshot::channel::<()>();
    let callback = CancelWhenDone(Mutex::new(Some(until_done)));
    future.call_method1(intern!(py, "add_done_callback"), (callback,))?;
    let work = async move {
        match select(pin!(work), done).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    };
    complete(py, bridge, runtime, promise, work, finish);
    Ok(future)
}

/// Completes a promise with the output of `work`; without output the promise is dropped.
fn complete<T: Send + 'static>(
    py: Python<'_>,
    bridge: &Arc<Bridge>,
    runtime: &Runtime,
    promise: Promise,
    work: impl Future<Output = Option<T>> + Send + 'static,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) {
    let kept = bridge.keep(py, promise, AtEnd::Closed);
    runtime.spawn(async move {
        if let Some(output) = work.await {
            kept.complete(move |py| finish(py, output));
        }
    });
}

/// A callback that a future keeps until it is done.
#[pyclass(frozen)]
struct CancelWhenDone(Mutex<Option<oneshot::Sender<()>>>);

#[pymethods]
impl CancelWhenDone {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.0.lock().take();
    }
}

/// The result of a promise whose bridge is detached before it is completed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// `None`: the awaiting code calls again, and finds the end.
    Look,
    /// `ManagerClosed`.
    Closed,
}

/// A promise that a bridge keeps until it is completed.
pub(crate) struct Kept {
    bridge: Arc<Bridge>,
    id: u64,
    at_end: AtEnd,
    is_completed: bool,
}

impl Kept {
    pub(crate) fn new(bridge: Arc<Bridge>, id: u64, at_end: AtEnd) -> Self {
        Self {
            bridge,
            id,
            at_end,
            is_completed: false,
        }
    }

    /// Completes the future, from any thread.
    pub(crate) fn complete(
        mut self,
        result: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) {
        self.is_completed = true;
        let (bridge, id) = (self.bridge.clone(), self.id);
        self.bridge.push(Box::new(move |py| {
            if let Some(promise) = bridge.release(id) {
                let result = result(py);
                promise.complete(py, result, &bridge);
            }
        }));
    }

    /// Returns a callback that completes the future with `None`. If it is dropped without a call,
    /// the future stays pending.
    pub(crate) fn into_callback(self) -> Callback {
        Box::new(move || self.complete(|py| Ok(py.None())))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_completed {
            return;
        }
        match self.at_end {
            // Another future has taken its place, or its task is cancelled.
            AtEnd::Look => drop(self.bridge.release(self.id)),
            AtEnd::Closed => {
                let (bridge, id) = (self.bridge.clone(), self.id);
                self.bridge.push(Box::new(move |py| {
                    if let Some(promise) = bridge.release(id) {
                        promise.complete(py, Err(manager_closed()), &bridge);
                    }
                }));
            }
        }
    }
}

/// The completing side of an asyncio future.
pub(crate) struct Promise {
    event_loop: Py<PyAny>,
    future: Py<PyAny>,
}

impl Promise {
    /// Creates a future of the running loop.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let event_loop = running_loop(py)?;
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        Ok(Self {
            event_loop: event_loop.unbind(),
            future: future.unbind(),
        })
    }

    /// Returns the future to await.
    pub(crate) fn future<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.future.clone_ref(py).into_bound(py)
    }

    /// Completes a future that would otherwise stay pending forever.
    pub(crate) fn end(self, py: Python<'_>, at_end: AtEnd, is_loop_closed: bool, bridge: &Bridge) {
        let is_closed = |event_loop: &Py<PyAny>| -> PyResult<bool> {
            event_loop
                .call_method0(py, intern!(py, "is_closed"))?
                .is_truthy(py)
        };
        if is_loop_closed && is_closed(&self.event_loop).unwrap_or(true) {
            return;
        }
        let result = match at_end {
            AtEnd::Look => Ok(py.None()),
            AtEnd::Closed => Err(manager_closed()),
        };
        self.complete(py, result, bridge);
    }

    /// Completes the future, also if its loop runs on another thread.
    pub(crate) fn complete(self, py: Python<'_>, result: PyResult<Py<PyAny>>, bridge: &Bridge) {
        let (method, value) = match result {
            Ok(value) => ("set_result", value),
            Err(error) => ("set_exception", error.into_value(py).into_any()),
        };
        let completion = Completion {
            future: self.future,
            method,
            value,
        };
        let event_loop = self.event_loop.bind(py);
        let done = completion.into_pyobject(py).and_then(|completion| {
            let here = running_loop(py).is_ok_and(|running| running.is(event_loop));
            if here {
                completion.get().__call__(py)
            } else {
                event_loop
                    .call_method1("call_soon_threadsafe", (completion,))
                    .map(drop)
            }
        });
        match done {
            // A signal handler may have raised inside the call.
            Err(error) if is_exit(py, &error) => bridge.interrupt(error),
            Err(error) => {
                tracing::debug!(name: "loop.ended", target: "fraiseql_subs", %error, "an event loop ended before its future");
            }
            Ok(()) => {}
        }
    }
}

/// Completes a future on the thread of its loop.
#[pyclass(frozen)]
struct Completion {
    future: Py<PyAny>,
    method: &'static str,
    value: Py<PyAny>,
}

#[pymethods]
impl Completion {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        // Its task may have been cancelled.
        if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
            future.call_method1(self.method, (&self.value,))?;
            if self.method == "set_exception" {
                // Retrieves the exception, so that asyncio does not log it if the caller is gone.
                future.call_method0(intern!(py, "exception"))?;
            }
        }
        Ok(())
    }
}

/// Returns the event loop that runs on this thread.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let get = GET.get_or_try_init(py, || {
        let function = py.import("asyncio")?.getattr("get_running_loop")?;
        Ok::<_, PyErr>(function.unbind())
    })?;
    get.bind(py).call0()
}

/// The awaitable that `publish` returns: usually already complete, otherwise waiting for a future.
///
/// It has the methods of a coroutine, so that `asyncio.create_task` accepts it too.
#[pyclass(name = "Publication", module = "fraiseql_subs._core", frozen)]
pub(crate) struct Publication {
    progress: Mutex<Progress>,
    /// The future that it waits for; `None`: it is complete.
    future: Option<Py<PyAny>>,
    /// Where a failure is told of when nothing awaits it.
    reader: Option<Reader>,
}

enum Progress {
    Done(Py<PyAny>),
    Waiting(Py<PyAny>),
}

impl Publication {
    /// Creates a complete one.
    pub(crate) fn done(result: Py<PyAny>) -> Self {
        Self {
            progress: Mutex::new(Progress::Done(result)),
            future: None,
            reader: None,
        }
    }

    /// Creates one that waits for a future with this outcome.
    pub(crate) fn waiting(future: &Bound<'_, PyAny>, outcome: &Arc<Outcome>) -> PyResult<Self> {
        let steps = future.call_method0("__await__")?.unbind();
        Ok(Self {
            progress: Mutex::new(Progress::Waiting(steps)),
            future: Some(future.clone().unbind()),
            reader: Some(Reader::new(outcome)),
        })
    }

    /// Returns the future that it waits for; `None`: it is complete.
    pub(crate) fn future(&self) -> Option<&Py<PyAny>> {
        self.future.as_ref()
    }

    /// Returns its result; `None`: it is not complete.
    pub(crate) fn result(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &*self.progress.lock() {
            Progress::Done(result) => Some(result.clone_ref(py)),
            Progress::Waiting(_) => None,
        }
    }

    fn step(&self, py: Python<'_>) -> Progress {
        if let Some(reader) = &self.reader {
            reader.read();
        }
        match &*self.progress.lock() {
            Progress::Done(result) => Progress::Done(result.clone_ref(py)),
            Progress::Waiting(steps) => Progress::Waiting(steps.clone_ref(py)),
        }
    }
}

#[pymethods]
impl Publication {
    /// Supports annotations such as `Publication[Receipt]`.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((cls, item))
    }

    fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.step(py) {
            Progress::Done(result) => Err(PyStopIteration::new_err((result,))),
            Progress::Waiting(steps) => steps.call_method0(py, intern!(py, "__next__")),
        }
    }

    fn send(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        match self.step(py) {
            Progress::Done(_) => self.__next__(py),
            Progress::Waiting(steps) => steps.call_method1(py, intern!(py, "send"), (value,)),
        }
    }

    fn throw(&self, py: Python<'_>, exception: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self.step(py) {
            Progress::Done(_) => Err(PyErr::from_value(exception)),
            Progress::Waiting(steps) => steps.call_method1(py, intern!(py, "throw"), (exception,)),
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.step(py) {
            Progress::Done(_) => Ok(()),
            Progress::Waiting(steps) => steps.call_method0(py, intern!(py, "close")).map(drop),
        }
    }
}
