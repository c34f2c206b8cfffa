//! The `Event` object for resolvers.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use bus::{Draft, Epoch, Event, LocalPosition, Position, Received, Streams};
use graphql::is_note;
use indexed_json::{JsonRef, Kind};
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyIterator, PyMapping, PyNotImplemented, PyString, PyType};

use crate::error::publish_error;
use crate::event_data;
use crate::json::to_text;

/// One published event: envelope as attributes, data also as a read-only mapping.
///
/// `event["status"]` reads a field of the data without building the other fields; `event.data`
/// builds all of it, once for all resolvers of the event.
#[pyclass(name = "Event", module = "fraiseql_subs", frozen, mapping)]
pub(crate) struct PyEvent {
    event: Arc<Event>,
    /// Makes `data` an instance of a class, for a resolver that is annotated `Event[Order]`.
    reader: OnceLock<Py<PyAny>>,
    /// What it has made.
    made: OnceLock<Py<PyAny>>,
}

impl PyEvent {
    pub(crate) fn new(event: Arc<Event>) -> Self {
        Self {
            event,
            reader: OnceLock::new(),
            made: OnceLock::new(),
        }
    }

    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.event
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
        if let Some(data) = kept(&self.event) {
            return Ok(data.into_bound(py));
        }
        let data = event_data::shared(py, self.event.data.root())?;
        // Another thread may have been first; then its object is used.
        self.event.host.set(Box::new(data.clone().unbind())).ok();
        Ok(kept(&self.event).map_or(data, |data| data.into_bound(py)))
    }

    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.whole(py)?.cast_into::<PyDict>().map_err(|_| {
            PyTypeError::new_err("the data of this event is not an object: read it as `event.data`")
        })
    }

    /// Returns the value of a key; `None` for a key that is not a text.
    fn find(&self, key: &Bound<'_, PyAny>) -> Option<JsonRef<'_>> {
        let key = key.cast::<PyString>().ok()?.to_str().ok()?;
        self.event.data.root().member(key).filter(|_| !is_note(key))
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
        Ok(Self::new(Arc::new(Event::new(draft, stream, at))))
    }

    /// Unique id.
    #[getter]
    fn id(&self) -> Cow<'_, str> {
        self.event.id.text()
    }

    /// Position among the events of its channel, under tenant isolation of its tenant there;
    /// counted from 1.
    #[getter]
    fn offset(&self) -> u64 {
        self.event.at.position.offset.major
    }

    /// The channel it was published to.
    #[getter]
    fn channel(&self) -> &str {
        &self.event.channel
    }

    /// Its type, if it was published with one.
    #[getter]
    fn event_type(&self) -> Option<&str> {
        self.event.event_type.as_deref()
    }

    /// The tenant it belongs to, if it was published with one.
    #[getter]
    fn tenant_id(&self) -> Option<&str> {
        self.event.tenant_id.as_deref()
    }

    /// The span that published it, as the header `traceparent` of W3C Trace Context.
    #[getter]
    fn traceparent(&self) -> Option<String> {
        self.event.trace.as_ref().map(|trace| trace.traceparent())
    }

    /// The `tracestate` of that span, if it has one.
    #[getter]
    fn tracestate(&self) -> Option<&str> {
        self.event.trace.as_ref()?.state.as_deref()
    }

    /// The published data. Shared by all resolvers of the event, so it is read-only; or the
    /// instance that is made of them for this resolver alone.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(reader) = self.reader.get() else {
            return self.whole(py);
        };
        if self.made.get().is_none() {
            let made = reader.call1(py, (self.whole(py)?,))?;
            // Another thread may have been first; then its object is used.
            self.made.set(made).ok();
        }
        let made = self.made.get().map(|made| made.clone_ref(py));
        made.map_or_else(|| self.whole(py), |made| Ok(made.into_bound(py)))
    }

    /// Supports annotations such as `Event[Order]`.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((cls, item))
    }

    /// Called by `Event[Order](...)`, with `Event[Order]`.
    #[setter(__orig_class__)]
    fn set_class(&self, alias: &Bound<'_, PyAny>) -> PyResult<()> {
        let module = alias.py().import("fraiseql_subs.schema.events")?;
        let reader = module.call_method1("reader_of", (alias,))?;
        if !reader.is_none() {
            self.reader.set(reader.unbind()).ok();
        }
        Ok(())
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
        let members = self.event.data.root().members();
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
            self.event.id.text(),
            self.event.channel,
            self.event.at.position.offset
        )
    }
}

/// Returns an event whose `data` is what `reader` makes of the published data.
#[pyfunction]
pub(crate) fn read_event(event: &Bound<'_, PyEvent>, reader: Py<PyAny>) -> PyEvent {
    let read = PyEvent::new(event.get().event.clone());
    read.reader.set(reader).ok();
    read
}
