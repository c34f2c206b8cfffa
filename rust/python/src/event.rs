//! The `Event` object for resolvers.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use bus::{Draft, Epoch, Event, LocalPosition, Position, Received, Streams};
use graphql::is_note;
use indexed_json::{JsonRef, Kind};
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyIterator, PyMapping, PyNotImplemented, PyString};

use crate::error::publish_error;
use crate::event_data;
use crate::json::to_text;

/// One published event: envelope as attributes, data also as a read-only mapping.
///
/// `event["status"]` reads a field of the data without building the other fields; `event.data`
/// builds all of it, once for all resolvers of the event.
#[pyclass(name = "Event", module = "fraiseql_subs", frozen, mapping)]
pub(crate) struct PyEvent(Arc<Event>);

impl PyEvent {
    pub(crate) fn new(event: Arc<Event>) -> Self {
        Self(event)
    }

    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.0
    }

    /// Returns the whole data, which is stored with the event so that it is built once.
    pub(crate) fn whole<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
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
        let data = event_data::shared(py, self.0.data.root())?;
        // Another thread may have been first; then its object is used.
        self.0.host.set(Box::new(data.clone().unbind())).ok();
        Ok(kept(&self.0).map_or(data, |data| data.into_bound(py)))
    }

    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.whole(py)?.cast_into::<PyDict>().map_err(|_| {
            PyTypeError::new_err("the data of this event is not an object: read it as `event.data`")
        })
    }

    /// Returns the value of a key; `None` for a key that is not a text.
    fn find(&self, key: &Bound<'_, PyAny>) -> Option<JsonRef<'_>> {
        let key = key.cast::<PyString>().ok()?.to_str().ok()?;
        self.0.data.root().member(key).filter(|_| !is_note(key))
    }

    fn field<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let Some(value) = self.find(key) else {
            return Ok(None);
        };
        match value.kind() {
            // Two reads have to return the same object.
            Kind::List | Kind::Object => self.object(py)?.get_item(key),
            _ => event_data::shared(py, value).map(Some),
        }
    }

    /// Returns the whole data of an event, or a mapping as a dict.
    fn comparable<'py>(other: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Ok(event) = other.cast::<Self>() {
            return event.get().whole(other.py()).map(Some);
        }
        match other.cast::<PyMapping>() {
            Ok(mapping) => {
                let dict = PyDict::new(other.py());
                dict.update(mapping)?;
                Ok(Some(dict.into_any()))
            }
            Err(_) => Ok(None),
        }
    }
}

#[pymethods]
impl PyEvent {
    /// Creates an event that was not published, for tests of a resolver.
    #[new]
    #[pyo3(signature = (data, *, channel="test", event_type=None, tenant_id=None, event_id=None, offset=1))]
    fn make(
        data: &Bound<'_, PyAny>,
        channel: &str,
        event_type: Option<&str>,
        tenant_id: Option<&str>,
        event_id: Option<&str>,
        offset: u64,
    ) -> PyResult<Self> {
        let json = to_text(data, None);
        let json = json.map_err(|error| error.into_error(data.py(), "data", publish_error))?;
        let draft = Draft {
            channel: channel.into(),
            event_type: event_type.map(Into::into),
            tenant_id: tenant_id.map(Into::into),
            id: event_id.map(Into::into),
            data: json,
            trace: None,
        };
        let stream = Streams::new([0; 16], false).of(channel, tenant_id);
        let at = LocalPosition {
            sequence: offset,
            position: Position::new(Epoch::default(), offset),
            received: Received::default(),
        };
        Ok(Self(Arc::new(Event::new(draft, stream, at))))
    }

    /// Unique id.
    #[getter]
    fn id(&self) -> Cow<'_, str> {
        self.0.id.text()
    }

    /// Position among the events of its channel, under tenant isolation of its tenant there;
    /// counted from 1.
    #[getter]
    fn offset(&self) -> u64 {
        self.0.at.position.offset.major
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

    /// The span that published it, as the header `traceparent` of W3C Trace Context.
    #[getter]
    fn traceparent(&self) -> Option<String> {
        self.0.trace.as_ref().map(|trace| trace.traceparent())
    }

    /// The `tracestate` of that span, if it has one.
    #[getter]
    fn tracestate(&self) -> Option<&str> {
        self.0.trace.as_ref()?.state.as_deref()
    }

    /// The published data. Shared by all resolvers of the event, so it is read-only.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.whole(py)
    }

    fn __getitem__<'py>(&self, key: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.field(&key)?
            .ok_or_else(|| PyKeyError::new_err(key.unbind()))
    }

    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        key: Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.field(&key)?.or(default))
    }

    fn __contains__(&self, key: Bound<'_, PyAny>) -> bool {
        self.find(&key).is_some()
    }

    fn __len__(&self) -> usize {
        let members = self.0.data.root().members();
        let names = members.map(|(name, _)| name).filter(|name| !is_note(name));
        names.collect::<HashSet<_>>().len()
    }

    /// Compares the data like any mapping, not the envelope.
    fn __eq__<'py>(&self, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        match Self::comparable(&other)? {
            Some(other) => Ok(PyBool::new(py, self.whole(py)?.eq(other)?)
                .to_owned()
                .into_any()),
            None => Ok(PyNotImplemented::get(py).to_owned().into_any()),
        }
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
            self.0.id.text(),
            self.0.channel,
            self.0.at.position.offset
        )
    }
}
