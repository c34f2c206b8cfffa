//! The `Call` object: one call of a subscription whose resolver has `batch=True`.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::event::PyEvent;

/// What one subscriber asks of a batch: its event, its arguments, and who it is.
#[pyclass(name = "Call", module = "fraiseql_subs", frozen)]
pub(crate) struct PyCall {
    pub(crate) event: Py<PyEvent>,
    pub(crate) variables: Py<PyAny>,
    /// `None`: the call answers several clients, or a test has made it without one.
    pub(crate) context: Option<Py<PyAny>>,
}

#[pymethods]
impl PyCall {
    /// Creates a call for tests of a resolver.
    #[new]
    #[pyo3(signature = (event, variables=None, context=None))]
    fn make(
        py: Python<'_>,
        event: Py<PyEvent>,
        variables: Option<Py<PyAny>>,
        context: Option<Py<PyAny>>,
    ) -> Self {
        Self {
            event,
            variables: variables.unwrap_or_else(|| PyDict::new(py).into_any().unbind()),
            context,
        }
    }

    /// The event; calls for one event may have the same object.
    #[getter]
    fn event(&self, py: Python<'_>) -> Py<PyEvent> {
        self.event.clone_ref(py)
    }

    /// The arguments of the subscriber.
    #[getter]
    fn variables(&self, py: Python<'_>) -> Py<PyAny> {
        self.variables.clone_ref(py)
    }

    /// The client and operation.
    #[getter]
    fn context(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let context = self.context.as_ref().map(|context| context.clone_ref(py));
        context.ok_or_else(|| {
            PyAttributeError::new_err(
                "this call has no context: with shared=True it answers several clients; in a test, pass one: Call(event, variables, Context(identity=...))",
            )
        })
    }

    /// Supports annotations such as `Call[Arguments]`.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((cls, item))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (event, variables) = (self.event.bind(py).repr()?, self.variables.bind(py).repr()?);
        Ok(format!("<Call for {event} with {variables}>"))
    }
}
