//! Between Python objects and JSON values, in both directions.
//!
//! Not here: results of resolvers, which go straight to bytes (`value`).

use graphql::TYPE_MEMBER;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyNone,
    PyNotImplemented, PyString, PyTuple, PyType,
};
use serde_json::{Map, Number, Value};

use crate::classes::{self, Classes, typed_dict};
use crate::event::PyEvent;
use crate::iterables;
use crate::not_json::{NotJson, Segment};

/// Objects and lists inside each other (count) that are followed. Past it the value is refused:
/// it is a cycle, or no JSON reader would take it.
const MAX_DEPTH: usize = 128;

/// What is wrong with text that has no UTF-8.
pub(crate) const LONE_SURROGATE: &str =
    "a text with a lone surrogate cannot be sent: it has no UTF-8";

/// Makes a JSON value of a Python object.
///
/// Takes what `json.dumps` takes, and dataclasses, named tuples, pydantic models, any iterable, enum
/// members (their value), `datetime`, `date`, `time` (ISO 8601), `Decimal` and `UUID` (their text).
pub(crate) fn to_json(object: &Bound<'_, PyAny>) -> Result<Value, NotJson> {
    let inside = Inside {
        depth: MAX_DEPTH,
        classes: None,
    };
    convert(object, inside)
}

/// Makes a JSON value of what is published, with the types of its objects noted in it.
pub(crate) fn to_event(object: &Bound<'_, PyAny>, classes: &Classes) -> Result<Value, NotJson> {
    let inside = Inside {
        depth: MAX_DEPTH,
        classes: Some(classes),
    };
    convert(object, inside)
}

/// Where in a value the conversion is.
#[derive(Clone, Copy)]
struct Inside<'c> {
    /// Levels that may still follow (count).
    depth: usize,
    /// Types to note; `None`: none are.
    classes: Option<&'c Classes>,
}

impl Inside<'_> {
    fn deeper(self) -> Self {
        Self {
            depth: self.depth - 1,
            ..self
        }
    }

    /// The type of an object, if it is to be noted.
    fn type_of(self, object: &Bound<'_, PyAny>) -> Result<Option<String>, NotJson> {
        let Some(classes) = self.classes else {
            return Ok(None);
        };
        classes.published(object).map_err(NotJson::raised)
    }
}

/// Makes a JSON object of a Python mapping; `None` stands for an empty one.
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

fn convert(object: &Bound<'_, PyAny>, inside: Inside<'_>) -> Result<Value, NotJson> {
    if let Ok(text) = object.cast_exact::<PyString>() {
        return string(text).map(Value::String);
    }
    if let Ok(integer) = object.cast_exact::<PyInt>() {
        return number(integer);
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(boolean) = object.cast_exact::<PyBool>() {
        return Ok(Value::Bool(boolean.is_true()));
    }
    if let Ok(float) = object.cast_exact::<PyFloat>() {
        return finite(float.value());
    }
    if inside.depth == 0 {
        return Err(NotJson::new(format!(
            "nested deeper than {MAX_DEPTH} levels: is it a cycle?"
        )));
    }
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        return dictionary(dict, inside);
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        return sequence(list.iter().map(Ok), inside);
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        return sequence(tuple.iter().map(Ok), inside);
    }
    uncommon(object, inside)
}

fn string(text: &Bound<'_, PyString>) -> Result<String, NotJson> {
    // A lone surrogate is the only text that has no UTF-8.
    let text = text.to_str().map_err(|_| NotJson::new(LONE_SURROGATE))?;
    Ok(text.to_owned())
}

fn number(integer: &Bound<'_, PyAny>) -> Result<Value, NotJson> {
    if let Ok(value) = integer.extract::<i64>() {
        return Ok(value.into());
    }
    if let Ok(value) = integer.extract::<u64>() {
        return Ok(value.into());
    }
    Err(NotJson::new(
        "an integer past 64 bits would lose digits on the way: send it as a string",
    ))
}

fn finite(value: f64) -> Result<Value, NotJson> {
    Number::from_f64(value)
        .map(Value::Number)
        .ok_or_else(|| NotJson::new(format!("{value} is no JSON number: send None or a string")))
}

fn dictionary(dict: &Bound<'_, PyDict>, inside: Inside<'_>) -> Result<Value, NotJson> {
    let mut map = Map::with_capacity(dict.len());
    for (key, value) in dict {
        insert(&mut map, &key, &value, inside)?;
    }
    Ok(Value::Object(map))
}

fn insert(
    map: &mut Map<String, Value>,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    inside: Inside<'_>,
) -> Result<(), NotJson> {
    let key = key.cast::<PyString>().map_err(|_| {
        NotJson::new(format!(
            "the key {} is no string: JSON objects have strings as keys",
            describe(key)
        ))
    })?;
    let key = string(key)?;
    match convert(value, inside.deeper()) {
        Ok(value) => {
            map.insert(key, value);
            Ok(())
        }
        Err(error) => Err(error.inside(Segment::Field(key))),
    }
}

fn sequence<'py>(
    items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
    inside: Inside<'_>,
) -> Result<Value, NotJson> {
    let mut list = Vec::with_capacity(items.size_hint().0);
    for (index, item) in items.enumerate() {
        let item = item.map_err(NotJson::raised)?;
        let item = convert(&item, inside.deeper()).map_err(|e| e.inside(Segment::Index(index)))?;
        list.push(item);
    }
    Ok(Value::Array(list))
}

/// Notes the type of an object in it.
fn with_type(mut value: Value, type_name: Option<&str>) -> Value {
    if let (Value::Object(map), Some(name)) = (&mut value, type_name) {
        map.insert(TYPE_MEMBER.to_owned(), name.into());
    }
    value
}

/// Python types that are looked for once the exact built-in ones are excluded.
pub(crate) struct HostTypes {
    enumeration: Py<PyType>,
    as_iso: [Py<PyType>; 2],
    as_text: [Py<PyType>; 2],
}

impl HostTypes {
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static TYPES: PyOnceLock<HostTypes> = PyOnceLock::new();
        TYPES.get_or_try_init(py, || {
            let find = |module: &str, name: &str| -> PyResult<Py<PyType>> {
                Ok(py
                    .import(module)?
                    .getattr(name)?
                    .cast_into::<PyType>()?
                    .unbind())
            };
            Ok(Self {
                enumeration: find("enum", "Enum")?,
                // `datetime` is a kind of `date`.
                as_iso: [find("datetime", "date")?, find("datetime", "time")?],
                as_text: [find("decimal", "Decimal")?, find("uuid", "UUID")?],
            })
        })
    }

    /// The value of an enum member.
    pub(crate) fn enum_value<'py>(
        &self,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        if object.is_instance(self.enumeration.bind(py))? {
            return object.getattr(intern!(py, "value")).map(Some);
        }
        Ok(None)
    }

    /// The text of a date, a time, a `Decimal` or a `UUID`.
    pub(crate) fn text<'py>(
        &self,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let py = object.py();
        for class in &self.as_iso {
            if object.is_instance(class.bind(py))? {
                let text = object.call_method0(intern!(py, "isoformat"))?;
                return Ok(Some(text.cast_into()?));
            }
        }
        for class in &self.as_text {
            if object.is_instance(class.bind(py))? {
                return object.str().map(Some);
            }
        }
        Ok(None)
    }
}

fn uncommon(object: &Bound<'_, PyAny>, inside: Inside<'_>) -> Result<Value, NotJson> {
    let py = object.py();
    let raised = NotJson::raised;
    let types = HostTypes::get(py).map_err(raised)?;
    // Before `str` and `int`, which an enum may also derive from.
    if let Some(value) = types.enum_value(object).map_err(raised)? {
        return convert(&value, inside.deeper());
    }
    if let Some(text) = types.text(object).map_err(raised)? {
        return string(&text).map(Value::String);
    }
    if let Ok(text) = object.cast::<PyString>() {
        return string(text).map(Value::String);
    }
    if object.is_instance_of::<PyInt>() {
        return number(object);
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        return finite(float.value());
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let type_name = inside.classes.and_then(|_| classes::noted(dict));
        let type_name = type_name.as_ref().and_then(|name| name.to_str().ok());
        return dictionary(dict, inside).map(|value| with_type(value, type_name));
    }
    if let Ok(list) = object.cast::<PyList>() {
        return sequence(list.iter().map(Ok), inside);
    }
    if let Ok(event) = object.cast::<PyEvent>() {
        let data = event.get().whole(py).map_err(raised)?;
        return convert(&data, inside);
    }
    if let Some(dumped) = dumped(object).map_err(raised)? {
        let value = convert(&dumped, inside.deeper())?;
        return Ok(with_type(value, inside.type_of(object)?.as_deref()));
    }
    if let Some(fields) = fields_of(object).map_err(raised)? {
        let type_name = inside.type_of(object)?;
        let mut map = Map::new();
        for (key, value) in fields {
            insert(&mut map, &key, &value, inside)?;
        }
        return Ok(with_type(Value::Object(map), type_name.as_deref()));
    }
    if iterables::is_list(object).map_err(raised)? {
        return sequence(iterables::items(object).map_err(raised)?, inside);
    }
    if object.is_instance_of::<PyBytes>() || object.is_instance_of::<PyByteArray>() {
        return Err(NotJson::new(format!(
            "{} has no JSON form: make text of it, such as Base64, or declare a `Scalar` that does",
            describe(object)
        )));
    }
    Err(NotJson::new(format!(
        "{} has no JSON form: publish dicts, lists, strings, numbers, dataclasses or pydantic models",
        describe(object)
    )))
}

type Fields<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

/// What a pydantic model makes of itself, when it has serializers of its own.
fn dumped<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let class = object.get_type();
    let Some(decorators) = class.getattr_opt(intern!(py, "__pydantic_decorators__"))? else {
        return Ok(None);
    };
    for kind in [
        intern!(py, "model_serializers"),
        intern!(py, "field_serializers"),
    ] {
        if decorators.getattr(kind)?.is_truthy()? && object.hasattr("model_dump")? {
            return object.call_method0("model_dump").map(Some);
        }
    }
    Ok(None)
}

/// Whether a field of a pydantic model is kept out of what the model is written as.
fn is_excluded(info: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = info.py();
    if let Some(exclude) = info.getattr_opt(intern!(py, "exclude"))?
        && exclude.is_truthy()?
    {
        return Ok(true);
    }
    match info.getattr_opt(intern!(py, "exclude_if"))? {
        Some(exclude_if) if !exclude_if.is_none() => exclude_if.call1((value,))?.is_truthy(),
        _ => Ok(false),
    }
}

/// Names and values of the fields of a pydantic model or dataclass.
fn model_fields<'py>(
    object: &Bound<'py, PyAny>,
    infos: &Bound<'py, PyDict>,
) -> PyResult<Fields<'py>> {
    // Past the descriptors of pydantic, which warn of fields that are deprecated.
    let own = object.getattr_opt(intern!(object.py(), "__dict__"))?;
    let own = own.and_then(|own| own.cast_into::<PyDict>().ok());
    let mut fields = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        let known = own.as_ref().map(|own| own.get_item(&name)).transpose()?;
        let value = match known.flatten() {
            Some(value) => value,
            None => object.getattr(name.cast::<PyString>()?)?,
        };
        if !is_excluded(&info, &value)? {
            fields.push((name, value));
        }
    }
    add_computed(object, &mut fields)?;
    Ok(fields)
}

/// Names and values of a dataclass, a model, an attrs class, a struct or a mapping.
fn fields_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Fields<'py>>> {
    let py = object.py();
    if object.is_instance_of::<PyType>() {
        return Ok(None);
    }
    let class = object.get_type();
    if let Some(infos) = class.getattr_opt(intern!(py, "__pydantic_fields__"))?
        && let Ok(infos) = infos.cast::<PyDict>()
    {
        return model_fields(object, infos).map(Some);
    }
    for declared in [
        intern!(py, "__dataclass_fields__"),
        intern!(py, "__struct_fields__"),
        intern!(py, "__attrs_attrs__"),
    ] {
        if let Some(names) = class.getattr_opt(declared)? {
            let read = |name: Bound<'py, PyAny>| {
                // attrs has objects with the name in them.
                let name = match name.cast::<PyString>() {
                    Ok(_) => name,
                    Err(_) => name.getattr(intern!(py, "name"))?,
                };
                let value = object.getattr(name.cast::<PyString>()?)?;
                Ok((name, value))
            };
            let fields = names.try_iter()?.map(|name| read(name?));
            let mut fields = fields.collect::<PyResult<Fields<'py>>>()?;
            add_computed(object, &mut fields)?;
            return Ok(Some(fields));
        }
    }
    if let Some(names) = tuple_fields(object)? {
        let names = names.iter().zip(object.cast::<PyTuple>()?);
        let mut fields = names.collect();
        add_computed(object, &mut fields)?;
        return Ok(Some(fields));
    }
    let Ok(mapping) = object.cast::<PyMapping>() else {
        return Ok(None);
    };
    let pairs = mapping.items()?;
    pairs
        .iter()
        .map(|pair| pair.extract())
        .collect::<PyResult<_>>()
        .map(Some)
}

/// The names of the fields of a named tuple, such as a row of a database.
fn tuple_fields<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    if object.cast::<PyTuple>().is_err() {
        return Ok(None);
    }
    let names = object.getattr_opt(intern!(object.py(), "_fields"))?;
    Ok(names.and_then(|names| names.cast_into::<PyTuple>().ok()))
}

/// An attribute that is deprecated, without the warning for other callers; `None`: it is read as
/// any other.
pub(crate) fn read_quietly<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    static READ: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let read = READ.import(py, "fraiseql_subs.schema.deprecation", "read")?;
    let found = read.call1((object, name))?;
    Ok((!found.is(PyNotImplemented::get(py))).then_some(found))
}

fn read_member<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    match read_quietly(object, name)? {
        Some(found) => Ok(found),
        None => object.getattr(name),
    }
}

/// Adds the fields that the class computes.
fn add_computed<'py>(object: &Bound<'py, PyAny>, fields: &mut Fields<'py>) -> PyResult<()> {
    let py = object.py();
    let class = object.get_type();
    let mut add = |name: Bound<'py, PyAny>| -> PyResult<()> {
        let value = read_member(object, name.cast::<PyString>()?)?;
        fields.push((name, value));
        Ok(())
    };
    if let Some(decorators) = class.getattr_opt(intern!(py, "__pydantic_decorators__"))? {
        let computed = decorators.getattr(intern!(py, "computed_fields"))?;
        for name in computed.try_iter()? {
            add(name?)?;
        }
    }
    if class.hasattr(intern!(py, "__graphql_computed__"))? {
        static NAMES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let names = NAMES.import(py, "fraiseql_subs.schema.computed", "computed_names")?;
        for name in names.call1((class,))?.try_iter()? {
            add(name?)?;
        }
    }
    Ok(())
}

/// Names an object in a message without calling its `repr`, which may be long or raise.
pub(crate) fn describe(object: &Bound<'_, PyAny>) -> String {
    let class = object.get_type();
    let name = class
        .name()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string());
    format!("an object of type `{name}`")
}

/// Makes a Python object of a JSON value.
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

/// Makes a dict of a JSON object.
pub(crate) fn map_to_python<'py>(
    py: Python<'py>,
    map: &Map<String, Value>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = match map.get(TYPE_MEMBER).and_then(Value::as_str) {
        Some(type_name) => typed_dict(py, type_name)?,
        None => PyDict::new(py),
    };
    for (key, value) in map {
        if key != TYPE_MEMBER {
            dict.set_item(key, to_python(py, value)?)?;
        }
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
