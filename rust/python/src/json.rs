//! Converts Python objects to JSON values, and JSON values to Python objects.
//!
//! Not here: results of resolvers, which are written directly as bytes (`value`), and the data of
//! events for resolvers (`event_data`).

use std::cell::Cell;
use std::collections::HashSet;

use bus::MAX_DATA_DEPTH;
use graphql::{SERIALIZED_MEMBER, TYPE_MEMBER};
use indexed_json::{IndexedJson, MAX_TEXT_BYTES, Writer};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple,
};
use serde_json::{Map, Number, Value};

use crate::classes::Classes;
use crate::describe::describe;
use crate::event::PyEvent;
use crate::event_data;
use crate::host_types::HostTypes;
use crate::iterables;
use crate::members::{declared_fields, dumped, entries, fields_of};
use crate::not_json::{LONE_SURROGATE, NotJson, Segment};

/// Converts a Python object to a JSON value. Past [`MAX_DATA_DEPTH`] levels of nesting it is refused: it
/// is a cycle, or too deep for the envelope of an event.
///
/// Accepts the types of `json.dumps`, and dataclasses, named tuples, pydantic models, any iterable,
/// enum members (as their value), `datetime`, `date`, `time` (ISO 8601), `Decimal` and `UUID` (as
/// text).
pub(crate) fn to_json(object: &Bound<'_, PyAny>) -> Result<Value, NotJson> {
    Ok(to_text(object, None)?.root().to_value())
}

/// Converts a Python object to JSON text, as [`to_json`] does. `classes`: the types of published objects,
/// which are stored with them; `None`: there is no schema.
pub(crate) fn to_text(
    object: &Bound<'_, PyAny>,
    classes: Option<&Classes>,
) -> Result<IndexedJson, NotJson> {
    thread_local! {
        /// Its memory is used again. A conversion during another one, by code that this one calls, has
        /// one of its own.
        static WRITER: Cell<Writer> = Cell::default();
    }
    let mut writer = WRITER.take();
    let out = &mut writer;
    let inside = Inside {
        depth: MAX_DATA_DEPTH,
        classes,
    };
    let written = write(object, inside, out).and_then(|()| bounded(out));
    let written = match written {
        Ok(()) => Ok(out.finish()),
        Err(error) => {
            out.clear();
            Err(error)
        }
    };
    WRITER.set(writer);
    written
}

/// The position of the conversion in a value.
#[derive(Clone, Copy)]
struct Inside<'c> {
    /// Remaining levels of nesting (count).
    depth: usize,
    /// Types to store; `None`: none.
    classes: Option<&'c Classes>,
}

impl Inside<'_> {
    fn deeper(self) -> Self {
        Self {
            depth: self.depth - 1,
            ..self
        }
    }

    /// Returns the members to add to an object, if any.
    fn notes_of(self, object: &Bound<'_, PyAny>) -> Result<Notes, NotJson> {
        let type_name = match self.classes {
            Some(classes) => classes.published(object).map_err(NotJson::raised)?,
            None => None,
        };
        Ok(Notes {
            type_name,
            serialized: Vec::new(),
        })
    }

    /// Returns the serializers of the fields of a published object that have scalars of the
    /// application, by name.
    fn scalars_of<'py>(
        self,
        object: &Bound<'py, PyAny>,
    ) -> Result<Option<Bound<'py, PyDict>>, NotJson> {
        let Some(classes) = self.classes else {
            return Ok(None);
        };
        classes.scalars.of(object).map_err(NotJson::raised)
    }
}

/// Converts a Python mapping to a JSON object; `None` to an empty one.
pub(crate) fn to_json_map(
    object: Option<&Bound<'_, PyAny>>,
) -> Result<Map<String, Value>, NotJson> {
    match object.map(to_json) {
        None | Some(Ok(Value::Null)) => Ok(Map::new()),
        Some(Ok(Value::Object(map))) => Ok(map),
        Some(Ok(_)) => Err(NotJson::new("it must be a mapping")),
        Some(Err(error)) => Err(error),
    }
}

type Written = Result<(), NotJson>;

/// Refuses what has become too long. A small object that has the same lists in many places has a long
/// text.
fn bounded(out: &Writer) -> Written {
    if out.is_too_long() {
        return Err(NotJson::new(format!(
            "its JSON has more than {MAX_TEXT_BYTES} bytes, with the index of its values"
        )));
    }
    Ok(())
}

/// Writes a value. What it has written before an error stays.
fn write(object: &Bound<'_, PyAny>, inside: Inside<'_>, out: &mut Writer) -> Written {
    if let Some(written) = write_leaf(object, out) {
        return written.and_then(|()| bounded(out));
    }
    bounded(out)?;
    if inside.depth == 0 {
        return Err(NotJson::new(format!(
            "nested deeper than {MAX_DATA_DEPTH} levels: is it a cycle?"
        )));
    }
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        return dictionary(dict, inside, out);
    }
    if let Ok(list) = object.cast::<PyList>()
        && (list.is_exact_instance_of::<PyList>() || event_data::is_list(object))
    {
        return sequence(list.iter().map(Ok), inside, out);
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        return sequence(tuple.iter().map(Ok), inside, out);
    }
    if event_data::is_object(object) {
        return of_event(object, inside, out);
    }
    if let Some(names) = declared_fields(object).map_err(NotJson::raised)? {
        return declared(object, &names, inside, out);
    }
    uncommon(object, inside, out)
}

/// Writes an object whose class declares its fields.
fn declared(
    object: &Bound<'_, PyAny>,
    names: &Bound<'_, PyTuple>,
    inside: Inside<'_>,
    out: &mut Writer,
) -> Written {
    let mut notes = inside.notes_of(object)?;
    let scalars = inside.scalars_of(object)?;
    // Read before one of them is written, which may run code of the application.
    let mut fields = Vec::with_capacity(names.len());
    for name in names.iter() {
        let value = name.cast::<PyString>().map_err(PyErr::from);
        let value = value.and_then(|name| object.getattr(name));
        fields.push((name, value.map_err(NotJson::raised)?));
    }
    out.begin_object();
    for (name, value) in fields {
        write_field(&name, value, scalars.as_ref(), &mut notes, inside, out)?;
    }
    notes.write(out);
    out.end_object();
    Ok(())
}

/// Writes a value of a built-in class that has no values inside; `None`: it is another one. Runs no code
/// of the application.
fn write_leaf(object: &Bound<'_, PyAny>, out: &mut Writer) -> Option<Written> {
    if let Ok(text) = object.cast_exact::<PyString>() {
        return Some(string(text, out));
    }
    if let Ok(integer) = object.cast_exact::<PyInt>() {
        return Some(number(integer, out));
    }
    if object.is_none() {
        out.null();
        return Some(Ok(()));
    }
    if let Ok(boolean) = object.cast_exact::<PyBool>() {
        out.bool(boolean.is_true());
        return Some(Ok(()));
    }
    let float = object.cast_exact::<PyFloat>().ok()?;
    Some(finite(float.value(), out))
}

/// Writes an object of an event, which is published again or is part of a result.
fn of_event(object: &Bound<'_, PyAny>, inside: Inside<'_>, out: &mut Writer) -> Written {
    let dict = object
        .cast::<PyDict>()
        .map_err(|e| NotJson::raised(e.into()))?;
    out.begin_object();
    members(dict, inside, out)?;
    if inside.classes.is_some() {
        let type_name = event_data::type_name(object);
        let serialized = event_data::serialized(object);
        let serialized = serialized.and_then(|names| names.extract::<HashSet<_>>().ok());
        let notes = Notes {
            type_name: type_name.and_then(|name| name.extract().ok()),
            serialized: serialized.into_iter().flatten().collect(),
        };
        notes.write(out);
    }
    out.end_object();
    Ok(())
}

/// Returns the characters of a text.
fn utf8<'t>(text: &'t Bound<'_, PyString>) -> Result<&'t str, NotJson> {
    // Only text with a lone surrogate cannot be encoded as UTF-8.
    text.to_str().map_err(|_| NotJson::new(LONE_SURROGATE))
}

fn string(text: &Bound<'_, PyString>, out: &mut Writer) -> Written {
    out.string(utf8(text)?);
    Ok(())
}

fn number(integer: &Bound<'_, PyAny>, out: &mut Writer) -> Written {
    if let Ok(value) = integer.extract::<i64>() {
        out.integer(value);
    } else if let Ok(value) = integer.extract::<u64>() {
        out.integer(value);
    } else {
        return Err(NotJson::new(
            "an integer past 64 bits would lose digits on the way: send it as a string",
        ));
    }
    Ok(())
}

fn finite(value: f64, out: &mut Writer) -> Written {
    if !value.is_finite() {
        return Err(NotJson::new(format!(
            "{value} is no JSON number: send None or a string"
        )));
    }
    out.float(value);
    Ok(())
}

fn dictionary(dict: &Bound<'_, PyDict>, inside: Inside<'_>, out: &mut Writer) -> Written {
    out.begin_object();
    members(dict, inside, out)?;
    out.end_object();
    Ok(())
}

/// Writes the members of a dict as it is now: writing them may run code of the application that changes
/// it.
fn members(dict: &Bound<'_, PyDict>, inside: Inside<'_>, out: &mut Writer) -> Written {
    let mut entries = dict.iter();
    while let Some((key, value)) = entries.next() {
        name(&key, out)?;
        if let Some(written) = write_leaf(&value, out) {
            let written = written.and_then(|()| bounded(out));
            written.map_err(|error| error.inside_of(&key))?;
            continue;
        }
        let rest: Vec<_> = entries.collect();
        write_value(&key, &value, inside, out)?;
        for (key, value) in rest {
            insert(&key, &value, inside, out)?;
        }
        break;
    }
    Ok(())
}

/// Writes the name of a member.
fn name(key: &Bound<'_, PyAny>, out: &mut Writer) -> Written {
    let key = key.cast::<PyString>().map_err(|_| {
        NotJson::new(format!(
            "the key {} is no string: JSON objects have strings as keys",
            describe(key)
        ))
    })?;
    out.name(utf8(key)?);
    Ok(())
}

/// Writes the value of a member whose name is written.
fn write_value(
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    inside: Inside<'_>,
    out: &mut Writer,
) -> Written {
    write(value, inside.deeper(), out).map_err(|error| error.inside_of(key))
}

fn insert(
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    inside: Inside<'_>,
    out: &mut Writer,
) -> Written {
    name(key, out)?;
    write_value(key, value, inside, out)
}

/// Writes a field of an object, with the serializer of its scalar if it has one.
fn write_field(
    key: &Bound<'_, PyAny>,
    value: Bound<'_, PyAny>,
    scalars: Option<&Bound<'_, PyDict>>,
    notes: &mut Notes,
    inside: Inside<'_>,
    out: &mut Writer,
) -> Written {
    let serialize = match scalars {
        Some(scalars) if !value.is_none() => scalars.get_item(key).map_err(NotJson::raised)?,
        _ => None,
    };
    let Some(serialize) = serialize else {
        return insert(key, &value, inside, out);
    };
    let json = serialize.call1((value,));
    let json = json.map_err(|error| NotJson::raised(error).inside_of(key))?;
    insert(key, &json, inside, out)?;
    let name = key
        .cast::<PyString>()
        .map_err(|e| NotJson::raised(e.into()))?;
    notes.serialized.push(utf8(name)?.to_owned());
    Ok(())
}

fn sequence<'py>(
    items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
    inside: Inside<'_>,
    out: &mut Writer,
) -> Written {
    out.begin_list();
    for (index, item) in items.enumerate() {
        let item = item.map_err(NotJson::raised)?;
        let written = write(&item, inside.deeper(), out);
        written.map_err(|error| error.inside(Segment::Index(index)))?;
    }
    out.end_list();
    Ok(())
}

/// Information about an object that its JSON would not contain.
#[derive(Default)]
struct Notes {
    type_name: Option<String>,
    /// Members that scalars of the application have serialised.
    serialized: Vec<String>,
}

impl Notes {
    /// Returns an object with them.
    fn put_into(self, mut value: Value) -> Value {
        if let Value::Object(map) = &mut value {
            if let Some(name) = self.type_name {
                map.insert(TYPE_MEMBER.to_owned(), name.into());
            }
            if !self.serialized.is_empty() {
                map.insert(SERIALIZED_MEMBER.to_owned(), self.serialized.into());
            }
        }
        value
    }

    /// Writes them as members of the object.
    fn write(&self, out: &mut Writer) {
        if let Some(name) = &self.type_name {
            out.name(TYPE_MEMBER);
            out.string(name);
        }
        if !self.serialized.is_empty() {
            out.name(SERIALIZED_MEMBER);
            out.begin_list();
            for name in &self.serialized {
                out.string(name);
            }
            out.end_list();
        }
    }
}

fn uncommon(object: &Bound<'_, PyAny>, inside: Inside<'_>, out: &mut Writer) -> Written {
    let py = object.py();
    let raised = NotJson::raised;
    let types = HostTypes::get(py).map_err(raised)?;
    // Checked before `str` and `int`, from which an enum may also derive.
    if let Some(value) = types.enum_value(object).map_err(raised)? {
        return write(&value, inside.deeper(), out);
    }
    if let Some(text) = types.text(object).map_err(raised)? {
        return string(&text, out);
    }
    if let Ok(text) = object.cast::<PyString>() {
        return string(text, out);
    }
    if object.is_instance_of::<PyInt>() {
        return number(object, out);
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        return finite(float.value(), out);
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        return dictionary(dict, inside, out);
    }
    if let Ok(list) = object.cast::<PyList>() {
        return sequence(list.iter().map(Ok), inside, out);
    }
    if let Ok(event) = object.cast::<PyEvent>() {
        let data = event.get().whole(py).map_err(raised)?;
        return write(&data, inside, out);
    }
    if let Some(dumped) = dumped(object).map_err(raised)? {
        let mut notes = inside.notes_of(object)?;
        let Ok(dict) = dumped.cast::<PyDict>() else {
            // It may still be an object, such as that of another class.
            let mut apart = Writer::default();
            write(&dumped, inside.deeper(), &mut apart)?;
            out.value(&notes.put_into(apart.finish().root().to_value()));
            return Ok(());
        };
        // A field that the model serialises itself keeps the model's form.
        let is_own = |key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| {
            let own = key.cast::<PyString>().ok().map(|key| object.getattr(key));
            own.is_some_and(|own| own.is_ok_and(|own| own.is(value)))
        };
        let scalars = inside.scalars_of(object)?;
        let scalars = scalars.as_ref();
        out.begin_object();
        for (key, value) in entries(dict) {
            let scalars = scalars.filter(|_| is_own(&key, &value));
            write_field(&key, value, scalars, &mut notes, inside, out)?;
        }
        notes.write(out);
        out.end_object();
        return Ok(());
    }
    if let Some(fields) = fields_of(object).map_err(raised)? {
        let mut notes = inside.notes_of(object)?;
        let scalars = inside.scalars_of(object)?;
        out.begin_object();
        for (key, value) in fields {
            write_field(&key, value, scalars.as_ref(), &mut notes, inside, out)?;
        }
        notes.write(out);
        out.end_object();
        return Ok(());
    }
    if iterables::is_list(object).map_err(raised)? {
        return sequence(iterables::items(object).map_err(raised)?, inside, out);
    }
    if object.is_instance_of::<PyBytes>() || object.is_instance_of::<PyByteArray>() {
        return Err(NotJson::new(format!(
            "{} has no JSON form: make text of it, such as Base64, or publish an object of a class that declares the field with a `Scalar` that does",
            describe(object)
        )));
    }
    Err(NotJson::new(format!(
        "{} has no JSON form: publish dicts, lists, strings, numbers, dataclasses or pydantic models",
        describe(object)
    )))
}

/// Converts a JSON value to a Python object.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => PyNone::get(py).to_owned().into_any(),
        Value::Bool(boolean) => PyBool::new(py, *boolean).to_owned().into_any(),
        Value::Number(number) => number_to_python(py, number)?,
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| to_python(py, item));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Object(map) => map_to_python(py, map)?.into_any(),
    })
}

/// Converts a JSON object to a dict.
pub(crate) fn map_to_python<'py>(
    py: Python<'py>,
    map: &Map<String, Value>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in map {
        dict.set_item(key, to_python(py, value)?)?;
    }
    Ok(dict)
}

fn number_to_python<'py>(py: Python<'py>, number: &Number) -> PyResult<Bound<'py, PyAny>> {
    if let Some(integer) = number.as_i64() {
        return Ok(integer.into_pyobject(py)?.into_any());
    }
    if let Some(integer) = number.as_u64() {
        return Ok(integer.into_pyobject(py)?.into_any());
    }
    let float = number
        .as_f64()
        .ok_or_else(|| PyTypeError::new_err("a number out of range"))?;
    Ok(PyFloat::new(py, float).into_any())
}

#[cfg(test)]
mod tests;
