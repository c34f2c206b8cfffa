//! The `authenticate` hook, which says on the event loop who a client is.

use std::sync::Arc;

use graphql::JsonMap;
use protocol::JsonObject;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3_async_runtimes::{TaskLocals, into_future_with_locals};
use runtime::{Authenticator, BoxFuture, Client, Refused};

use crate::bridge::Bridge;
use crate::client::{HostClient, ReadIdentity, connection_params, read_identity, variables_of};
use crate::error::config_error;
use crate::failure::{Failures, FaultOwner, exception_of};
use crate::json::to_json_map;
use crate::spans::Spans;
use crate::tasks::{TaskId, Tasks};

/// Calls an `authenticate` hook.
pub(crate) struct PyAuthenticator {
    pub(crate) hook: Arc<Py<PyAny>>,
    /// Makes spans; `None`: tracing is off.
    pub(crate) spans: Option<Arc<Spans>>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) failures: Arc<Failures>,
}

impl Authenticator for PyAuthenticator {
    /// Authenticates a client. Dropping the future cancels the hook.
    fn authenticate(&self, mut client: Client) -> BoxFuture<(Client, Result<(), Refused>)> {
        let (hook, bridge) = (self.hook.clone(), self.bridge.clone());
        let (tasks, failures) = (self.tasks.clone(), self.failures.clone());
        let spans = self.spans.clone();
        Box::pin(async move {
            let asking = bridge.clone();
            let telling = failures.clone();
            let asked = bridge.run(move |py| {
                let caller = Caller::new(py, spans.as_deref(), &client);
                let asked = caller.and_then(|caller| ask(&caller, &asking, &tasks, &hook, &client));
                match asked {
                    Ok(asked) => {
                        // The hook and resolvers now read it from `params`.
                        client.forget_head();
                        Ok((asked, client))
                    }
                    Err(error) => {
                        let refused = refused(py, &telling, &client, &error);
                        telling.pass_on(py, error);
                        Err(refused)
                    }
                }
            });
            let (asked, mut client) = match asked.await {
                Ok(Ok(asked)) => asked,
                Ok(Err(refused)) => return (Client::default(), Err(refused)),
                Err(_) => return (Client::default(), Err(Refused::default())),
            };
            let Asked { params, answer } = asked;
            let answer = answer.get().await;
            let decided = bridge.run(move |py| {
                let answer = match answer {
                    Ok(answer) => answer,
                    // An exception that ends the program was already raised by its task.
                    Err(failed) => {
                        let refused = refused(py, &failures, &client, &failed.why(py));
                        return (client, Err(refused));
                    }
                };
                let decision = match read_decision(answer.bind(py)) {
                    Ok(Some(decision)) => decision,
                    Ok(None) => return (client, Err(Refused::default())),
                    Err(error) => {
                        let refused = refused(py, &failures, &client, &error);
                        failures.pass_on(py, error);
                        return (client, Err(refused));
                    }
                };
                decision.complete(&mut client, params);
                (client, Ok(()))
            });
            decided
                .await
                .unwrap_or_else(|_| (Client::default(), Err(Refused::default())))
        })
    }
}

/// Calls functions in the context of a client, if its span may be a parent.
struct Caller<'py> {
    py: Python<'py>,
    /// `contextvars.Context`; `None`: the current one.
    variables: Option<Py<PyAny>>,
}

impl<'py> Caller<'py> {
    /// The current context is that of the manager's start, or of another client.
    fn new(py: Python<'py>, spans: Option<&Spans>, client: &Client) -> PyResult<Self> {
        let variables = spans.map(|spans| match variables_of(client) {
            Some(variables) => variables.call_method0(py, intern!(py, "copy")),
            None => spans.variables(py),
        });
        let variables = variables.transpose()?;
        Ok(Self { py, variables })
    }

    fn call(
        &self,
        function: &Bound<'py, PyAny>,
        arguments: (&Bound<'py, PyAny>, Option<&Bound<'py, PyAny>>),
    ) -> PyResult<Bound<'py, PyAny>> {
        match (&self.variables, arguments) {
            (None, (first, None)) => function.call1((first,)),
            (None, (first, Some(second))) => function.call1((first, second)),
            (Some(variables), (first, second)) => {
                let run = intern!(self.py, "run");
                let variables = variables.bind(self.py);
                match second {
                    None => variables.call_method1(run, (function, first)),
                    Some(second) => variables.call_method1(run, (function, first, second)),
                }
            }
        }
    }
}

/// A hook that was called.
struct Asked {
    params: Py<PyAny>,
    answer: HookAnswer,
}

enum HookAnswer {
    /// The hook has returned.
    Ready(Py<PyAny>),
    /// Its coroutine runs.
    Running(RunningHook),
}

impl HookAnswer {
    async fn get(self) -> Result<Py<PyAny>, FailedHook> {
        let mut running = match self {
            Self::Ready(answer) => return Ok(answer),
            Self::Running(running) => running,
        };
        let answer = (&mut running.answer).await;
        answer.map_err(|error| FailedHook {
            task: running.task.clone(),
            error,
        })
    }
}

/// A hook whose task has raised or was cancelled.
struct FailedHook {
    task: Arc<Py<PyAny>>,
    error: PyErr,
}

impl FailedHook {
    /// Returns the exception to report: `CancelledError` only if the task was cancelled.
    fn why(self, py: Python<'_>) -> PyErr {
        let Self { task, error } = self;
        let why = py
            .import(intern!(py, "fraiseql_subs._resolving"))
            .and_then(|module| {
                module.call_method1(intern!(py, "hook_error"), (&*task, error.value(py)))
            });
        why.map_or_else(|error| error, PyErr::from_value)
    }
}

/// A hook whose task runs; dropped before it has answered, the task is cancelled.
struct RunningHook {
    id: TaskId,
    task: Arc<Py<PyAny>>,
    answer: BoxFuture<PyResult<Py<PyAny>>>,
    tasks: Arc<Tasks>,
    bridge: Arc<Bridge>,
}

impl RunningHook {
    /// Runs the awaitable that a hook returned on the event loop; called on its thread.
    fn start<'py>(
        caller: &Caller<'py>,
        bridge: &Arc<Bridge>,
        tasks: &Arc<Tasks>,
        awaitable: &Bound<'py, PyAny>,
    ) -> PyResult<Self> {
        let py = caller.py;
        let event_loop = bridge.event_loop(py);
        let module = py.import(intern!(py, "fraiseql_subs._resolving"))?;
        let start = module.getattr(intern!(py, "start_hook"))?;
        let task = caller.call(&start, (event_loop, Some(awaitable)))?;
        let id = TaskId::next_hook();
        tasks.hold_to_end(id, &task, "authenticate".to_owned())?;
        let locals = TaskLocals::new(event_loop.clone()).copy_context(py)?;
        Ok(Self {
            id,
            answer: Box::pin(into_future_with_locals(&locals, task.clone())?),
            task: Arc::new(task.unbind()),
            tasks: tasks.clone(),
            bridge: bridge.clone(),
        })
    }
}

impl Drop for RunningHook {
    fn drop(&mut self) {
        let (tasks, id) = (self.tasks.clone(), self.id);
        if tasks.is_held(id) {
            self.bridge.push(Box::new(move |py| tasks.cancel(py, id)));
        }
    }
}

fn ask(
    caller: &Caller<'_>,
    bridge: &Arc<Bridge>,
    tasks: &Arc<Tasks>,
    hook: &Py<PyAny>,
    client: &Client,
) -> PyResult<Asked> {
    let py = caller.py;
    let params = connection_params(py, client)?;
    let result = caller.call(hook.bind(py), (&params, None))?;
    let answer = if result.hasattr(intern!(py, "__await__"))? {
        HookAnswer::Running(RunningHook::start(caller, bridge, tasks, &result)?)
    } else {
        HookAnswer::Ready(result.unbind())
    };
    Ok(Asked {
        params: params.unbind(),
        answer,
    })
}

/// The hook's decision for an accepted client.
struct Decision {
    /// The identity; `None`: the client keeps its previous identity.
    identity: Option<ReadIdentity>,
    ack: Option<JsonObject>,
}

/// Reads an identity, or an `Accepted` with one; `None` refuses.
fn read_decision(object: &Bound<'_, PyAny>) -> PyResult<Option<Decision>> {
    let py = object.py();
    let accepted = py.import("fraiseql_subs.config")?.getattr("Accepted")?;
    if !object.is_instance(&accepted)? {
        let identity = read_identity(object)?;
        return Ok(identity.map(|identity| Decision {
            identity: Some(identity),
            ack: None,
        }));
    }
    let payload = object.getattr("ack_payload")?;
    let ack = to_json_map(Some(&payload))
        .map_err(|error| error.into_error(py, "Accepted.ack_payload", config_error))?;
    Ok(Some(Decision {
        identity: read_identity(&object.getattr("identity")?)?,
        ack: (!payload.is_none()).then(|| JsonObject::from(&ack)),
    }))
}

impl Decision {
    /// Stores the decision in a client.
    fn complete(self, client: &mut Client, params: Py<PyAny>) {
        client.ack = self.ack;
        let object = self.identity.map(|mut read| {
            // The hook's identity may expire before the token, not after it.
            let token = client.identity.as_ref().and_then(|token| token.expires_at);
            let hook = read.identity.expires_at;
            read.identity.expires_at = match (token, hook) {
                (Some(token), Some(hook)) => Some(token.min(hook)),
                (token, hook) => token.or(hook),
            };
            client.identity = Some(Box::new(read.identity));
            read.object
        });
        // The values of an adapter are kept.
        let known = client.host.take().and_then(|host| host.downcast().ok());
        let host = HostClient {
            identity: object,
            params: params.into(),
            ..known.map_or_else(HostClient::default, |known| *known)
        };
        // `host` was taken before, so it is not set.
        client.host.set(Box::new(host)).ok();
    }
}

/// Returns the refusal for an exception of the hook: without a text, unless it was raised for the
/// client.
fn refused(py: Python<'_>, failures: &Failures, client: &Client, error: &PyErr) -> Refused {
    let exception = exception_of(py, error);
    let told = failures.told(&exception);
    // A `CancelledError` here means that the client has disconnected, or the event loop ends.
    let is_cancelled = error.is_instance_of::<CancelledError>(py);
    if told.is_none() && !is_cancelled {
        failures.log(
            "authenticate raised; the client was refused",
            &exception,
            None,
            FaultOwner {
                client: Some(client),
                ..FaultOwner::default()
            },
        );
    }
    let error = told.map(|told| {
        let mut error = JsonMap::new();
        error.insert("message".to_owned(), told.message.into());
        if !told.extensions.is_empty() {
            error.insert("extensions".to_owned(), told.extensions.into());
        }
        error
    });
    Refused { error }
}
