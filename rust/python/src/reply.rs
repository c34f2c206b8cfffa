//! Replies and refusals of executors as outcomes of a call.
//!
//! Not here: how calls are made, and how values become responses (`resolver`).

use graphql::{GraphQLError, ResolverError};
use pyo3::intern;
use pyo3::prelude::*;
use runtime::Outcome;

use crate::error::exceptions;
use crate::json::to_json;

/// Returns the errors with which an executor refused an operation.
pub(crate) fn refused_with(py: Python<'_>, exception: &Bound<'_, PyAny>) -> Option<Outcome> {
    let class = py.get_type::<exceptions::ValidationError>();
    if !exception.is_instance(&class).unwrap_or(false) {
        return None;
    }
    let errors = to_json(&exception.getattr(intern!(py, "errors")).ok()?).ok()?;
    let mut json = Vec::new();
    graphql::write_json(&errors, &mut json);
    Some(Outcome::Refused(json.into()))
}

/// `fraiseql_subs.delegate.Reply`.
#[derive(FromPyObject)]
pub(crate) struct PyReply<'py> {
    pub(crate) response: Bound<'py, PyAny>,
    pub(crate) is_refusal: bool,
    pub(crate) has_failed: bool,
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
}

/// Ends the subscription with an error.
pub(crate) fn refused(error: ResolverError) -> Outcome {
    let error = GraphQLError {
        extensions: error.extensions,
        ..GraphQLError::new(error.message)
    };
    Outcome::Refused(graphql::errors_to_json(&[error]).into())
}
