//! The event as a resolver sees it.

use std::sync::Arc;

use bus::Event;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};
use serde_json::Value;

use crate::json::to_python;

/// One published event: envelope as attributes, data also as a read-only mapping.
///
/// `event["status"]` reads a field of the data without building the rest of it;
/// `event.data` builds it whole, once for all resolvers of the event.
#[pyclass(name = "Event", module = "fraiseql_subs", frozen, mapping)]
pub(crate) struct PyEvent(Arc<Event>);

impl PyEvent {
    pub(crate) fn new(event: Arc<Event>) -> Self {
        Self(event)
    }

    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.0
    }

    /// The whole data, kept with the event so that it is built once.
    fn whole<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let kept = |event: &Event| {
            event
                .host
                .get()?
                .downcast_ref::<Py<PyAny>>()
                .map(|d| d.clone_ref(py))
        };
        if let Some(data) = kept(&self.0) {
            return Ok(data.into_bound(py));
        }
        let data = to_python(py, &self.0.data)?;
        // Another thread may have been first; then its object is the one.
        self.0.host.set(Box::new(data.clone().unbind())).ok();
        Ok(kept(&self.0).map_or(data, |data| data.into_bound(py)))
    }

    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.whole(py)?.cast_into::<PyDict>().map_err(|_| {
            PyTypeError::new_err("the data of this event is no object: read it as `event.data`")
        })
    }

    fn find(&self, key: &str) -> Option<&Value> {
        self.0.data.as_object()?.get(key)
    }

    fn field<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.find(key) {
            None => Ok(None),
            // Reading it twice has to give the same object.
            Some(Value::Array(_) | Value::Object(_)) => self.object(py)?.get_item(key),
            Some(scalar) => to_python(py, scalar).map(Some),
        }
    }
}

#[pymethods]
impl PyEvent {
    /// Unique id.
    #[getter]
    fn id(&self) -> &str {
        &self.0.id
    }

    /// Position on the bus, counted from 1.
    #[getter]
    fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The channel it was published to.
    #[getter]
    fn channel(&self) -> &str {
        &self.0.channel
    }

    /// Its type, if it was published with one.
    #[getter]
    fn event_type(&self) -> Option<&str> {
        self.0.event_type.as_deref()
    }

    /// The tenant it belongs to, if it was published with one.
    #[getter]
    fn tenant_id(&self) -> Option<&str> {
        self.0.tenant_id.as_deref()
    }

    /// The published data. Shared by all resolvers of the event: do not change it.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.whole(py)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        self.field(py, key)?
            .ok_or_else(|| PyKeyError::new_err(key.to_owned()))
    }

    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.field(py, key)?.or(default))
    }

    fn __contains__(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn __len__(&self) -> usize {
        self.0.data.as_object().map_or(0, serde_json::Map::len)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.object(py)?.try_iter()
    }

    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.object(py)?.call_method0("keys")
    }

    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.object(py)?.call_method0("values")
    }

    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.object(py)?.call_method0("items")
    }

    fn __repr__(&self) -> String {
        format!(
            "<Event {} on {:?}, offset {}>",
            self.0.id, self.0.channel, self.0.offset
        )
    }
}
