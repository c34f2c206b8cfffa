//! The data of an event as read-only Python objects, which its resolvers share.

use graphql::{SERIALIZED_MEMBER, TYPE_MEMBER, is_note};
use indexed_json::{JsonRef, Kind, Number};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyList, PyNone, PyString, PyType};

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
pub(crate) fn shared<'py>(py: Python<'py>, value: JsonRef<'_>) -> PyResult<Bound<'py, PyAny>> {
    make(py, value, Types::get(py)?)
}

fn make<'py>(py: Python<'py>, value: JsonRef<'_>, types: &Types) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value.kind() {
        Kind::List => {
            let list = types.list.bind(py).call0()?.cast_into::<PyList>()?;
            for item in value.items() {
                // Calls `list.append`: the method of its own class raises.
                list.append(make(py, item, types)?)?;
            }
            list.into_any()
        }
        Kind::Object => object(py, value, types)?,
        Kind::Null => PyNone::get(py).to_owned().into_any(),
        Kind::Bool => PyBool::new(py, value.as_bool() == Some(true))
            .to_owned()
            .into_any(),
        Kind::String => PyString::new(py, &value.as_str().unwrap_or_default()).into_any(),
        Kind::Number => match value.as_number() {
            Some(Number::Int(value)) => value.into_pyobject(py)?.into_any(),
            Some(Number::UInt(value)) => value.into_pyobject(py)?.into_any(),
            Some(Number::Float(value)) => PyFloat::new(py, value).into_any(),
            None => PyNone::get(py).to_owned().into_any(),
        },
    })
}

fn object<'py>(py: Python<'py>, value: JsonRef<'_>, types: &Types) -> PyResult<Bound<'py, PyAny>> {
    let notes = (value.member(TYPE_MEMBER), value.member(SERIALIZED_MEMBER));
    let has_notes = notes.0.is_some() || notes.1.is_some();
    let class = if has_notes {
        &types.noted
    } else {
        &types.object
    };
    let dict = class.bind(py).call0()?.cast_into::<PyDict>()?;
    if has_notes {
        let (type_name, serialized) = notes;
        dict.setattr(
            intern!(py, "type_name"),
            type_name.and_then(JsonRef::as_str),
        )?;
        let serialized = serialized.into_iter().flat_map(JsonRef::items);
        let serialized = serialized.filter_map(JsonRef::as_str);
        dict.setattr(intern!(py, "serialized"), PyFrozenSet::new(py, serialized)?)?;
    }
    for (key, value) in value.members() {
        if !is_note(&key) {
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
