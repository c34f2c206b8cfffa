//! Calls resolvers on the event loop.
//!
//! Not here: what a client receives for a value or an exception (`outcome`), and calls that are made
//! together (`batch`).

mod batch;
mod outcome;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use bus::Event;
use bytes::Bytes;
use graphql::ResolverError;
use pyo3::intern;
use pyo3::prelude::*;
use runtime::{CallId, CallInput, Lane, Outcome, Resolver};

use crate::bridge::{Bridge, Steps};
use crate::client::{context, context_variables};
use crate::error::exceptions;
use crate::event::PyEvent;
use crate::failure::{Failures, INTERNAL_ERROR, exception_of};
use crate::future::{AtEnd, Promise};
use crate::json_text::text_to_python;
use crate::reply::{refused, refused_with};
use crate::snapshot::{FirstSnapshot, SnapshotClass, not_initial};
use crate::spans::{CallSpan, Spans, inside};
use crate::tasks::{TaskId, Tasks};
use crate::value::Names;
use batch::Batches;
use outcome::{failed, field_of, owner, place};

/// Calls of one lane that start in a row (count). Their results leave together.
const CALLS_IN_A_ROW: usize = 16;

/// The functions of one definition.
pub(crate) struct Function {
    /// `Definition.bind`.
    pub(crate) bind: Py<PyAny>,
    /// Whether calls return coroutines.
    pub(crate) is_async: bool,
    /// Whether calls that start together are one call of the resolver.
    pub(crate) is_batch: bool,
    /// Whether the call for the initial value returns a coroutine.
    pub(crate) is_initial_async: bool,
    /// Whether the call for the initial value returns a generator of several values.
    pub(crate) is_initial_stream: bool,
    /// Whether they can see the client. Otherwise they have no `Context`, which takes more memory than
    /// the rest of a subscription.
    pub(crate) takes_context: bool,
}

/// `fraiseql_subs.definition.Bound`: the callables of one subscription.
#[derive(FromPyObject)]
struct Callables {
    resolve: Py<PyAny>,
    initial: Option<Py<PyAny>>,
    variables: Py<PyAny>,
    context: Option<Py<PyAny>>,
}

/// The Python side of one subscription.
struct Bindings {
    callables: Callables,
    /// `contextvars.Context` of all its calls.
    variables: Py<PyAny>,
}

/// The resolvers of one manager, on one event loop.
pub(crate) struct Calls {
    bridge: Arc<Bridge>,
    functions: Arc<[Function]>,
    names: Names,
    /// `_first_steps.StartCall`.
    start_call: Py<PyAny>,
    /// Whether starting a call takes its first step.
    takes_first_step: bool,
    pump: Py<PyAny>,
    pump_initial: Py<PyAny>,
    skip: Py<PyAny>,
    snapshot: SnapshotClass,
    start_task: Py<PyAny>,
    /// Whether starting a task runs it until it suspends.
    starts_eagerly: bool,
    /// The context variables at the manager's start; each subscription has a copy.
    variables: Py<PyAny>,
    tasks: Arc<Tasks>,
    failures: Arc<Failures>,
    batches: Batches,
    /// Makes spans; `None`: tracing is off.
    spans: Option<Arc<Spans>>,
    /// The lane whose calls [`Self::start_calls`] starts; 0: none. Used only on the event loop's thread, as the next.
    stepping: AtomicUsize,
    /// Whether the next call of that lane may start.
    may_start: AtomicBool,
}

impl Calls {
    /// Looks up the Python functions that calls need.
    pub(crate) fn new(
        bridge: Arc<Bridge>,
        functions: Arc<[Function]>,
        names: Names,
        tasks: Arc<Tasks>,
        failures: Arc<Failures>,
        spans: Option<Arc<Spans>>,
        py: Python<'_>,
    ) -> PyResult<Self> {
        let module = py.import("fraiseql_subs._resolving")?;
        let find = |name| module.getattr(name).map(Bound::unbind);
        let event_loop = bridge.event_loop(py);
        let (start_task, starts_eagerly) = module
            .call_method1("task_factory", (event_loop,))?
            .extract()?;
        let (start_call, takes_first_step) = py
            .import("fraiseql_subs._first_steps")?
            .call_method1("call_starter", (event_loop,))?
            .extract()?;
        let variables = match &spans {
            None => context_variables(py)?.unbind(),
            Some(spans) => spans.variables(py)?,
        };
        Ok(Self {
            batches: Batches::new(functions.len()),
            spans,
            stepping: AtomicUsize::new(0),
            may_start: AtomicBool::new(false),
            functions,
            names,
            start_call,
            takes_first_step,
            pump: find("pump")?,
            pump_initial: find("pump_initial")?,
            skip: find("SKIP")?,
            snapshot: SnapshotClass(find("Snapshot")?),
            start_task,
            starts_eagerly,
            variables,
            tasks,
            bridge,
            failures,
        })
    }

    /// Starts calls of a lane as long as the next one may start, and schedules the rest.
    fn start_calls(self: &Arc<Self>, py: Python<'_>, lane: &Arc<Lane>) {
        let outer = self.stepping.swap(address(lane), Relaxed);
        for _ in 0..CALLS_IN_A_ROW {
            if lane.is_closed() || !self.start_next(py, lane) {
                self.stepping.store(outer, Relaxed);
                return;
            }
            if !self.bridge.goes_on() {
                break;
            }
        }
        self.stepping.store(outer, Relaxed);
        self.go_on(py, lane);
    }

    /// Starts the next call of a lane. Returns whether another one may start.
    fn start_next(self: &Arc<Self>, py: Python<'_>, lane: &Arc<Lane>) -> bool {
        match self.bound(py, lane) {
            Ok(bound) => {
                let started = lane.start();
                if let Some((id, input)) = started.call {
                    self.invoke(py, lane, bound, id, input);
                }
                // The call may have ended already.
                let may_start = self.may_start.swap(false, Relaxed);
                started.reschedule || may_start
            }
            Err(error) => {
                let told = self.failures.describe(
                    &place(lane),
                    &exception_of(py, &error),
                    owner(lane, None),
                );
                lane.refuse(refused(told));
                self.failures.pass_on(py, error);
                false
            }
        }
    }

    /// Schedules the next call of a lane: after the one that [`Self::start_calls`] is starting, or after other lanes.
    fn go_on(self: &Arc<Self>, py: Python<'_>, lane: &Arc<Lane>) {
        if self.stepping.load(Relaxed) == address(lane) {
            return self.may_start.store(true, Relaxed);
        }
        self.bridge.push_lane_here(py, lane.clone());
    }

    /// Returns the Python side of a subscription: created at its first call, stored with it.
    fn bound<'l>(&self, py: Python<'_>, lane: &'l Lane) -> PyResult<&'l Bindings> {
        let host: &OnceLock<_> = &lane.info.host;
        if host.get().is_none() {
            let function = &self.functions[lane.info.definition.index];
            // The arguments are now kept as objects, so their text is dropped.
            let arguments = lane.info.arguments.lock().take().unwrap_or_default();
            let arguments = text_to_python(py, arguments.text())?;
            let context = function.takes_context.then(|| context(py, &lane.info));
            let bound = Bindings {
                callables: function
                    .bind
                    .bind(py)
                    .call1((arguments, context.transpose()?))?
                    .extract()?,
                variables: self.variables_of(py, lane)?,
            };
            // Only this thread sets it.
            host.set(Box::new(bound)).ok();
        }
        bindings(lane)
    }

    fn variables_of(&self, py: Python<'_>, lane: &Lane) -> PyResult<Py<PyAny>> {
        match crate::client::variables_of(&lane.info.client) {
            Some(variables) => Ok(variables.clone_ref(py)),
            None => self.variables.call_method0(py, intern!(py, "copy")),
        }
    }

    fn invoke(
        self: &Arc<Self>,
        py: Python<'_>,
        lane: &Arc<Lane>,
        bound: &Bindings,
        id: CallId,
        input: CallInput,
    ) {
        let index = lane.info.definition.index;
        let input = match input {
            CallInput::Event(event) if self.functions[index].is_batch => {
                return self.add_to_batch(py, lane, id, event);
            }
            input => input,
        };
        let is_initial = matches!(input, CallInput::Initial);
        let spans = self.spans.as_ref();
        let answer = Answer {
            span: spans.and_then(|spans| spans.call(py, lane, &input)),
            id,
            lane: lane.clone(),
            calls: self.clone(),
            event: match &input {
                CallInput::Event(event) => Some(event.clone()),
                CallInput::Initial | CallInput::Stream => None,
            },
            is_initial,
            is_stream: matches!(input, CallInput::Stream)
                || is_initial && self.functions[index].is_initial_stream,
            has_ended: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            snapshot: is_initial.then(FirstSnapshot::default),
        };
        match Bound::new(py, answer) {
            Ok(answer) => {
                if let Err(error) = self.enter(&answer, bound, input) {
                    answer.get().raised(py, exception_of(py, &error));
                    self.failures.pass_on(py, error);
                }
            }
            Err(error) => error.write_unraisable(py, None),
        }
    }

    fn enter(
        &self,
        answer: &Bound<'_, Answer>,
        bound: &Bindings,
        input: CallInput,
    ) -> PyResult<()> {
        let py = answer.py();
        let function = &self.functions[answer.get().lane.info.definition.index];
        let callables = &bound.callables;
        let (callable, argument, is_async) = match input {
            CallInput::Event(event) => {
                let event = PyEvent::new(event).into_pyobject(py)?.into_any();
                (&callables.resolve, Some(event), function.is_async)
            }
            CallInput::Initial => match &callables.initial {
                Some(initial) if function.is_initial_stream => {
                    let coroutine = self.pump_initial.bind(py).call1((initial, answer))?;
                    return self.run(answer, bound, &coroutine);
                }
                Some(initial) => (initial, None, function.is_initial_async),
                None => {
                    answer.get().settle(py, Outcome::Skip);
                    return Ok(());
                }
            },
            CallInput::Stream => {
                let resolve = in_span(py, answer, &callables.resolve, false)?;
                let generator = call_in(bound, &resolve, None)?;
                let coroutine = self.pump.bind(py).call1((generator, answer))?;
                return self.run(answer, bound, &coroutine);
            }
        };
        let callable = in_span(py, answer, callable, is_async)?;
        if is_async {
            let start = self.start_call.bind(py);
            let task = start.call1((&bound.variables, callable, argument, answer))?;
            return if task.is_none() {
                Ok(())
            } else {
                self.hold(answer.get(), &task, self.takes_first_step)
            };
        }
        if argument.is_none() {
            answer.get().begins();
        }
        answer.get().returned(call_in(bound, &callable, argument)?);
        Ok(())
    }

    fn run(
        &self,
        answer: &Bound<'_, Answer>,
        bound: &Bindings,
        coroutine: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = answer.py();
        let start = self.start_task.bind(py);
        let task = match &answer.get().span {
            None => start.call1((coroutine, &bound.variables))?,
            Some(span) => start.call1((span.follow(coroutine)?, &bound.variables))?,
        };
        self.hold(answer.get(), &task, self.starts_eagerly)
    }

    /// Holds the task of a call until it is done. `is_started`: its first step was taken.
    fn hold(&self, answer: &Answer, task: &Bound<'_, PyAny>, is_started: bool) -> PyResult<()> {
        // An eager task may have ended already.
        if answer.has_ended.load(Relaxed) && !answer.is_stream {
            return Ok(());
        }
        if !is_started {
            self.bridge.task_follows();
        }
        answer.is_held.store(true, Relaxed);
        let id = TaskId::Call(answer.id);
        let owner = format!("the resolver of {}", field_of(&answer.lane));
        if answer.is_stream {
            // It cleans up after its last value.
            self.tasks.hold_to_end(id, task, owner)?;
        } else {
            self.tasks.hold(id, task, owner);
        }
        if answer.lane.is_closed() {
            // The subscription ended while the task was created: its cancellation found no task.
            self.tasks.cancel(task.py(), id);
        }
        Ok(())
    }

    /// Logs the remaining counts of faults.
    pub(crate) fn flush(&self, py: Python<'_>) {
        self.failures.flush(py);
    }
}

/// Returns the Python side of a subscription whose call has started.
fn bindings(lane: &Lane) -> PyResult<&Bindings> {
    let bound = lane.info.host.get().and_then(|bound| bound.downcast_ref());
    bound.ok_or_else(|| exceptions::ManagerClosed::new_err("the subscription is not ours"))
}

/// Returns a function that runs in the span of its call, if it has one.
fn in_span<'py>(
    py: Python<'py>,
    answer: &Bound<'_, Answer>,
    callable: &Py<PyAny>,
    is_async: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let callable = callable.bind(py);
    match &answer.get().span {
        None => Ok(callable.clone()),
        Some(span) => span.wrap(callable, is_async),
    }
}

/// Calls a function in the context of its subscription.
fn call_in<'py>(
    bound: &Bindings,
    callable: &Bound<'py, PyAny>,
    argument: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = callable.py();
    let (run, variables) = (intern!(py, "run"), bound.variables.bind(py));
    match argument {
        Some(argument) => variables.call_method1(run, (callable, argument)),
        None => variables.call_method1(run, (callable,)),
    }
}

/// Identifies a lane as long as it exists.
fn address(lane: &Arc<Lane>) -> usize {
    Arc::as_ptr(lane).addr()
}

impl Steps for Calls {
    fn step(self: Arc<Self>, py: Python<'_>, lane: &Arc<Lane>) {
        self.start_calls(py, lane);
    }
}

/// Passes lanes to the event loop.
pub(crate) struct LoopResolver(pub(crate) Arc<Calls>);

impl Resolver for LoopResolver {
    fn schedule(&self, lane: Arc<Lane>) {
        self.0.bridge.push_lanes([lane]);
    }

    fn schedule_all(&self, lanes: Vec<Arc<Lane>>) {
        self.0.bridge.push_lanes(lanes);
    }

    fn cancel(&self, lane: Arc<Lane>, ids: Vec<CallId>) {
        let calls = self.0.clone();
        let is_batch = calls.functions[lane.info.definition.index].is_batch;
        self.0.bridge.push(Box::new(move |py| {
            for id in ids {
                calls.tasks.cancel(py, TaskId::Call(id));
                if is_batch {
                    calls.leave_batch(py, &lane, id);
                }
            }
        }));
    }
}

/// Receives the result of one call, or the items of one source stream.
#[pyclass(frozen)]
struct Answer {
    id: CallId,
    lane: Arc<Lane>,
    calls: Arc<Calls>,
    /// The event of the call, if it has one.
    event: Option<Arc<Event>>,
    /// Whether the call is for the initial value.
    is_initial: bool,
    /// Whether it yields several values, and cleans up after the last one.
    is_stream: bool,
    /// Used only on the event loop's thread, as the next.
    has_ended: AtomicBool,
    /// Whether its task is held.
    is_held: AtomicBool,
    /// Set for the initial value.
    snapshot: Option<FirstSnapshot>,
    /// Its span; `None`: it is not traced.
    span: Option<CallSpan>,
}

#[pymethods]
impl Answer {
    /// Records that the function for the initial value starts now.
    fn begins(&self) {
        self.lane.initial_begins();
    }

    /// Receives the resolver's value.
    fn returned(&self, value: Bound<'_, PyAny>) {
        let py = value.py();
        match self.unpack(value) {
            Ok(value) => {
                let event = self.event.as_deref();
                let outcome = inside(py, self.span.as_ref(), || {
                    self.calls.outcome(&self.lane, value, event)
                });
                self.settle(py, outcome);
            }
            Err(error) => self.raised(py, exception_of(py, &error)),
        }
    }

    /// Receives the resolver's exception.
    fn raised(&self, py: Python<'_>, exception: Bound<'_, PyAny>) {
        if let Some(span) = &self.span {
            span.failed(&exception);
        }
        if let Some(error) = self.calls.failures.told(&exception) {
            return self.failed(py, error, Outcome::Failed);
        }
        let event = self.event.as_deref();
        let error = inside(py, self.span.as_ref(), || {
            self.calls.masked(&self.lane, &exception, event)
        });
        self.failed(py, error, self.unexpected());
    }

    /// Records that the call was cancelled, which is not a fault of the resolver.
    fn cancelled(&self, py: Python<'_>) {
        self.failed(py, ResolverError::new(INTERNAL_ERROR), self.unexpected());
    }

    /// Receives a value of the source stream. False: await `room` before the next one.
    fn item(&self, value: Bound<'_, PyAny>) -> PyResult<bool> {
        let value = self.unpack(value)?;
        // Without an event loop no value can be awaited or read.
        let has_loop = !self.calls.bridge.is_closed();
        Ok(has_loop && self.lane.item(self.calls.outcome(&self.lane, value, None)))
    }

    /// The subscription field, for the log.
    #[getter]
    fn field(&self) -> &str {
        field_of(&self.lane)
    }

    /// Returns a future that is done when there is room for another item; `None` if the
    /// subscription has ended.
    fn room(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.calls.bridge.is_closed() {
            return Ok(None);
        }
        let promise = Promise::new(py)?;
        let future = promise.future(py).unbind();
        let kept = self.calls.bridge.keep(py, promise, AtEnd::Look);
        Ok(self.lane.when_room(kept.into_callback()).then_some(future))
    }

    /// Records the end of the source stream, or of the generator of initial values.
    fn ended(&self, py: Python<'_>) {
        let events_follow = self.is_initial;
        self.settle(
            py,
            if events_follow {
                Outcome::Skip
            } else {
                Outcome::End
            },
        );
    }

    /// Receives an exception of the source stream, which ends the subscription unless events
    /// follow.
    fn broke(&self, py: Python<'_>, exception: Bound<'_, PyAny>) {
        if self.is_initial {
            // The error replaces the value, and events follow.
            return self.raised(py, exception);
        }
        if let Some(span) = &self.span {
            span.failed(&exception);
        }
        let outcome = refused_with(py, &exception)
            .unwrap_or_else(|| refused(self.calls.describe(&self.lane, &exception, None)));
        self.settle(py, outcome);
    }
}

impl Answer {
    /// What follows a failure that is not meant for the client. One that is, is the initial value.
    fn unexpected(&self) -> fn(Bytes) -> Outcome {
        match self.is_initial {
            true => Outcome::Retry,
            false => Outcome::Failed,
        }
    }

    fn failed(&self, py: Python<'_>, error: ResolverError, outcome: fn(Bytes) -> Outcome) {
        self.settle(py, failed(&self.lane, error, outcome));
    }

    fn settle(&self, py: Python<'_>, outcome: Outcome) {
        self.has_ended.store(true, Relaxed);
        if let Some(span) = &self.span {
            span.end(py);
        }
        if !self.is_stream && self.is_held.load(Relaxed) {
            // The task has no further work.
            self.calls.tasks.release(TaskId::Call(self.id));
        }
        let settled = self.lane.settle(self.id, outcome);
        if let Some(wake) = settled.wake {
            self.calls.bridge.wake(wake);
        }
        if settled.reschedule {
            self.calls.go_on(py, &self.lane);
        }
    }

    /// Returns the value of a `Snapshot`, or the value itself.
    fn unpack<'py>(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Some(found) = self.calls.snapshot.read(&value)? else {
            return Ok(value);
        };
        match &self.snapshot {
            Some(first) => first.note(&found.at, &self.lane)?,
            None => return Err(not_initial()),
        }
        Ok(found.value)
    }
}
