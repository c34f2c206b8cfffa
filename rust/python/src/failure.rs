//! Handles exceptions: returns the part for the client, logs the rest, and propagates those that
//! end the program.

use std::sync::Arc;

use crate::exit::is_exit;
use bus::EventId;
use graphql::{Fault, FieldFault, ResolverError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use runtime::Client;
use security::Identity;

use crate::bridge::Bridge;
use crate::error::config_error;
use crate::json::to_json_map;

/// Message that the client receives for a masked exception.
pub(crate) const INTERNAL_ERROR: &str = "Internal server error";

/// Whose fault it is, for the fields of its record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FaultOwner<'a> {
    pub(crate) client: Option<&'a Client>,
    pub(crate) operation: Option<&'a str>,
    pub(crate) field: Option<&'a str>,
    pub(crate) event: Option<&'a EventId>,
}

impl FaultOwner<'_> {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let identity = self.client.and_then(|client| client.identity.as_deref());
        let event = self.event.map(EventId::text);
        let known = [
            (
                "connection",
                self.client.map(|client| &*client.connection_id),
            ),
            ("operation", self.operation),
            ("field", self.field),
            ("event", event.as_deref()),
            ("user", identity.map(|identity| &*identity.user_id)),
            ("tenant", identity.and_then(Identity::tenant)),
        ];
        let fields = PyDict::new(py);
        for (name, value) in known {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                fields.set_item(name, value)?;
            }
        }
        Ok(fields)
    }
}

/// Handles the exceptions of one started manager.
pub(crate) struct Failures {
    client_error: Py<PyAny>,
    faults: Py<PyAny>,
    bridge: Arc<Bridge>,
    debug: bool,
}

impl Failures {
    /// Looks up the Python functions that decide and that log.
    pub(crate) fn new(py: Python<'_>, bridge: Arc<Bridge>, debug: bool) -> PyResult<Self> {
        let find = |module: &str, name: &str| py.import(module)?.getattr(name).map(Bound::unbind);
        Ok(Self {
            client_error: find("fraiseql_subs._client_errors", "client_error")?,
            faults: find("fraiseql_subs._faults", "faults")?,
            bridge,
            debug,
        })
    }

    /// Whether clients receive the texts for the log.
    pub(crate) fn is_debug(&self) -> bool {
        self.debug
    }

    /// Returns the client's error for an exception. Logs a masked exception as `what`.
    pub(crate) fn describe(
        &self,
        what: &str,
        exception: &Bound<'_, PyAny>,
        of: FaultOwner<'_>,
    ) -> ResolverError {
        self.told(exception)
            .unwrap_or_else(|| self.unexpected(what, exception, of))
    }

    /// Logs an exception that is not meant for the client as `what`. Returns the error that masks it.
    pub(crate) fn unexpected(
        &self,
        what: &str,
        exception: &Bound<'_, PyAny>,
        of: FaultOwner<'_>,
    ) -> ResolverError {
        self.log(what, exception, None, of);
        self.masked(exception)
    }

    /// Returns the client's error for an exception that reading a field raised.
    pub(crate) fn of_field(&self, py: Python<'_>, problem: String, error: PyErr) -> ResolverError {
        if is_exit(py, &error) {
            self.bridge.interrupt(error);
            return ResolverError::new(INTERNAL_ERROR);
        }
        let exception = &exception_of(py, &error);
        self.told(exception).unwrap_or_else(|| {
            self.masked(exception).with_fault(Fault {
                problem,
                detail: String::new(),
                cause: Some(Arc::new(error)),
            })
        })
    }

    /// Passes an exception that ends the program on to the event loop.
    pub(crate) fn pass_on(&self, py: Python<'_>, error: PyErr) {
        if is_exit(py, &error) {
            self.bridge.interrupt(error);
        }
    }

    /// Handles that a log handler raised.
    fn not_written(&self, py: Python<'_>, error: PyErr) {
        if is_exit(py, &error) {
            self.bridge.interrupt(error);
        } else {
            error.write_unraisable(py, None);
        }
    }

    /// Logs an exception.
    pub(crate) fn log(
        &self,
        what: &str,
        exception: &Bound<'_, PyAny>,
        path: Option<&str>,
        of: FaultOwner<'_>,
    ) {
        let py = exception.py();
        let logged = of.fields(py).and_then(|fields| {
            self.faults
                .call_method1(py, "raised", (what, exception, path, fields))
        });
        if let Err(error) = logged {
            self.not_written(py, error);
        }
    }

    /// Logs the faults of one result.
    pub(crate) fn report(&self, py: Python<'_>, faults: &[FieldFault], of: FaultOwner<'_>) {
        for met in faults {
            let (path, problem) = (met.path_text(), &met.fault.problem);
            let cause = met.fault.cause.as_ref();
            if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<PyErr>()) {
                let what = format!("{problem} {} raised", met.field);
                let of = FaultOwner {
                    field: Some(&met.field),
                    ..of
                };
                self.log(&what, &exception_of(py, error), Some(&path), of);
                continue;
            }
            let logged = of.fields(py).and_then(|fields| {
                let arguments = (
                    &met.field,
                    problem,
                    &met.fault.detail,
                    path,
                    met.count,
                    fields,
                );
                self.faults.call_method1(py, "misfit", arguments)
            });
            if let Err(error) = logged {
                self.not_written(py, error);
            }
        }
    }

    /// Logs the remaining counts when the manager ends.
    pub(crate) fn flush(&self, py: Python<'_>) {
        if let Err(error) = self.faults.call_method0(py, "flush") {
            error.write_unraisable(py, None);
        }
    }

    /// Returns the client's error if the exception is meant for the client.
    pub(crate) fn told(&self, exception: &Bound<'_, PyAny>) -> Option<ResolverError> {
        let py = exception.py();
        let read = || -> PyResult<Option<ResolverError>> {
            let told = self.client_error.bind(py).call1((exception,))?;
            if told.is_none() {
                return Ok(None);
            }
            let told = told.cast_into::<PyDict>()?;
            let message: String = match told.get_item("message")? {
                Some(message) => message.str()?.to_string_lossy().into_owned(),
                None => String::new(),
            };
            let extensions = told.get_item("extensions")?;
            let extensions = to_json_map(extensions.as_ref())
                .map_err(|error| error.into_error(py, "extensions", config_error))?;
            Ok(Some(
                ResolverError::new(message).with_extensions(extensions),
            ))
        };
        read().unwrap_or_else(|error| {
            self.log(
                "an error for the client cannot be sent",
                &exception_of(py, &error),
                None,
                FaultOwner::default(),
            );
            self.pass_on(py, error);
            None
        })
    }

    fn masked(&self, exception: &Bound<'_, PyAny>) -> ResolverError {
        let text = || -> PyResult<String> {
            let class = exception.get_type().name()?;
            Ok(format!("{class}: {}", exception.str()?.to_string_lossy()))
        };
        let text = self.debug.then(|| {
            text().unwrap_or_else(|error| {
                self.pass_on(exception.py(), error);
                INTERNAL_ERROR.to_owned()
            })
        });
        ResolverError::new(text.unwrap_or_else(|| INTERNAL_ERROR.to_owned()))
    }
}

/// Returns the exception with its traceback.
pub(crate) fn exception_of<'py>(py: Python<'py>, error: &PyErr) -> Bound<'py, PyAny> {
    error.clone_ref(py).into_value(py).into_bound(py).into_any()
}
