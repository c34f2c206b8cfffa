//! Reads what Python publishes: the arguments of `publish` and `publish_json`, and batches of events.
//!
//! Not here: how events are published (`publish`), and how data become JSON (`json`).

use std::fmt;
use std::sync::Arc;

use bus::Draft;
use indexed_json::IndexedJson;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyString, PyTuple};

use crate::classes::Classes;
use crate::describe::describe;
use crate::error::{optional_text, publish_error, text};
use crate::json::to_text;
use crate::not_json::LONE_SURROGATE;

/// The arguments of `publish` and `publish_json`: channel, data or JSON, type, tenant and id.
pub(crate) type Arguments<'a, 'py> = (
    &'a Bound<'py, PyAny>,
    Content<&'a Bound<'py, PyAny>>,
    Option<&'a Bound<'py, PyAny>>,
    Option<&'a Bound<'py, PyAny>>,
    Option<&'a Bound<'py, PyAny>>,
);

/// The data of an event, as they are published.
#[derive(Clone, Copy)]
pub(crate) enum Content<T> {
    /// An object, which has a JSON form.
    Object(T),
    /// The text of a JSON value.
    Json(T),
}

impl<T> Content<T> {
    /// `is_json`: whether it is the text of a JSON value.
    pub(crate) fn of(data: T, is_json: bool) -> Self {
        if is_json {
            Self::Json(data)
        } else {
            Self::Object(data)
        }
    }
}

/// Reads the arguments of one event. `classes`: the types of published objects; `None`: there is no
/// schema.
pub(crate) fn draft(
    (channel, content, event_type, tenant_id, event_id): Arguments<'_, '_>,
    classes: Option<&Classes>,
) -> PyResult<Draft> {
    let parameters = Parameters {
        channel: Some(channel),
        content: Some(content),
        event_type,
        tenant_id,
        event_id,
    };
    DraftReader::new(classes).draft(&parameters, None)
}

/// Reads a batch. `classes`: as for [`draft`]. Errors name the event only if the caller has given a
/// batch, `is_batch`.
pub(crate) fn drafts(
    events: &Bound<'_, PyAny>,
    classes: Option<&Classes>,
    is_batch: bool,
) -> PyResult<Vec<Draft>> {
    let Ok(items) = events.try_iter() else {
        return Err(publish_error(format!(
            "events is {}: pass a list of (channel, data), or of dicts of what `publish` takes",
            describe(events)
        )));
    };
    let mut reader = DraftReader::new(classes);
    let mut drafts = Vec::with_capacity(events.len().unwrap_or_default());
    for (index, event) in items.enumerate() {
        let place = is_batch.then_some(index);
        drafts.push(reader.event(&event?, place)?);
    }
    Ok(drafts)
}

/// Reads events one after the other.
struct DraftReader<'c> {
    classes: Option<&'c Classes>,
    /// The channel of the last event: that of the next one usually is the same.
    channel: Option<Arc<str>>,
}

/// The parameters of an event, not read yet.
#[derive(Default)]
struct Parameters<'a, 'py> {
    channel: Option<&'a Bound<'py, PyAny>>,
    content: Option<Content<&'a Bound<'py, PyAny>>>,
    event_type: Option<&'a Bound<'py, PyAny>>,
    tenant_id: Option<&'a Bound<'py, PyAny>>,
    event_id: Option<&'a Bound<'py, PyAny>>,
}

/// The place of an event in a batch.
type Index = Option<usize>;

/// The name of a parameter, in errors: `events[2].data` in a batch.
struct ParameterName(Index, &'static str);

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(index) => write!(f, "events[{index}].{}", self.1),
            None => f.write_str(self.1),
        }
    }
}

fn refuse(index: Index, problem: &str) -> PyErr {
    let place = index.map_or(String::new(), |index| format!("events[{index}]"));
    publish_error(format!(
        "{place}: {problem}; pass (channel, data), or a dict with `channel` and `data` or `json`, and `event_type`, `tenant_id` or `event_id` where wanted"
    ))
}

impl<'c> DraftReader<'c> {
    fn new(classes: Option<&'c Classes>) -> Self {
        Self {
            classes,
            channel: None,
        }
    }

    /// Reads `(channel, data)`, or a dict with the parameters of `publish` or `publish_json`.
    fn event(&mut self, event: &Bound<'_, PyAny>, index: Index) -> PyResult<Draft> {
        if let Ok(pair) = event.cast::<PyTuple>() {
            let no_pair = |_| refuse(index, "it is no pair of a channel and data");
            let (channel, data) = pair
                .extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
                .map_err(no_pair)?;
            let parameters = Parameters {
                channel: Some(&channel),
                content: Some(Content::Object(&data)),
                ..Parameters::default()
            };
            return self.draft(&parameters, index);
        }
        let options = event
            .cast::<PyDict>()
            .map_err(|_| refuse(index, "it is neither tuple nor dict"))?;
        let entries: Vec<_> = options.iter().collect();
        let mut parameters = Parameters::default();
        for (name, value) in &entries {
            let known = name.cast::<PyString>().ok();
            match known.and_then(|name| name.to_str().ok()) {
                Some("channel") => parameters.channel = Some(value),
                Some("event_type") => parameters.event_type = Some(value),
                Some("tenant_id") => parameters.tenant_id = Some(value),
                Some("event_id") => parameters.event_id = Some(value),
                Some(name @ ("data" | "json")) => {
                    let content = match name {
                        "data" => Content::Object(value),
                        _ => Content::Json(value),
                    };
                    if parameters.content.replace(content).is_some() {
                        return Err(refuse(index, "`data` and `json` are both given"));
                    }
                }
                _ => {
                    let name = name.repr()?.to_string_lossy().into_owned();
                    let problem = format!("{name} is no parameter of `publish`");
                    return Err(refuse(index, &problem));
                }
            }
        }
        self.draft(&parameters, index)
    }

    fn draft(&mut self, parameters: &Parameters<'_, '_>, index: Index) -> PyResult<Draft> {
        let missing = |name: &str| refuse(index, &format!("`{name}` is missing"));
        let option = |value, name| -> PyResult<Option<Arc<str>>> {
            let value = optional_text(value, ParameterName(index, name), publish_error)?;
            Ok(value.map(Into::into))
        };
        let channel = parameters.channel.ok_or_else(|| missing("channel"))?;
        let content = parameters.content.ok_or_else(|| missing("data"))?;
        Ok(Draft {
            channel: self.channel(text(
                channel,
                ParameterName(index, "channel"),
                publish_error,
            )?),
            event_type: option(parameters.event_type, "event_type")?,
            tenant_id: option(parameters.tenant_id, "tenant_id")?,
            id: option(parameters.event_id, "event_id")?,
            data: match content {
                Content::Object(data) => to_text(data, self.classes).map_err(|error| {
                    let name = ParameterName(index, "data").to_string();
                    error.into_error(data.py(), &name, publish_error)
                })?,
                Content::Json(json) => read_json(json).map_err(|problem| {
                    publish_error(format!("{}: {problem}", ParameterName(index, "json")))
                })?,
            },
            trace: None,
        })
    }

    fn channel(&mut self, name: &str) -> Arc<str> {
        match &self.channel {
            Some(known) if **known == *name => known.clone(),
            _ => self.channel.insert(name.into()).clone(),
        }
    }
}

/// From so many bytes on other threads of Python run while a text is read.
const DETACHED_BYTES: usize = 64 << 10;

/// Reads the text of a JSON value, or says what is wrong with it.
fn read_json(json: &Bound<'_, PyAny>) -> Result<IndexedJson, String> {
    let py = json.py();
    if let Ok(bytes) = json.cast::<PyBytes>() {
        return read_bytes(py, bytes.as_bytes());
    }
    if let Ok(text) = json.cast::<PyString>() {
        let text = text.to_str().map_err(|_| LONE_SURROGATE)?;
        return detached(py, text.len(), || read_text(text));
    }
    if let Ok(bytes) = json.cast::<PyByteArray>() {
        return read_bytes(py, &bytes.to_vec());
    }
    if json.is_instance_of::<PyMemoryView>() {
        let copy = json.call_method0(intern!(py, "tobytes"));
        let copy = copy.map_err(|error| format!("it cannot be read: {error}"))?;
        return read_json(&copy);
    }
    Err(format!(
        "pass the text of one JSON value as bytes or str, not {}; `publish` takes objects",
        describe(json)
    ))
}

fn read_bytes(py: Python<'_>, bytes: &[u8]) -> Result<IndexedJson, String> {
    detached(py, bytes.len(), || {
        read_text(std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            format!("it is not UTF-8 from byte {at} on: encode it so")
        })?)
    })
}

/// Reads a text of this length (bytes), without the interpreter if that takes long.
fn detached<T: Send>(py: Python<'_>, bytes: usize, read: impl FnOnce() -> T + Send) -> T {
    if bytes < DETACHED_BYTES {
        read()
    } else {
        py.detach(read)
    }
}

fn read_text(text: &str) -> Result<IndexedJson, String> {
    IndexedJson::read_exact(text).map_err(|error| error.to_string())
}
