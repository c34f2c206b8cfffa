//! The `authenticate` hook, which says on the event loop who a client is.

use std::sync::Arc;

use graphql::JsonMap;
use protocol::JsonObject;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3_async_runtimes::{TaskLocals, into_future_with_locals};
use runtime::{Authenticator, BoxFuture, Client, Refused};

use crate::bridge::Bridge;
use crate::client::{Found, HostClient, connection_params, read_identity};
use crate::error::exceptions;
use crate::failure::{Failures, exception_of};
use crate::json::to_json_map;

/// Asks an `authenticate` hook.
pub(crate) struct PyAuthenticator {
    pub(crate) hook: Arc<Py<PyAny>>,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) failures: Arc<Failures>,
}

impl Authenticator for PyAuthenticator {
    /// Dropped, it cancels the hook.
    fn authenticate(&self, mut client: Client) -> BoxFuture<(Client, Result<(), Refused>)> {
        let (hook, bridge) = (self.hook.clone(), self.bridge.clone());
        let failures = self.failures.clone();
        Box::pin(async move {
            let asking = bridge.clone();
            let telling = failures.clone();
            let asked = bridge.run(move |py| match ask(py, &asking, &hook, &client) {
                Ok(asked) => {
                    // What the hook and resolvers read of it is in `params` from now on.
                    client.forget_head();
                    Ok((asked, client))
                }
                Err(error) => Err(refused(py, &telling, error)),
            });
            let (asked, mut client) = match asked.await {
                Ok(Ok(asked)) => asked,
                Ok(Err(refused)) => return (Client::default(), Err(refused)),
                Err(_) => return (Client::default(), Err(Refused::default())),
            };
            let Asked { params, answer } = asked;
            let answer = answer.get().await;
            let decided = bridge.run(move |py| {
                let decision = match answer.and_then(|answer| read_decision(answer.bind(py))) {
                    Ok(Some(decision)) => decision,
                    Ok(None) => return (client, Err(Refused::default())),
                    Err(error) => return (client, Err(refused(py, &failures, error))),
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

/// A hook that was called.
struct Asked {
    params: Py<PyAny>,
    answer: Answer,
}

enum Answer {
    /// It has returned.
    Ready(Py<PyAny>),
    /// Its coroutine runs.
    Running(Running),
}

impl Answer {
    async fn get(self) -> PyResult<Py<PyAny>> {
        match self {
            Self::Ready(answer) => Ok(answer),
            Self::Running(mut running) => running.answer().await,
        }
    }
}

/// The task of a hook; dropped before it has ended, it is cancelled.
struct Running {
    task: Option<Py<PyAny>>,
    answer: BoxFuture<PyResult<Py<PyAny>>>,
    bridge: Arc<Bridge>,
}

impl Running {
    /// Starts a task on the event loop, on whose thread this is called.
    fn start(bridge: &Arc<Bridge>, awaitable: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = awaitable.py();
        let asyncio = py.import(intern!(py, "asyncio"))?;
        let task = asyncio.call_method1(intern!(py, "ensure_future"), (awaitable,))?;
        let locals = TaskLocals::new(bridge.event_loop(py).clone()).copy_context(py)?;
        Ok(Self {
            task: Some(task.clone().unbind()),
            answer: Box::pin(into_future_with_locals(&locals, task)?),
            bridge: bridge.clone(),
        })
    }

    async fn answer(&mut self) -> PyResult<Py<PyAny>> {
        let answer = (&mut self.answer).await;
        self.task = None;
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        self.bridge.push(Box::new(move |py| {
            if let Err(error) = task.call_method0(py, intern!(py, "cancel")) {
                error.write_unraisable(py, Some(task.bind(py)));
            }
        }));
    }
}

fn ask(py: Python<'_>, bridge: &Arc<Bridge>, hook: &Py<PyAny>, client: &Client) -> PyResult<Asked> {
    let params = connection_params(py, client)?;
    let result = hook.bind(py).call1((&params,))?;
    let answer = if result.hasattr(intern!(py, "__await__"))? {
        Answer::Running(Running::start(bridge, &result)?)
    } else {
        Answer::Ready(result.unbind())
    };
    Ok(Asked {
        params: params.unbind(),
        answer,
    })
}

/// What the hook decided about a client that it lets in.
struct Decision {
    /// `None`: who the client is stays as it was known before.
    found: Option<Found>,
    ack: Option<JsonObject>,
}

/// Reads an identity, or an `Accepted` with one; `None` refuses.
fn read_decision(object: &Bound<'_, PyAny>) -> PyResult<Option<Decision>> {
    let py = object.py();
    let accepted = py.import("fraiseql_subs.config")?.getattr("Accepted")?;
    if !object.is_instance(&accepted)? {
        let found = read_identity(object)?;
        return Ok(found.map(|found| Decision {
            found: Some(found),
            ack: None,
        }));
    }
    let payload = object.getattr("ack_payload")?;
    let ack = to_json_map(Some(&payload)).map_err(|error| {
        exceptions::ConfigurationError::new_err(error.message("Accepted.ack_payload"))
    })?;
    Ok(Some(Decision {
        found: read_identity(&object.getattr("identity")?)?,
        ack: (!payload.is_none()).then(|| JsonObject::from(&ack)),
    }))
}

impl Decision {
    /// Notes in a client what is known of it now.
    fn complete(self, client: &mut Client, params: Py<PyAny>) {
        client.ack = self.ack;
        let object = self.found.map(|mut found| {
            // What the hook says may end before the token does, not after.
            let token = client.identity.as_ref().and_then(|token| token.expires_at);
            let hook = found.identity.expires_at;
            found.identity.expires_at = match (token, hook) {
                (Some(token), Some(hook)) => Some(token.min(hook)),
                (token, hook) => token.or(hook),
            };
            client.identity = Some(found.identity);
            found.object
        });
        // What an adapter told stays.
        let known = client.host.take().and_then(|host| host.downcast().ok());
        let host = HostClient {
            identity: object,
            params: params.into(),
            ..known.map_or_else(HostClient::default, |known| *known)
        };
        // It was taken before.
        client.host.set(Box::new(host)).ok();
    }
}

/// What the client is told of an exception of the hook: nothing, unless it was raised for it.
fn refused(py: Python<'_>, failures: &Failures, error: PyErr) -> Refused {
    let exception = exception_of(py, &error);
    let told = failures.told(&exception);
    if told.is_none() {
        failures.log(
            "authenticate raised; the client was refused",
            &exception,
            None,
        );
    }
    failures.pass_on(py, error);
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
