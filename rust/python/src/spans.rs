//! Spans of OpenTelemetry, where tracing is on: calls into `fraiseql_subs._spans`.
//!
//! A fault of tracing is reported as an unraisable exception, and costs neither an event nor a call.
//! Not here: names and attributes of spans (`fraiseql_subs._spans`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bus::{Draft, Event, TraceContext};
use protocol::OperationKind;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use runtime::{CallInput, Lane, ResolverKind, SubscriptionInfo, Timings};

use crate::future::Publication;

/// Makes the spans of a started manager.
pub(crate) struct Spans {
    object: Py<PyAny>,
    /// The context variables at the manager's start, without what was the current span.
    variables: Py<PyAny>,
    timings: Arc<Timings>,
}

/// The span of a call of a resolver. It ends at the latest when the call is dropped, which may have had no first step.
pub(crate) struct CallSpan {
    object: Py<PyAny>,
    has_ended: AtomicBool,
}

/// The span in which events are published.
pub(crate) struct PublishSpan(Py<PyAny>);

/// A trace context as Python has it: trace id, span id, flags and `tracestate`.
pub(crate) type PyTrace = (Vec<u8>, Vec<u8>, u8, Option<String>);

/// Reads a trace context; `None`: it names no span.
pub(crate) fn read_trace((trace_id, span_id, flags, state): PyTrace) -> Option<TraceContext> {
    let (trace_id, span_id) = (trace_id.try_into().ok()?, span_id.try_into().ok()?);
    TraceContext::new(trace_id, span_id, flags, state.as_deref())
}

/// Sets the trace context of events that are published together.
pub(crate) fn set_trace(drafts: &mut [Draft], trace: &TraceContext) {
    for draft in drafts {
        draft.trace = Some(Box::new(trace.clone()));
    }
}

fn context_of<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyAny>> {
    trace_to_python(py, event.trace.as_deref())
}

/// Returns a trace context as [`PyTrace`].
pub(crate) fn trace_to_python<'py>(
    py: Python<'py>,
    trace: Option<&TraceContext>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(trace) = trace else {
        return Ok(py.None().into_bound(py));
    };
    let context = (
        PyBytes::new(py, &trace.trace_id),
        PyBytes::new(py, &trace.span_id),
        trace.flags,
        trace.state.as_deref(),
    );
    Ok(context.into_pyobject(py)?.into_any())
}

impl Spans {
    /// Decides whether tracing is on. `start` returns what makes spans, or None.
    pub(crate) fn start(py: Python<'_>, start: Option<&Py<PyAny>>) -> PyResult<Option<Arc<Self>>> {
        let Some(start) = start else { return Ok(None) };
        let spans = start.call0(py)?;
        if spans.is_none(py) {
            return Ok(None);
        }
        let sample = spans.getattr(py, intern!(py, "sample_deliveries"))?;
        let timings = Arc::new(Timings::new(sample.extract(py)?));
        let variables = spans.call_method0(py, intern!(py, "variables"))?;
        Ok(Some(Arc::new(Self {
            object: spans,
            variables,
            timings,
        })))
    }

    /// Returns a copy of the context variables of what no client has called.
    pub(crate) fn variables(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.variables.call_method0(py, intern!(py, "copy"))
    }

    /// Collects what has ended on the threads of Rust.
    pub(crate) fn timings(&self) -> &Arc<Timings> {
        &self.timings
    }

    /// Returns the object that makes spans.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.object.bind(py)
    }

    /// Returns a function that calls a hook in a span.
    pub(crate) fn hook(&self, py: Python<'_>, name: &str, hook: &Py<PyAny>) -> PyResult<Py<PyAny>> {
        self.object
            .call_method1(py, intern!(py, "hook"), (name, hook))
    }

    /// Begins the span in which events are published, and sets its context in them.
    pub(crate) fn publish(
        &self,
        py: Python<'_>,
        drafts: &mut [Draft],
        is_batch: bool,
    ) -> Option<PublishSpan> {
        let count = is_batch.then_some(drafts.len());
        let mut channels = drafts.iter().map(|draft| &*draft.channel);
        let channel = channels.next();
        let channel = channel.filter(|first| channels.all(|channel| channel == *first));
        let begun = self
            .object
            .call_method1(py, intern!(py, "publish"), (channel, count));
        let span = PublishSpan(told(py, begun)?);
        if let Some(trace) = span.context(py) {
            set_trace(drafts, &trace);
        }
        Some(span)
    }

    /// Makes the span of a call, which begins with it.
    pub(crate) fn call(&self, py: Python<'_>, lane: &Lane, input: &CallInput) -> Option<CallSpan> {
        let info = &lane.info;
        let (field, operation) = (&*info.definition.field, info.operation_name.as_deref());
        let made = match input {
            CallInput::Event(event) => context_of(py, event).and_then(|context| {
                let arguments = (field, operation, &*event.channel, event.id.text(), context);
                self.object
                    .call_method1(py, intern!(py, "resolve"), arguments)
            }),
            CallInput::Initial => self.other(py, "initial", info),
            CallInput::Stream => match info.definition.kind {
                ResolverKind::Delegate => self.other(py, "execute", info),
                _ => self.other(py, "stream", info),
            },
        };
        told(py, made).map(CallSpan::new)
    }

    fn other(&self, py: Python<'_>, name: &str, info: &SubscriptionInfo) -> PyResult<Py<PyAny>> {
        let kind = info.operation_kind.map(OperationKind::keyword);
        let operation = info.operation_name.as_deref();
        let arguments = (name, &*info.definition.field, kind, operation);
        self.object
            .call_method1(py, intern!(py, "internal"), arguments)
    }

    /// Makes the span of a call for several subscribers, some with the same event.
    pub(crate) fn batch<'e>(
        &self,
        py: Python<'_>,
        field: &str,
        events: impl Iterator<Item = &'e Arc<Event>>,
    ) -> Option<CallSpan> {
        let (mut count, mut contexts) = (0, Vec::new());
        let mut last: Option<&Arc<Event>> = None;
        for event in events {
            count += 1;
            // Mostly one event goes to many subscribers.
            if last.is_some_and(|last| Arc::ptr_eq(last, event)) {
                continue;
            }
            last = Some(event);
            match context_of(py, event) {
                Ok(context) => contexts.push(context),
                Err(error) => error.write_unraisable(py, None),
            }
        }
        let arguments = (field, count, contexts);
        let made = self
            .object
            .call_method1(py, intern!(py, "batch"), arguments);
        told(py, made).map(CallSpan::new)
    }
}

impl CallSpan {
    fn new(object: Py<PyAny>) -> Self {
        Self {
            object,
            has_ended: AtomicBool::new(false),
        }
    }

    /// Returns a function that calls another one in the span. `is_async`: that returns an awaitable, whose
    /// steps run in the span too.
    pub(crate) fn wrap<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        is_async: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        let name = if is_async {
            intern!(py, "wrap_async")
        } else {
            intern!(py, "wrap")
        };
        self.object.bind(py).call_method1(name, (function,))
    }

    /// Returns a coroutine whose steps run in the span.
    pub(crate) fn follow<'py>(&self, coroutine: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = coroutine.py();
        let follow = intern!(py, "follow");
        self.object.bind(py).call_method1(follow, (coroutine,))
    }

    /// Records an exception.
    pub(crate) fn failed(&self, exception: &Bound<'_, PyAny>) {
        let py = exception.py();
        let failed = intern!(py, "failed");
        let recorded = self.object.call_method1(py, failed, (exception,));
        told(py, recorded);
    }

    /// Ends the span.
    pub(crate) fn end(&self, py: Python<'_>) {
        if !self.has_ended.swap(true, Relaxed) {
            told(py, self.object.call_method0(py, intern!(py, "end")));
        }
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if *self.has_ended.get_mut() {
            return;
        }
        Python::attach(|py| {
            // An exception may already be set when an object is dropped.
            let raised = PyErr::take(py);
            self.end(py);
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

/// Runs a function in the span of a call, if it has one.
pub(crate) fn inside<T>(py: Python<'_>, span: Option<&CallSpan>, run: impl FnOnce() -> T) -> T {
    let Some(CallSpan { object: span, .. }) = span else {
        return run();
    };
    let token = told(py, span.call_method0(py, intern!(py, "enter")));
    let result = run();
    if let Some(token) = token {
        let left = span.call_method1(py, intern!(py, "leave"), (token,));
        told(py, left);
    }
    result
}

impl PublishSpan {
    fn context(&self, py: Python<'_>) -> Option<TraceContext> {
        let context = self.0.bind(py).getattr(intern!(py, "context"));
        let context = context.and_then(|context| context.extract::<Option<PyTrace>>());
        told(py, context)?.and_then(read_trace)
    }

    /// Ends the span when the events are published.
    pub(crate) fn follow(&self, py: Python<'_>, published: &PyResult<Publication>) {
        let followed = match published {
            Err(error) => {
                let failed = intern!(py, "failed");
                self.0.call_method1(py, failed, (error.value(py),))
            }
            Ok(publication) => match publication.future() {
                Some(future) => self.when_done(future.bind(py)),
                None => {
                    let result = publication.result(py);
                    self.0.call_method1(py, intern!(py, "done"), (result,))
                }
            },
        };
        told(py, followed);
    }

    /// Ends the span.
    pub(crate) fn end(&self, py: Python<'_>, error: Option<&PyErr>) {
        let ended = match error {
            None => self.0.call_method0(py, intern!(py, "end")),
            Some(error) => {
                let failed = intern!(py, "failed");
                self.0.call_method1(py, failed, (error.value(py),))
            }
        };
        told(py, ended);
    }

    fn when_done(&self, future: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = future.py();
        let settled = self.0.getattr(py, intern!(py, "settled"))?;
        let arguments = PyTuple::new(py, [settled])?;
        let added = future.call_method1(intern!(py, "add_done_callback"), arguments)?;
        Ok(added.unbind())
    }
}

/// Returns what a call into Python has returned, or reports what it has raised.
fn told<T>(py: Python<'_>, called: PyResult<T>) -> Option<T> {
    called
        .inspect_err(|error| error.clone_ref(py).write_unraisable(py, None))
        .ok()
}
