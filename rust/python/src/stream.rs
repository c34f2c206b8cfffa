//! The responses of one in-process subscription.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use runtime::{Response, ResponseStream};

use crate::error::validation_error;
use crate::future::{AtEnd, Promise};
use crate::running::Running;

/// Returns serialised responses; dropping it ends its subscription.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct Responses {
    id: String,
    stream: Arc<ResponseStream>,
    running: Weak<Running>,
}

impl Responses {
    pub(crate) fn new(id: String, stream: Arc<ResponseStream>, running: Weak<Running>) -> Self {
        Self {
            id,
            stream,
            running,
        }
    }

    fn end(&self) {
        if let Some(running) = self.running.upgrade()
            && !running.is_foreign()
        {
            running.runtime.complete(&self.id, &self.stream);
        }
    }
}

impl Drop for Responses {
    fn drop(&mut self) {
        self.end();
    }
}

#[pymethods]
impl Responses {
    /// Id of the subscription.
    #[getter]
    fn id(&self) -> &str {
        &self.id
    }

    /// Returns the next response as bytes of JSON, `None` once the subscription has ended, or a
    /// future to await before the next call if there is none yet.
    ///
    /// Raises `ValidationError` if the subscription ended with errors.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let promise = Promise::new(py)?;
        let future = promise.future(py);
        let bridge = self.running.upgrade().map(|running| running.bridge.clone());
        let bridge = bridge.filter(|bridge| !bridge.is_closed());
        let is_running = bridge.is_some();
        let taken = self.stream.take_or_wait(move || match bridge {
            Some(bridge) => bridge.keep(py, promise, AtEnd::Look).into_callback(),
            None => Box::new(|| {}),
        });
        match taken {
            Some(Response::Next(response)) => {
                Ok(Some(PyBytes::new(py, &response).into_any().unbind()))
            }
            Some(Response::Complete) => Ok(None),
            Some(Response::Error(errors)) => Err(validation_error(py, &errors)),
            // All responses that were left when the manager closed have been returned.
            None if !is_running => Ok(None),
            None => Ok(Some(future.unbind())),
        }
    }

    /// Ends the subscription.
    fn close(&self) {
        self.end();
    }
}
