//! The client of an operation as Python sees it, and the hook that says who it is.

use std::sync::Arc;

use graphql::JsonMap;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use runtime::{Authenticator, BoxFuture, Client, Refused, SubscriptionInfo};
use security::Identity;

use crate::bridge::Bridge;
use crate::error::{config_error, manager_closed, text as text_of};
use crate::failure::{Failures, exception_of};
use crate::hook::Hooks;
use crate::json::{map_to_python, to_json_map};

/// Python objects kept with a client.
#[derive(Default)]
pub(crate) struct HostClient {
    /// What the hook returned.
    pub(crate) identity: Option<Py<PyAny>>,
    /// `ConnectionParams` that the hook was given.
    pub(crate) params: Option<Py<PyAny>>,
    /// `context=` of an in-process subscription.
    pub(crate) value: Option<Py<PyAny>>,
    /// Context variables at an in-process `subscribe`.
    pub(crate) variables: Option<Py<PyAny>>,
}

/// A copy of the current `contextvars.Context`.
pub(crate) fn context_variables(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "contextvars"))?
        .call_method0(intern!(py, "copy_context"))
}

/// The context variables that an operation was subscribed with.
pub(crate) fn variables_of(client: &Client) -> Option<&Py<PyAny>> {
    client
        .host
        .get()?
        .downcast_ref::<HostClient>()?
        .variables
        .as_ref()
}

/// What the hook returned for a client.
pub(crate) fn identity_of(client: &Client) -> Option<&Py<PyAny>> {
    client
        .host
        .get()?
        .downcast_ref::<HostClient>()?
        .identity
        .as_ref()
}

/// Makes the `Context` of a subscription.
pub(crate) fn context<'py>(
    py: Python<'py>,
    subscription: &SubscriptionInfo,
) -> PyResult<Bound<'py, PyAny>> {
    let client = &subscription.client;
    let host = client
        .host
        .get()
        .and_then(|host| host.downcast_ref::<HostClient>());
    let connection_id = (!client.connection_id.is_empty()).then_some(&client.connection_id);
    let params = match host.and_then(|host| host.params.as_ref()) {
        Some(params) => params.clone_ref(py).into_bound(py),
        None => connection_params(py, client)?,
    };
    let arguments = PyDict::new(py);
    let identity = match (host.and_then(|h| h.identity.as_ref()), &client.identity) {
        (Some(object), _) => Some(object.clone_ref(py).into_bound(py)),
        (None, Some(identity)) => Some(identity_object(py, identity)?),
        (None, None) => None,
    };
    arguments.set_item("identity", identity)?;
    arguments.set_item("connection_id", connection_id)?;
    arguments.set_item("operation_name", subscription.operation_name.as_deref())?;
    arguments.set_item("params", params)?;
    arguments.set_item("value", host.and_then(|host| host.value.as_ref()))?;
    py.import("fraiseql_subs.types")?
        .getattr("Context")?
        .call((), Some(&arguments))
}

/// The `Identity` that a token has told.
fn identity_object<'py>(py: Python<'py>, identity: &Identity) -> PyResult<Bound<'py, PyAny>> {
    let arguments = PyDict::new(py);
    arguments.set_item("user_id", &identity.user_id)?;
    arguments.set_item("tenant_id", &identity.tenant_id)?;
    arguments.set_item("roles", &identity.roles)?;
    arguments.set_item("permissions", &identity.permissions)?;
    arguments.set_item("claims", map_to_python(py, &identity.claims)?)?;
    arguments.set_item("expires_at", identity.expires_at)?;
    py.import("fraiseql_subs.config")?
        .getattr("Identity")?
        .call((), Some(&arguments))
}

fn connection_params<'py>(py: Python<'py>, client: &Client) -> PyResult<Bound<'py, PyAny>> {
    let headers = PyDict::new(py);
    for (name, value) in client.headers.iter() {
        // A header that is repeated is one list (RFC 9110, section 5.3).
        let separator = if name == "cookie" { "; " } else { ", " };
        match headers.get_item(name)? {
            Some(first) => headers.set_item(name, format!("{first}{separator}{value}"))?,
            None => headers.set_item(name, value)?,
        }
    }
    let arguments = PyDict::new(py);
    let payload = client.connection_params.as_ref();
    arguments.set_item(
        "payload",
        payload.map(|map| map_to_python(py, map)).transpose()?,
    )?;
    arguments.set_item("headers", headers)?;
    let query = PyDict::new(py);
    for (name, value) in client.parameters() {
        if !query.contains(&name)? {
            query.set_item(name, value)?;
        }
    }
    arguments.set_item("query", query)?;
    arguments.set_item("query_string", &client.query)?;
    arguments.set_item("remote_address", &client.peer)?;
    arguments.set_item("connection_id", &client.connection_id)?;
    let identity = client.identity.as_ref();
    let identity = identity.map(|identity| identity_object(py, identity));
    arguments.set_item("identity", identity.transpose()?)?;
    let host = client.host.get();
    let host = host.and_then(|host| host.downcast_ref::<HostClient>());
    arguments.set_item("context", host.and_then(|host| host.value.as_ref()))?;
    arguments.set_item("in_process", client.connection_id.is_empty())?;
    py.import("fraiseql_subs.config")?
        .getattr("ConnectionParams")?
        .call((), Some(&arguments))
}

/// Asks an `authenticate` hook on the event loop.
pub(crate) struct PyAuthenticator {
    pub(crate) hook: Arc<Py<PyAny>>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) failures: Arc<Failures>,
}

impl Authenticator for PyAuthenticator {
    fn authenticate(&self, client: Client) -> BoxFuture<(Client, Result<(), Refused>)> {
        let (hook, bridge) = (self.hook.clone(), self.bridge.clone());
        let (hooks, failures) = (self.hooks.clone(), self.failures.clone());
        Box::pin(async move {
            let asking = bridge.clone();
            let telling = failures.clone();
            let asked = bridge.run(move |py| {
                let asked = ask(py, &asking, &hooks, &hook, &client).map(|answer| (answer, client));
                asked.map_err(|error| {
                    let refused = refused(py, &telling, &error);
                    telling.pass_on(py, error);
                    refused
                })
            });
            let (answer, mut client) = match asked.await {
                Ok(Ok(asked)) => asked,
                Ok(Err(refused)) => return (Client::default(), Err(refused)),
                Err(_) => return (Client::default(), Err(Refused::default())),
            };
            let result = answer.future.await;
            let decided = bridge.run(move |py| {
                let result = match result {
                    Ok(result) => result,
                    // What ends the program was raised by its task already.
                    Err(error) => return (client, Err(refused(py, &failures, &error))),
                };
                let decision = match read_decision(result.bind(py)) {
                    Ok(Some(decision)) => decision,
                    Ok(None) => return (client, Err(Refused::default())),
                    Err(error) => {
                        let refused = refused(py, &failures, &error);
                        failures.pass_on(py, error);
                        return (client, Err(refused));
                    }
                };
                client.ack = decision.ack;
                let object = decision.found.map(|mut found| {
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
                // What resolvers read of them is in `params` from now on.
                client.forget_head();
                // What an adapter told stays.
                let known = client.host.take().and_then(|host| host.downcast().ok());
                let host = HostClient {
                    identity: object,
                    params: Some(answer.params),
                    ..known.map_or_else(HostClient::default, |known| *known)
                };
                // It was taken before.
                client.host.set(Box::new(host)).ok();
                (client, Ok(()))
            });
            decided
                .await
                .unwrap_or_else(|_| (Client::default(), Err(Refused::default())))
        })
    }
}

struct Answer {
    params: Py<PyAny>,
    future: BoxFuture<PyResult<Py<PyAny>>>,
}

fn ask(
    py: Python<'_>,
    bridge: &Bridge,
    hooks: &Arc<Hooks>,
    hook: &Py<PyAny>,
    client: &Client,
) -> PyResult<Answer> {
    let params = connection_params(py, client)?;
    let result = hook.bind(py).call1((&params,))?;
    let params = params.unbind();
    if !result.hasattr(intern!(py, "__await__"))? {
        let result = result.unbind();
        let future = Box::pin(std::future::ready(Ok(result)));
        return Ok(Answer { params, future });
    }
    let answer = hooks.run(bridge, &result)?;
    let future = Box::pin(async move { answer.await.unwrap_or_else(|_| Err(manager_closed())) });
    Ok(Answer { params, future })
}

/// An identity, for the core and for Python.
pub(crate) struct Found {
    pub(crate) identity: Identity,
    pub(crate) object: Py<PyAny>,
}

/// What the hook decided about a client that it lets in.
struct Decision {
    /// `None`: who the client is stays as it was known before.
    found: Option<Found>,
    ack: Option<JsonMap>,
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
    let ack = to_json_map(Some(&payload))
        .map_err(|error| error.into_error(py, "Accepted.ack_payload", config_error))?;
    Ok(Some(Decision {
        found: read_identity(&object.getattr("identity")?)?,
        ack: (!payload.is_none()).then_some(ack),
    }))
}

/// Reads an `Identity`, or a mapping with its members; `None` refuses.
pub(crate) fn read_identity(object: &Bound<'_, PyAny>) -> PyResult<Option<Found>> {
    if object.is_none() {
        return Ok(None);
    }
    let mapping = object.cast::<PyDict>().ok();
    let member = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        let found = match mapping {
            Some(mapping) => mapping.get_item(name)?,
            None => Some(object.getattr(name)?),
        };
        Ok(found.filter(|value| !value.is_none()))
    };
    let texts = |name: &str| -> PyResult<Vec<String>> {
        let Some(values) = member(name)? else {
            return Ok(Vec::new());
        };
        let one = |value: PyResult<_>| Ok(text_of(&value?, name, config_error)?.to_owned());
        values.try_iter()?.map(one).collect()
    };
    let text = |name: &str| -> PyResult<Option<String>> {
        member(name)?
            .map(|value| Ok(text_of(value.str()?.as_any(), name, config_error)?.to_owned()))
            .transpose()
    };
    let claims = match mapping {
        Some(mapping) => to_json_map(Some(mapping)),
        None => to_json_map(member("claims")?.as_ref()),
    };
    let identity = Identity {
        user_id: text("user_id")?.unwrap_or_default(),
        tenant_id: text("tenant_id")?,
        roles: texts("roles")?,
        permissions: texts("permissions")?,
        claims: claims.map_err(|error| error.into_error(object.py(), "claims", config_error))?,
        expires_at: member("expires_at")?
            .map(|value| value.extract())
            .transpose()?,
    };
    Ok(Some(Found {
        identity,
        object: object.clone().unbind(),
    }))
}

/// What the client is told of an exception of the hook: nothing, unless it was raised for it.
fn refused(py: Python<'_>, failures: &Failures, error: &PyErr) -> Refused {
    let exception = exception_of(py, error);
    let told = failures.told(&exception);
    if told.is_none() {
        failures.log(
            "authenticate raised; the client was refused",
            &exception,
            None,
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
