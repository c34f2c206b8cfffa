//! Subscriptions with `batch=True`: calls that start together are one call of the resolver.
//!
//! A call that starts waits for the flush, which comes after all jobs that are queued on the bridge
//! when the first call starts. The flush makes one call of the resolver for all of them. Not here:
//! when a call starts (`runtime`), and what its client receives (`outcome`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use bus::Event;
use graphql::ResolverError;
use parking_lot::Mutex;
use pyo3::exceptions::{PyBaseException, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use runtime::{BatchedWakes, CallId, Lane, Outcome};

use super::outcome::{failed, field_of};
use super::{Calls, bindings};
use crate::call::PyCall;
use crate::event::PyEvent;
use crate::exit::is_exit;
use crate::failure::{INTERNAL_ERROR, exception_of};
use crate::snapshot::not_initial;
use crate::spans::{CallSpan, inside};
use crate::tasks::TaskId;

/// Calls in one batch (count). Further calls are in further batches, which run at the same time.
const MAX_CALLS: usize = 1000;

/// Actors that are woken together (count), so that they write while later results are made.
const WAKE_BATCH: usize = 64;

/// The batches of one manager. All is used on the event loop's thread alone.
pub(super) struct Batches {
    /// Calls that have started and wait for the flush, by definition.
    waiting: Box<[Mutex<Vec<WaitingCall>>]>,
    running: Mutex<Vec<Weak<Batch>>>,
}

struct WaitingCall {
    id: CallId,
    lane: Arc<Lane>,
    event: Arc<Event>,
}

/// Calls that one call of a resolver answers.
struct Batch {
    task: TaskId,
    /// In the order of their ids.
    calls: Vec<(CallId, Arc<Lane>)>,
    /// Calls whose results are not needed any more (count).
    left: AtomicUsize,
}

impl Batch {
    fn is_deserted(&self) -> bool {
        self.left.load(Relaxed) == self.calls.len()
    }
}

impl Batches {
    pub(super) fn new(definitions: usize) -> Self {
        Self {
            waiting: (0..definitions).map(|_| Mutex::default()).collect(),
            running: Mutex::default(),
        }
    }

    fn take(&self, definition: usize) -> Vec<WaitingCall> {
        std::mem::take(&mut *self.waiting[definition].lock())
    }

    fn forget(&self, batch: &Arc<Batch>) {
        let is_other = |known: &Weak<Batch>| known.strong_count() > 0 && !is(known, batch);
        self.running.lock().retain(is_other);
    }

    /// Finds the running batch of a call.
    fn batch_of(&self, id: CallId) -> Option<Arc<Batch>> {
        let running = self.running.lock();
        let has = |batch: &Arc<Batch>| batch.calls.binary_search_by_key(&id, |call| call.0).is_ok();
        running.iter().rev().filter_map(Weak::upgrade).find(has)
    }
}

fn is(known: &Weak<Batch>, batch: &Arc<Batch>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(batch))
}

/// The job that ends the wait of the calls of one definition. Their subscriptions would keep each
/// other if it were dropped without it.
struct Flush {
    calls: Arc<Calls>,
    definition: usize,
    has_run: bool,
}

impl Flush {
    fn run(mut self, py: Python<'_>) {
        self.has_run = true;
        let waiting = self.calls.batches.take(self.definition);
        self.calls.start_batch(py, waiting);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if !self.has_run {
            drop(self.calls.batches.take(self.definition));
        }
    }
}

impl Calls {
    /// Adds a call to the next batch of its definition.
    pub(super) fn add_to_batch(
        self: &Arc<Self>,
        py: Python<'_>,
        lane: &Arc<Lane>,
        id: CallId,
        event: Arc<Event>,
    ) {
        let definition = lane.info.definition.index;
        let mut waiting = self.batches.waiting[definition].lock();
        let is_first = waiting.is_empty();
        waiting.push(WaitingCall {
            id,
            lane: lane.clone(),
            event,
        });
        drop(waiting);
        if is_first {
            let flush = Flush {
                calls: self.clone(),
                definition,
                has_run: false,
            };
            self.bridge.push_here(py, Box::new(move |py| flush.run(py)));
        }
    }

    /// Takes a call whose result is not needed out of its batch, which is cancelled when no other
    /// is left.
    pub(super) fn leave_batch(&self, py: Python<'_>, lane: &Lane, id: CallId) {
        let mut waiting = self.batches.waiting[lane.info.definition.index].lock();
        if let Ok(at) = waiting.binary_search_by_key(&id, |call| call.id) {
            let call = waiting.remove(at);
            drop(waiting);
            return drop(call);
        }
        drop(waiting);
        if let Some(batch) = self.batches.batch_of(id) {
            batch.left.fetch_add(1, Relaxed);
            if batch.is_deserted() {
                self.tasks.cancel(py, batch.task);
            }
        }
    }

    /// Calls the resolver for the first calls, and schedules the same for the rest.
    fn start_batch(self: &Arc<Self>, py: Python<'_>, mut waiting: Vec<WaitingCall>) {
        if waiting.len() > MAX_CALLS {
            let (calls, rest) = (self.clone(), waiting.split_off(MAX_CALLS));
            let start = move |py: Python<'_>| calls.start_batch(py, rest);
            self.bridge.push_here(py, Box::new(start));
        }
        waiting.retain(|call| !call.lane.is_closed());
        let Some(first) = waiting.first() else { return };
        let lane = first.lane.clone();
        let arguments = objects(py, &waiting);
        let spans = self.spans.as_ref();
        let events = waiting.iter().map(|call| &call.event);
        let span = spans.and_then(|spans| spans.batch(py, field_of(&lane), events));
        let calls = waiting.into_iter().map(|call| (call.id, call.lane));
        let batch = Arc::new(Batch {
            task: TaskId::next_batch(),
            calls: calls.collect(),
            left: AtomicUsize::new(0),
        });
        self.batches.running.lock().push(Arc::downgrade(&batch));
        let answer = BatchAnswer {
            batch,
            calls: self.clone(),
            has_ended: AtomicBool::new(false),
            span,
        };
        match Bound::new(py, answer) {
            Ok(answer) => {
                let entered = arguments.and_then(|calls| self.enter_batch(&answer, &lane, calls));
                if let Err(error) = entered {
                    answer.get().raised(py, exception_of(py, &error));
                    self.failures.pass_on(py, error);
                }
            }
            Err(error) => error.write_unraisable(py, None),
        }
    }

    fn enter_batch<'py>(
        &self,
        answer: &Bound<'py, BatchAnswer>,
        lane: &Lane,
        calls: Bound<'py, PyList>,
    ) -> PyResult<()> {
        let py = answer.py();
        let variables = self.variables.bind(py).call_method0(intern!(py, "copy"))?;
        let is_async = self.functions[lane.info.definition.index].is_async;
        let resolve = bindings(lane)?.callables.resolve.bind(py);
        let resolve = match &answer.get().span {
            None => resolve.clone(),
            Some(span) => span.wrap(resolve, is_async)?,
        };
        if !is_async {
            let results = variables.call_method1(intern!(py, "run"), (resolve, calls))?;
            answer.get().returned(results);
            return Ok(());
        }
        let start = self.start_call.bind(py);
        let task = start.call1((variables, resolve, calls, answer))?;
        let BatchAnswer {
            batch, has_ended, ..
        } = answer.get();
        if task.is_none() || has_ended.load(Relaxed) {
            return Ok(());
        }
        if !self.takes_first_step {
            self.bridge.task_follows();
        }
        let owner = format!("the resolver of {}", field_of(lane));
        self.tasks.hold(batch.task, &task, owner);
        if batch.is_deserted() {
            // Its cancellation found no task.
            self.tasks.cancel(py, batch.task);
        }
        Ok(())
    }
}

/// Returns the list that the resolver receives.
fn objects<'py>(py: Python<'py>, waiting: &[WaitingCall]) -> PyResult<Bound<'py, PyList>> {
    // Mostly one event goes to many subscribers.
    let mut last: Option<(&Arc<Event>, Py<PyEvent>)> = None;
    let mut objects = Vec::with_capacity(waiting.len());
    for WaitingCall { lane, event, .. } in waiting {
        let known = last.as_ref().filter(|(last, _)| Arc::ptr_eq(last, event));
        let object = match known {
            Some((_, object)) => object.clone_ref(py),
            None => {
                let object = Py::new(py, PyEvent::new(event.clone()))?;
                last = Some((event, object.clone_ref(py)));
                object
            }
        };
        let callables = &bindings(lane)?.callables;
        objects.push(PyCall {
            event: object,
            variables: callables.variables.clone_ref(py),
            context: callables
                .context
                .as_ref()
                .map(|context| context.clone_ref(py)),
        });
    }
    PyList::new(py, objects)
}

/// Receives the results of one batch.
#[pyclass(frozen)]
struct BatchAnswer {
    batch: Arc<Batch>,
    calls: Arc<Calls>,
    /// Used only on the event loop's thread.
    has_ended: AtomicBool,
    /// Its span; `None`: it is not traced.
    span: Option<CallSpan>,
}

#[pymethods]
impl BatchAnswer {
    /// Receives the resolver's results.
    fn returned(&self, results: Bound<'_, PyAny>) {
        let py = results.py();
        match self.read(&results) {
            Ok(results) => inside(py, self.span.as_ref(), || self.settle_each(py, results)),
            Err(error) => self.raised(py, exception_of(py, &error)),
        }
    }

    /// Receives the resolver's exception, which is the error of all calls.
    fn raised(&self, py: Python<'_>, exception: Bound<'_, PyAny>) {
        if let Some(span) = &self.span {
            span.failed(&exception);
        }
        if let Some((_, lane)) = self.batch.calls.first() {
            let error = inside(py, self.span.as_ref(), || {
                self.calls.describe(lane, &exception, None)
            });
            self.settle_all(py, &error);
        }
    }

    /// Records that the batch was cancelled, which is not a fault of the resolver.
    fn cancelled(&self, py: Python<'_>) {
        self.settle_all(py, &ResolverError::new(INTERNAL_ERROR));
    }
}

impl BatchAnswer {
    /// Returns one result for each call.
    fn read<'py>(&self, results: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let expected = self.batch.calls.len();
        let wanted = "return a list with one result for each call, in the order of the calls";
        let given: Vec<_> = if let Ok(list) = results.cast::<PyList>() {
            list.iter().collect()
        } else if let Ok(tuple) = results.cast::<PyTuple>() {
            tuple.iter().collect()
        } else {
            let class = results.get_type();
            let text = format!(
                "the batch has {expected} calls, and the result is a {class}: {wanted}",
                class = class.name()?
            );
            return Err(PyTypeError::new_err(text));
        };
        if given.len() == expected {
            return Ok(given);
        }
        let text = format!(
            "the batch has {expected} calls and {} results: {wanted}",
            given.len()
        );
        Err(PyValueError::new_err(text))
    }

    /// Subscribers with one selection and one object as their result share its response.
    fn settle_each(&self, py: Python<'_>, results: Vec<Bound<'_, PyAny>>) {
        // The objects are held by `results`, so that no two have one address.
        let mut made = HashMap::new();
        let mut results = results.iter();
        self.settle(py, |lane| {
            let Some(result) = results.next() else {
                return Outcome::Skip;
            };
            let plan = lane.info.plan.as_ref().map(Arc::as_ptr);
            let make = || self.outcome(lane, result);
            made.entry((result.as_ptr(), plan))
                .or_insert_with(make)
                .clone()
        });
    }

    fn outcome(&self, lane: &Lane, result: &Bound<'_, PyAny>) -> Outcome {
        if let Ok(exception) = result.cast::<PyBaseException>() {
            if is_exit(result.py(), &PyErr::from_value(result.clone())) {
                let text = format!(
                    "the result for a call is {}, which is no error for a client: raise it, or return another exception",
                    result.get_type()
                );
                return self.refusal(lane, result.py(), &PyTypeError::new_err(text));
            }
            if let Some(span) = &self.span {
                span.failed(result);
            }
            let error = self.calls.describe(lane, exception, None);
            return failed(lane, error, Outcome::Failed);
        }
        match self.calls.snapshot.read(result) {
            Ok(None) => self.calls.outcome(lane, result.clone(), None),
            Ok(Some(_)) => self.refusal(lane, result.py(), &not_initial()),
            Err(error) => self.refusal(lane, result.py(), &error),
        }
    }

    fn refusal(&self, lane: &Lane, py: Python<'_>, error: &PyErr) -> Outcome {
        failed(
            lane,
            self.calls.describe(lane, &exception_of(py, error), None),
            Outcome::Failed,
        )
    }

    fn settle_all(&self, py: Python<'_>, error: &ResolverError) {
        self.settle(py, |lane| failed(lane, error.clone(), Outcome::Failed));
    }

    /// Ends all calls. `outcome` is called for each, in their order.
    fn settle(&self, py: Python<'_>, mut outcome: impl FnMut(&Lane) -> Outcome) {
        if self.has_ended.swap(true, Relaxed) {
            return;
        }
        self.calls.tasks.release(self.batch.task);
        self.calls.batches.forget(&self.batch);
        let mut wakes = BatchedWakes::default();
        for (id, lane) in &self.batch.calls {
            let settled = lane.settle(*id, outcome(lane));
            if let Some(wake) = settled.wake {
                wakes.add(wake);
                if wakes.len() >= WAKE_BATCH {
                    std::mem::take(&mut wakes).send();
                }
            }
            if settled.reschedule {
                self.calls.go_on(py, lane);
            }
        }
        if let Some(span) = &self.span {
            span.end(py);
        }
        wakes.send();
    }
}
