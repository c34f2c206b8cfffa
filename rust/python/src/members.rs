//! Reads the fields of Python objects: dataclasses, models, attrs classes, structs, named tuples,
//! mappings.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyDict, PyFloat, PyInt, PyList, PyMapping, PyNotImplemented, PyString, PyTuple, PyType,
};

use crate::classes::MAX_CLASSES;
use crate::event::PyEvent;
use crate::host_types::HostTypes;

/// Names and values.
pub(crate) type Fields<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

/// Returns a copy of the entries of a dict. Converting them may run code of the application or of
/// another thread that changes the dict.
pub(crate) fn entries<'py>(
    dict: &Bound<'py, PyDict>,
) -> Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    dict.iter().collect()
}

/// Returns the dump of a pydantic model that has its own serializers.
pub(crate) fn dumped<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
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

/// Whether a field of a pydantic model is excluded from its dump.
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

/// Returns names and values of the fields of a pydantic model or dataclass.
fn model_fields<'py>(
    object: &Bound<'py, PyAny>,
    infos: &Bound<'py, PyDict>,
) -> PyResult<Fields<'py>> {
    // Bypasses pydantic's descriptors, which warn about deprecated fields.
    let own = object.getattr_opt(intern!(object.py(), "__dict__"))?;
    let own = own.and_then(|own| own.cast_into::<PyDict>().ok());
    let mut fields = Vec::with_capacity(infos.len());
    for (name, info) in entries(infos) {
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

/// Returns names and values of a dataclass, a model, an attrs class, a struct or a mapping.
pub(crate) fn fields_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Fields<'py>>> {
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
    for declared in declarations(py) {
        if let Some(names) = class.getattr_opt(declared)? {
            let read = |field: Bound<'py, PyAny>| {
                let name = field_name(field)?;
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

/// Returns the names of the fields that the class of an object declares, which are read once for each
/// class; `None`: it is read in another way, such as a model of pydantic or an object with computed
/// fields.
pub(crate) fn declared_fields<'py>(
    object: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let (py, class) = (object.py(), object.get_type());
    let known = KNOWN.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    if let Some(names) = known.get_item(&class)? {
        return Ok(names.cast_into().ok());
    }
    let names = read_declared_fields(object, &class)?;
    if known.len() >= MAX_CLASSES {
        known.clear();
    }
    known.set_item(&class, &names)?;
    Ok(names)
}

fn read_declared_fields<'py>(
    object: &Bound<'py, PyAny>,
    class: &Bound<'py, PyType>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = object.py();
    let types = HostTypes::get(py)?;
    let is_other = object.is_instance_of::<PyType>()
        || object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyInt>()
        || object.is_instance_of::<PyFloat>()
        || object.is_instance_of::<PyDict>()
        || object.is_instance_of::<PyList>()
        || object.is_instance_of::<PyEvent>()
        || types.is_enum_or_text(object)?;
    if is_other {
        return Ok(None);
    }
    for other in [
        intern!(py, "__pydantic_decorators__"),
        intern!(py, "__pydantic_fields__"),
        intern!(py, "__graphql_computed__"),
    ] {
        if class.hasattr(other)? {
            return Ok(None);
        }
    }
    for declared in declarations(py) {
        if let Some(fields) = class.getattr_opt(declared)? {
            let names = fields.try_iter()?.map(|field| field_name(field?));
            let names = names.collect::<PyResult<Vec<_>>>()?;
            return PyTuple::new(py, names).map(Some);
        }
    }
    Ok(None)
}

/// Returns the attributes with the fields of a class.
fn declarations(py: Python<'_>) -> [&Bound<'_, PyString>; 3] {
    [
        intern!(py, "__dataclass_fields__"),
        intern!(py, "__struct_fields__"),
        intern!(py, "__attrs_attrs__"),
    ]
}

/// Returns the name of a declared field.
fn field_name(field: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    match field.cast::<PyString>() {
        Ok(_) => Ok(field),
        // attrs has objects that contain the name.
        Err(_) => field.getattr(intern!(field.py(), "name")),
    }
}

/// Returns the names of the fields of a named tuple, such as a database row.
fn tuple_fields<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyTuple>>> {
    if object.cast::<PyTuple>().is_err() {
        return Ok(None);
    }
    let names = object.getattr_opt(intern!(object.py(), "_fields"))?;
    Ok(names.and_then(|names| names.cast_into::<PyTuple>().ok()))
}

/// Reads a deprecated attribute without its warning; `None`: it is not deprecated.
pub(crate) fn read_quietly<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    static READ: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let read = READ.import(py, "fraiseql_subs.schema.deprecation", "read")?;
    let value = read.call1((object, name))?;
    Ok((!value.is(PyNotImplemented::get(py))).then_some(value))
}

fn read_member<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    match read_quietly(object, name)? {
        Some(value) => Ok(value),
        None => object.getattr(name),
    }
}

/// Adds the computed fields of the class.
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
