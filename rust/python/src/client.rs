//! The Python objects of a client: context, parameters, identity.
//!
//! Not here: the `authenticate` hook (`hook`).

use std::sync::OnceLock;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use runtime::{Client, SubscriptionInfo};
use security::Identity;

use crate::error::{config_error, text as text_of};
use crate::json::{map_to_python, to_json_map};
use crate::json_text::text_to_python;

/// Python objects that are stored with a client.
#[derive(Default)]
pub(crate) struct HostClient {
    /// The identity that the hook returned.
    pub(crate) identity: Option<Py<PyAny>>,
    /// `ConnectionParams`, created at their first use.
    pub(crate) params: OnceLock<Py<PyAny>>,
    /// `context=` of an in-process subscription.
    pub(crate) value: Option<Py<PyAny>>,
    /// Context variables of an in-process `subscribe`.
    pub(crate) variables: Option<Py<PyAny>>,
}

/// Returns a copy of the current `contextvars.Context`.
pub(crate) fn context_variables(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "contextvars"))?
        .call_method0(intern!(py, "copy_context"))
}

/// Returns the context variables of an operation's `subscribe`.
pub(crate) fn variables_of(client: &Client) -> Option<&Py<PyAny>> {
    client
        .host
        .get()?
        .downcast_ref::<HostClient>()?
        .variables
        .as_ref()
}

/// Returns the identity that the hook returned for a client.
pub(crate) fn identity_of(client: &Client) -> Option<&Py<PyAny>> {
    client
        .host
        .get()?
        .downcast_ref::<HostClient>()?
        .identity
        .as_ref()
}

/// Creates the `Context` of a subscription.
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
    let params = params_of(py, client)?;
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

/// Creates the `Identity` of a token.
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

/// Returns the `ConnectionParams` of a client, which are created once.
fn params_of<'py>(py: Python<'py>, client: &Client) -> PyResult<Bound<'py, PyAny>> {
    let host = client.host.get_or_init(|| Box::<HostClient>::default());
    let known = host.downcast_ref::<HostClient>().map(|host| &host.params);
    if let Some(params) = known.and_then(OnceLock::get) {
        return Ok(params.clone_ref(py).into_bound(py));
    }
    let params = connection_params(py, client)?;
    if let Some(known) = known {
        // Only the event loop's thread creates them.
        known.set(params.clone().unbind()).ok();
    }
    Ok(params)
}

pub(crate) fn connection_params<'py>(
    py: Python<'py>,
    client: &Client,
) -> PyResult<Bound<'py, PyAny>> {
    let headers = PyDict::new(py);
    for (name, value) in client.headers.iter() {
        // A repeated header is one list (RFC 9110, section 5.3).
        let separator = if name == "cookie" { "; " } else { ", " };
        match headers.get_item(name)? {
            Some(first) => headers.set_item(name, format!("{first}{separator}{value}"))?,
            None => headers.set_item(name, value)?,
        }
    }
    let arguments = PyDict::new(py);
    // The payload is now kept as objects, so its text is dropped.
    let payload = client.connection_params.lock().take();
    let payload = payload.map(|payload| text_to_python(py, payload.text()));
    arguments.set_item("payload", payload.transpose()?)?;
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
    let identity = client.identity.as_deref();
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

/// An identity, in the forms for the core and for Python.
pub(crate) struct ReadIdentity {
    pub(crate) identity: Identity,
    pub(crate) object: Py<PyAny>,
}

/// Reads an `Identity`, or a mapping with its members; `None` refuses.
pub(crate) fn read_identity(object: &Bound<'_, PyAny>) -> PyResult<Option<ReadIdentity>> {
    if object.is_none() {
        return Ok(None);
    }
    let config = object.py().import("fraiseql_subs.config")?;
    // The same checks apply to every form.
    let checked = config.getattr("as_identity")?.call1((object,))?;
    let member = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        Ok(Some(checked.getattr(name)?).filter(|value| !value.is_none()))
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
    let claims = to_json_map(member("claims")?.as_ref());
    let user_id = text("user_id")?.filter(|id| !id.is_empty());
    let user_id =
        user_id.ok_or_else(|| config_error("an identity needs a `user_id`".to_owned()))?;
    let identity = Identity {
        user_id,
        tenant_id: text("tenant_id")?,
        roles: texts("roles")?,
        permissions: texts("permissions")?,
        claims: claims.map_err(|error| error.into_error(object.py(), "claims", config_error))?,
        expires_at: member("expires_at")?
            .map(|value| value.extract())
            .transpose()?,
    };
    Ok(Some(ReadIdentity {
        identity,
        object: object.clone().unbind(),
    }))
}
