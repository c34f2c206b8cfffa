//! Converts Rust errors to Python exceptions; the only place that does.

use bus::publishing::{Outcome, PublishError};
use bus::{BatchError, BusError};
use graphql::{GraphQLError, SchemaError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use runtime::{DefinitionError, RuntimeError};
use security::{JwtConfigError, RuleError};
use server::{ServerError, TlsError};
use std::fmt::Display;

use crate::describe::describe;
use crate::not_json::LONE_SURROGATE;

/// The exception classes, which are written in Python.
pub(crate) mod exceptions {
    use pyo3::import_exception;

    import_exception!(fraiseql_subs.errors, BusError);
    import_exception!(fraiseql_subs.errors, ConfigurationError);
    import_exception!(fraiseql_subs.errors, GraphQLError);
    import_exception!(fraiseql_subs.errors, ManagerClosed);
    import_exception!(fraiseql_subs.errors, PublishError);
    import_exception!(fraiseql_subs.errors, SchemaError);
    import_exception!(fraiseql_subs.errors, ValidationError);
}

pub(crate) fn schema_error(error: &SchemaError) -> PyErr {
    exceptions::SchemaError::new_err(error.to_string())
}

pub(crate) fn definition_error(error: &DefinitionError) -> PyErr {
    exceptions::SchemaError::new_err(error.to_string())
}

pub(crate) fn rule_error(error: &RuleError) -> PyErr {
    exceptions::ConfigurationError::new_err(error.to_string())
}

pub(crate) fn jwt_error(error: &JwtConfigError) -> PyErr {
    exceptions::ConfigurationError::new_err(format!("Security.jwt: {error}"))
}

pub(crate) fn bus_error(error: &BusError) -> PyErr {
    told(error, error.to_string())
}

/// Returns the exception for a batch of which nothing was published; it names the event.
pub(crate) fn batch_error(BatchError { index, error }: &BatchError) -> PyErr {
    let place = index.map(|index| format!("events[{index}]: "));
    told(error, format!("{}{error}", place.unwrap_or_default()))
}

fn told(error: &BusError, problem: String) -> PyErr {
    match error {
        BusError::Closed => manager_closed(),
        BusError::EmptyChannel
        | BusError::EmptyId
        | BusError::TenantConflict { .. }
        | BusError::Envelope(_) => publish_error(problem),
        BusError::Publish(PublishError::Closed) => manager_closed(),
        BusError::Publish(failed) => {
            let outcome = match failed.outcome() {
                Outcome::NotSent => "not_sent",
                Outcome::Unknown => "unknown",
            };
            exceptions::PublishError::new_err((problem, failed.is_retryable(), outcome))
        }
    }
}

pub(crate) fn runtime_error(error: &RuntimeError) -> PyErr {
    match error {
        RuntimeError::Closed => manager_closed(),
        RuntimeError::Thread(_) => exceptions::ConfigurationError::new_err(error.to_string()),
        RuntimeError::Bus(error) => bus_error(error),
    }
}

pub(crate) fn server_error(error: &ServerError) -> PyErr {
    match error {
        ServerError::Bind { .. } => exceptions::ConfigurationError::new_err(error.to_string()),
        ServerError::Closed => manager_closed(),
    }
}

pub(crate) fn tls_error(error: &TlsError) -> PyErr {
    exceptions::ConfigurationError::new_err(format!("TLS: {error}"))
}

pub(crate) fn manager_closed() -> PyErr {
    exceptions::ManagerClosed::new_err(
        "the manager is closed: `close()` was called, or the `async with` was left that had started it. Keep one `async with manager`, or a server, open for as long as the program uses the manager; or call `await manager.start()` again",
    )
}

/// Returns a `PublishError`.
pub(crate) fn publish_error(problem: String) -> PyErr {
    exceptions::PublishError::new_err(problem)
}

/// Returns a `ConfigurationError`.
pub(crate) fn config_error(problem: String) -> PyErr {
    exceptions::ConfigurationError::new_err(problem)
}

/// Returns the text of a parameter; `refuse` creates the exception if it cannot be read.
pub(crate) fn text<'a>(
    value: &'a Bound<'_, PyAny>,
    name: impl Display,
    refuse: fn(String) -> PyErr,
) -> PyResult<&'a str> {
    let text = value
        .cast::<PyString>()
        .map_err(|_| refuse(format!("{name}: pass a string, not {}", describe(value))))?;
    text.to_str()
        .map_err(|_| refuse(format!("{name}: {LONE_SURROGATE}")))
}

/// Returns the text of an optional parameter.
pub(crate) fn optional_text<'a>(
    value: Option<&'a Bound<'_, PyAny>>,
    name: impl Display,
    refuse: fn(String) -> PyErr,
) -> PyResult<Option<&'a str>> {
    value
        .filter(|value| !value.is_none())
        .map(|value| text(value, name, refuse))
        .transpose()
}

/// Returns the exception for a refused document; `errors`: the JSON array that a client would
/// receive.
pub(crate) fn validation_error(py: Python<'_>, errors: &[u8]) -> PyErr {
    match parsed(py, errors) {
        Ok((message, errors)) => exceptions::ValidationError::new_err((message, errors)),
        Err(error) => error,
    }
}

fn parsed(py: Python<'_>, errors: &[u8]) -> PyResult<(String, Py<PyAny>)> {
    let errors = py.import("json")?.call_method1("loads", (errors,))?;
    let messages = errors
        .try_iter()?
        .map(|error| error?.get_item("message")?.extract::<String>())
        .collect::<PyResult<Vec<_>>>()?;
    Ok((messages.join("; "), errors.unbind()))
}

pub(crate) fn request_errors(py: Python<'_>, errors: &[GraphQLError]) -> PyErr {
    validation_error(py, &graphql::errors_to_json(errors))
}
