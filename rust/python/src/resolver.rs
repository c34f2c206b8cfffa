//! Calls resolvers on the event loop and makes responses of what they give.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use graphql::ResolverError;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;
use runtime::{Call, CallId, Outcome, Resolver, SubscriptionInfo};
use tokio::sync::oneshot;

use crate::bridge::Bridge;
use crate::client::context;
use crate::error::exceptions;
use crate::event::PyEvent;
use crate::json::{map_to_python, to_json_map};
use crate::value::{Names, PyValue};

/// Room for a response before its buffer grows (bytes).
const RESPONSE_BYTES: usize = 512;

/// What is called for one definition.
pub(crate) struct Function {
    /// `Definition.bind`.
    pub(crate) bind: Py<PyAny>,
    /// Whether calls give coroutines.
    pub(crate) is_async: bool,
}

/// The resolvers of one manager, on one event loop.
pub(crate) struct Calls {
    functions: Arc<[Function]>,
    names: Names,
    resolve: Py<PyAny>,
    log_failure: Py<PyAny>,
    skip: Py<PyAny>,
    create_task: Py<PyAny>,
    /// Tasks that have not ended, for cancellation.
    tasks: Mutex<HashMap<CallId, Py<PyAny>>>,
    debug: bool,
}

impl Calls {
    /// Looks up what calls need.
    pub(crate) fn new(
        event_loop: &Bound<'_, PyAny>,
        functions: Arc<[Function]>,
        names: Names,
        debug: bool,
    ) -> PyResult<Self> {
        let module = event_loop.py().import("fraiseql_subs._resolving")?;
        let find = |name| module.getattr(name).map(Bound::unbind);
        Ok(Self {
            functions,
            names,
            resolve: find("resolve")?,
            log_failure: find("log_failure")?,
            skip: find("SKIP")?,
            create_task: module.call_method1("task_factory", (event_loop,))?.unbind(),
            tasks: Mutex::default(),
            debug,
        })
    }

    fn start(self: &Arc<Self>, py: Python<'_>, call: Call) {
        if call.reply.is_closed() {
            // The subscription has ended meanwhile.
            return;
        }
        let answer = Answer {
            id: call.id,
            subscription: call.subscription,
            reply: Mutex::new(Some(call.reply)),
            calls: self.clone(),
        };
        match Bound::new(py, answer) {
            Ok(answer) => {
                if let Err(error) = self.enter(&answer, call.event) {
                    let exception = error.into_value(py).into_bound(py);
                    answer.get().raised(py, exception.into_any());
                }
            }
            Err(error) => error.write_unraisable(py, None),
        }
    }

    fn enter(&self, answer: &Bound<'_, Answer>, event: Arc<bus::Event>) -> PyResult<()> {
        let py = answer.py();
        let subscription = &answer.get().subscription;
        let function = &self.functions[subscription.definition.index];
        let bound = bound(py, function, subscription)?;
        let event = PyEvent::new(event).into_pyobject(py)?;
        if !function.is_async {
            answer.get().returned(bound.bind(py).call1((event,))?);
            return Ok(());
        }
        let coroutine = self.resolve.bind(py).call1((bound, event, answer))?;
        let task = self.create_task.bind(py).call1((coroutine,))?;
        // An eager task may have ended already.
        if answer.get().is_open() {
            self.tasks.lock().insert(answer.get().id, task.unbind());
        }
        Ok(())
    }

    fn cancel(&self, py: Python<'_>, id: CallId) {
        let task = self.tasks.lock().remove(&id);
        if let Some(task) = task
            && let Err(error) = task.call_method0(py, "cancel")
        {
            error.write_unraisable(py, Some(task.bind(py)));
        }
    }

    /// Cancels all calls that have not ended.
    pub(crate) fn cancel_all(&self, py: Python<'_>) {
        let ids: Vec<_> = self.tasks.lock().keys().copied().collect();
        for id in ids {
            self.cancel(py, id);
        }
    }
}

/// The callable of one subscription: made by its first call, kept with it.
fn bound(py: Python<'_>, function: &Function, info: &SubscriptionInfo) -> PyResult<Py<PyAny>> {
    if let Some(bound) = info.host.get().and_then(|b| b.downcast_ref::<Py<PyAny>>()) {
        return Ok(bound.clone_ref(py));
    }
    let variables = map_to_python(py, &info.arguments)?;
    let bound = function.bind.call1(py, (variables, context(py, info)?))?;
    // Only this thread sets it.
    info.host.set(Box::new(bound.clone_ref(py))).ok();
    Ok(bound)
}

/// Hands calls to the event loop.
pub(crate) struct LoopResolver {
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) calls: Arc<Calls>,
}

impl Resolver for LoopResolver {
    fn call(&self, call: Call) {
        let calls = self.calls.clone();
        self.bridge.push(Box::new(move |py| calls.start(py, call)));
    }

    fn cancel(&self, id: CallId) {
        let calls = self.calls.clone();
        self.bridge.push(Box::new(move |py| calls.cancel(py, id)));
    }
}

/// Takes the result of one call. Dropped unused, its subscription ends.
#[pyclass(frozen)]
struct Answer {
    id: CallId,
    subscription: Arc<SubscriptionInfo>,
    reply: Mutex<Option<oneshot::Sender<Outcome>>>,
    calls: Arc<Calls>,
}

#[pymethods]
impl Answer {
    /// The resolver returned a value.
    fn returned(&self, value: Bound<'_, PyAny>) {
        if value.is(&self.calls.skip) {
            return self.send(Outcome::Skip);
        }
        let mut response = Vec::with_capacity(RESPONSE_BYTES);
        let plan = &self.subscription.plan;
        if let Ok(event) = value.cast_exact::<PyEvent>() {
            // The event itself: its JSON is at hand.
            plan.project(&event.get().event().data, &mut response);
        } else {
            plan.project(PyValue::new(value, &self.calls.names), &mut response);
        }
        self.send(Outcome::Response(Bytes::from(response)));
    }

    /// The resolver raised.
    fn raised(&self, py: Python<'_>, exception: Bound<'_, PyAny>) {
        let error = self.resolver_error(py, &exception).unwrap_or_else(|error| {
            error.write_unraisable(py, Some(&exception));
            ResolverError::new("Internal server error")
        });
        let mut response = Vec::with_capacity(RESPONSE_BYTES);
        self.subscription.plan.project_error(error, &mut response);
        self.send(Outcome::Failed(Bytes::from(response)));
    }
}

impl Answer {
    fn is_open(&self) -> bool {
        self.reply.lock().is_some()
    }

    fn send(&self, outcome: Outcome) {
        self.calls.tasks.lock().remove(&self.id);
        if let Some(reply) = self.reply.lock().take() {
            // Fails when the subscription has ended.
            reply.send(outcome).ok();
        }
    }

    /// What the client is told, after everything else was written to the log.
    fn resolver_error(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<ResolverError> {
        if exception.is_instance(&py.get_type::<exceptions::GraphQLError>())? {
            let message: String = exception.getattr("message")?.extract()?;
            let extensions = exception.getattr("extensions")?;
            let extensions = to_json_map(Some(&extensions))
                .map_err(|error| exceptions::PublishError::new_err(error.message("extensions")))?;
            return Ok(ResolverError::new(message).with_extensions(extensions));
        }
        if self
            .reply
            .lock()
            .as_ref()
            .is_some_and(|reply| !reply.is_closed())
        {
            let field = PyString::new(py, &self.subscription.definition.field);
            self.calls.log_failure.bind(py).call1((field, exception))?;
        }
        Ok(ResolverError::new(if self.calls.debug {
            let class = exception.get_type().name()?;
            format!("{class}: {}", exception.str()?)
        } else {
            "Internal server error".to_owned()
        }))
    }
}
