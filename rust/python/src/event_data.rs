//! The data of an event as read-only Python objects, which its resolvers share.

use graphql::{SERIALIZED_MEMBER, TYPE_MEMBER, is_note};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyString, PyType};
use serde_json::{Map, Value};

use crate::json::to_python;

/// The classes of `fraiseql_subs._event_data`.
struct Types {
    object: Py<PyType>,
    noted: Py<PyType>,
    list: Py<PyType>,
}

impl Types {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static TYPES: PyOnceLock<Types> = PyOnceLock::new();
        TYPES.get_or_try_init(py, || {
            let module = py.import("fraiseql_subs._event_data")?;
            let find = |name: &str| -> PyResult<Py<PyType>> {
                Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
            };
            Ok(Self {
                object: find("EventObject")?,
                noted: find("NotedObject")?,
                list: find("EventList")?,
            })
        })
    }
}

/// Creates the Python object of an event's data, or of a part of it.
pub(crate) fn shared<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    make(py, value, Types::get(py)?)
}

fn make<'py>(py: Python<'py>, value: &Value, types: &Types) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Array(items) => {
            let list = types.list.bind(py).call0()?.cast_into::<PyList>()?;
            for item in items {
                // Calls `list.append`: the method of its own class raises.
                list.append(make(py, item, types)?)?;
            }
            Ok(list.into_any())
        }
        Value::Object(map) => object(py, map, types),
        scalar => to_python(py, scalar),
    }
}

fn object<'py>(
    py: Python<'py>,
    map: &Map<String, Value>,
    types: &Types,
) -> PyResult<Bound<'py, PyAny>> {
    let notes = (map.get(TYPE_MEMBER), map.get(SERIALIZED_MEMBER));
    let has_notes = notes.0.is_some() || notes.1.is_some();
    let class = if has_notes {
        &types.noted
    } else {
        &types.object
    };
    let dict = class.bind(py).call0()?.cast_into::<PyDict>()?;
    if has_notes {
        let (type_name, serialized) = notes;
        dict.setattr(intern!(py, "type_name"), type_name.and_then(Value::as_str))?;
        let serialized = serialized.and_then(Value::as_array).into_iter().flatten();
        let serialized = serialized.filter_map(Value::as_str);
        dict.setattr(intern!(py, "serialized"), PyFrozenSet::new(py, serialized)?)?;
    }
    for (key, value) in map {
        if !is_note(key) {
            dict.set_item(key, make(py, value, types)?)?;
        }
    }
    Ok(dict.into_any())
}

/// Returns the type of an object of an event, if it was published as an instance of a class.
pub(crate) fn type_name<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    note(object, intern!(object.py(), "type_name"))?
        .cast_into()
        .ok()
}

/// Returns the members of an object of an event that scalars of the application have serialised.
pub(crate) fn serialized<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyFrozenSet>> {
    note(object, intern!(object.py(), "serialized"))?
        .cast_into()
        .ok()
}

fn note<'py>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    if !is_of(object, |types| [&types.noted]) {
        return None;
    }
    object.getattr_opt(name).ok()?
}

/// Whether this is an object of an event.
pub(crate) fn is_object(object: &Bound<'_, PyAny>) -> bool {
    is_of(object, |types| [&types.object, &types.noted])
}

/// Whether this is a list of an event, which is read like any list.
pub(crate) fn is_list(object: &Bound<'_, PyAny>) -> bool {
    is_of(object, |types| [&types.list])
}

fn is_of<const N: usize>(
    object: &Bound<'_, PyAny>,
    classes: fn(&Types) -> [&Py<PyType>; N],
) -> bool {
    let class = object.get_type();
    Types::get(object.py()).is_ok_and(|types| classes(types).iter().any(|known| class.is(*known)))
}
