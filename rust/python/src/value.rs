//! Python objects as the projection reads them: mapping keys, attributes, lists, leaves.
//!
//! Straight to bytes; no JSON value is made between.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use graphql::{EnumType, Key, ResolverError, Scalar, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple,
    PyType,
};

use crate::failure::Failures;
use crate::json::{HostTypes, describe, to_json};

/// What a schema says of Python objects.
pub(crate) struct Names {
    /// The names of all fields as Python strings, by the ids of their keys.
    fields: Vec<Py<PyString>>,
    serializers: Arc<Serializers>,
    failures: Arc<Failures>,
}

/// What makes JSON of the values of custom scalars, by their names.
pub(crate) type Serializers = HashMap<String, Py<PyAny>>;

impl Names {
    pub(crate) fn new(
        py: Python<'_>,
        keys: &[Arc<str>],
        serializers: Arc<Serializers>,
        failures: Arc<Failures>,
    ) -> Self {
        let fields = keys.iter().map(|key| PyString::intern(py, key).unbind());
        Self {
            fields: fields.collect(),
            serializers,
            failures,
        }
    }

    fn name<'py>(&self, py: Python<'py>, key: &Key) -> &Bound<'py, PyString> {
        self.fields[key.id].bind(py)
    }
}

/// A Python object under projection.
#[derive(Clone)]
pub(crate) struct PyValue<'py, 'n> {
    object: Bound<'py, PyAny>,
    names: &'n Names,
}

impl<'py, 'n> PyValue<'py, 'n> {
    pub(crate) fn new(object: Bound<'py, PyAny>, names: &'n Names) -> Self {
        Self { object, names }
    }

    fn with(&self, object: Bound<'py, PyAny>) -> Self {
        Self::new(object, self.names)
    }

    /// What the client is told of an exception that came while this was read.
    fn raised(&self, error: PyErr, problem: &str) -> ResolverError {
        let py = self.object.py();
        self.names.failures.of_field(py, problem.to_owned(), error)
    }

    fn enum_member(&self) -> PyResult<Option<Bound<'py, PyAny>>> {
        HostTypes::get(self.object.py())?.enum_value(&self.object)
    }
}

impl Value for PyValue<'_, '_> {
    fn is_null(&self) -> bool {
        self.object.is_none()
    }

    fn field(&self, key: &Key) -> Result<Option<Self>, ResolverError> {
        let name = self.names.name(self.object.py(), key);
        let found = if let Ok(dict) = self.object.cast::<PyDict>() {
            dict.get_item(name)
        } else {
            member(&self.object, name)
        };
        match found {
            Ok(found) => Ok(found.map(|object| self.with(object))),
            Err(error) => Err(self.raised(error, "reading")),
        }
    }

    fn type_name(&self) -> Option<Cow<'_, str>> {
        let py = self.object.py();
        let name = if let Ok(mapping) = self.object.cast::<PyMapping>() {
            mapping
                .get_item(intern!(py, "__typename"))
                .ok()?
                .cast_into::<PyString>()
                .ok()?
        } else {
            self.object.get_type().name().ok()?
        };
        Some(Cow::Owned(name.to_str().ok()?.to_owned()))
    }

    fn is_list(&self) -> bool {
        let object = &self.object;
        object.is_instance_of::<PyList>()
            || object.is_instance_of::<PyTuple>()
            || (!object.is_instance_of::<PyString>()
                && !object.is_instance_of::<PyDict>()
                && is_collection(object).unwrap_or(false))
    }

    fn for_each(
        &self,
        mut visit: impl FnMut(Self) -> ControlFlow<()>,
    ) -> Result<(), ResolverError> {
        if let Ok(list) = self.object.cast_exact::<PyList>() {
            for item in list.iter() {
                if visit(self.with(item)).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let failed = |error: PyErr| self.raised(error, "reading the items of");
        for item in self.object.try_iter().map_err(failed)? {
            if visit(self.with(item.map_err(failed)?)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scalar(&self) -> Scalar<'_> {
        let object = &self.object;
        if let Ok(text) = object.cast_exact::<PyString>() {
            return text
                .to_str()
                .map_or(Scalar::Other, |text| Scalar::String(Cow::Borrowed(text)));
        }
        if object.is_exact_instance_of::<PyInt>() {
            return integer(object);
        }
        if let Ok(boolean) = object.cast::<PyBool>() {
            return Scalar::Bool(boolean.is_true());
        }
        if let Ok(float) = object.cast_exact::<PyFloat>() {
            return Scalar::Float(float.value());
        }
        uncommon(object).unwrap_or(Scalar::Other)
    }

    fn enum_name<'e>(&self, enum_type: &'e EnumType) -> Option<&'e str> {
        if let Some(name) = enum_type.name_of(&self.scalar()) {
            return Some(name);
        }
        // A member whose value has no JSON goes by its name.
        self.enum_member().ok()??;
        let name = self
            .object
            .getattr(intern!(self.object.py(), "name"))
            .ok()?;
        let name = name.cast::<PyString>().ok()?.to_str().ok()?.to_owned();
        enum_type.name_of(&Scalar::String(Cow::Owned(name)))
    }

    fn write_scalar(&self, scalar: &str, out: &mut Vec<u8>) -> Result<(), ResolverError> {
        let mut object = self.object.clone();
        if let Some(serialize) = self.names.serializers.get(scalar) {
            object = serialize
                .bind(object.py())
                .call1((&object,))
                .map_err(|error| self.raised(error, "serializing"))?;
        }
        let value = to_json(&object).map_err(|error| {
            self.misfit(
                format!("{scalar} cannot represent this value"),
                error.message(scalar),
            )
        })?;
        graphql::write_json(&value, out);
        Ok(())
    }

    fn is_debugged(&self) -> bool {
        self.names.failures.is_debug()
    }

    fn describe(&self) -> String {
        describe(&self.object)
    }
}

/// An attribute, or an item of a mapping that is no dict.
fn member<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Some(found) = object.getattr_opt(name)? {
        return Ok(Some(found));
    }
    match object.cast::<PyMapping>() {
        Ok(mapping) if mapping.contains(name)? => mapping.get_item(name).map(Some),
        _ => Ok(None),
    }
}

fn is_collection(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COLLECTION: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let collection = COLLECTION.import(object.py(), "collections.abc", "Collection")?;
    Ok(object.is_instance(collection)?
        && !object.is_instance_of::<PyBytes>()
        && !object.is_instance_of::<PyByteArray>()
        && object.cast::<PyMapping>().is_err())
}

fn integer(object: &Bound<'_, PyAny>) -> Scalar<'static> {
    if let Ok(value) = object.extract::<i64>() {
        return Scalar::Int(value);
    }
    if let Ok(value) = object.extract::<u64>() {
        return Scalar::UInt(value);
    }
    // Past 64 bits only `ID` and `String` could hold it, and they take text.
    object.str().map_or(Scalar::Other, |text| {
        Scalar::String(Cow::Owned(text.to_string()))
    })
}

fn uncommon(object: &Bound<'_, PyAny>) -> PyResult<Scalar<'static>> {
    let types = HostTypes::get(object.py())?;
    if let Some(value) = types.enum_value(object)? {
        return Ok(leaf(&value));
    }
    if let Some(text) = types.text(object)? {
        return Ok(Scalar::String(Cow::Owned(text.to_str()?.to_owned())));
    }
    Ok(leaf(object))
}

/// Built-in leaves and what derives from them.
fn leaf(object: &Bound<'_, PyAny>) -> Scalar<'static> {
    if let Ok(text) = object.cast::<PyString>() {
        return text.to_str().map_or(Scalar::Other, |text| {
            Scalar::String(Cow::Owned(text.to_owned()))
        });
    }
    if let Ok(boolean) = object.cast::<PyBool>() {
        return Scalar::Bool(boolean.is_true());
    }
    if object.is_instance_of::<PyInt>() {
        return integer(object);
    }
    match object.cast::<PyFloat>() {
        Ok(float) => Scalar::Float(float.value()),
        Err(_) => Scalar::Other,
    }
}
