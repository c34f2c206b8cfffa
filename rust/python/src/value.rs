//! Implements `Value` for Python objects: mapping keys, attributes, lists, leaves.
//!
//! Objects are written directly as bytes, without an intermediate JSON value.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use graphql::{EnumType, Key, ResolverError, Scalar, TypeName, Value, is_alike};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet,
    PyString, PyTuple,
};

use crate::classes::{Classes, ObjectType};
use crate::describe::{describe, is_method, is_uncalled};
use crate::event::PyEvent;
use crate::event_data;
use crate::failure::Failures;
use crate::host_types::HostTypes;
use crate::iterables::{self, Drained};
use crate::json::to_json;
use crate::members::read_quietly;

/// The names in a schema, for reading Python objects.
pub(crate) struct Names {
    /// The names of all fields as Python strings, by the ids of their keys.
    fields: Vec<Py<PyString>>,
    serializers: Arc<Serializers>,
    classes: Arc<Classes>,
    /// Fields whose reading may warn, by the ids of their keys.
    deprecated: Vec<bool>,
    failures: Arc<Failures>,
}

/// Serializers of custom scalars, by name.
pub(crate) type Serializers = HashMap<String, Py<PyAny>>;

impl Names {
    pub(crate) fn new(
        py: Python<'_>,
        keys: &[Arc<str>],
        serializers: Arc<Serializers>,
        classes: Arc<Classes>,
        deprecated: &HashSet<String>,
        failures: Arc<Failures>,
    ) -> Self {
        let fields = keys.iter().map(|key| PyString::intern(py, key).unbind());
        Self {
            fields: fields.collect(),
            serializers,
            classes,
            deprecated: keys.iter().map(|key| deprecated.contains(&**key)).collect(),
            failures,
        }
    }

    fn name<'py>(&self, py: Python<'py>, key: &Key) -> &Bound<'py, PyString> {
        self.fields[key.id].bind(py)
    }
}

/// A Python object that is being projected.
#[derive(Clone)]
pub(crate) struct PyValue<'py, 'n> {
    object: Bound<'py, PyAny>,
    names: &'n Names,
    drained: &'n Drained<'py>,
    /// Whether scalars of the application have already serialised it.
    is_serialized: bool,
}

impl<'py, 'n> PyValue<'py, 'n> {
    pub(crate) fn new(
        object: Bound<'py, PyAny>,
        names: &'n Names,
        drained: &'n Drained<'py>,
    ) -> Self {
        Self {
            object,
            names,
            drained,
            is_serialized: false,
        }
    }

    fn with(&self, object: Bound<'py, PyAny>) -> Self {
        // An event is read as its data.
        let data = object.cast::<PyEvent>().ok();
        let data = data.and_then(|event| event.get().whole(object.py()).ok());
        Self::new(data.unwrap_or(object), self.names, self.drained)
    }

    /// Returns an item of this list as a value.
    fn item(&self, object: Bound<'py, PyAny>) -> Self {
        Self {
            is_serialized: self.is_serialized,
            ..self.with(object)
        }
    }

    /// Whether this is an object of an event with a field that was serialised at publishing.
    fn has_serialized(&self, field: &Bound<'py, PyString>) -> bool {
        !self.names.serializers.is_empty()
            && event_data::serialized(&self.object)
                .is_some_and(|names| names.contains(field).unwrap_or(false))
    }

    fn find_type(&self, is_possible: &dyn Fn(&str) -> bool) -> PyResult<TypeName<'static>> {
        let py = self.object.py();
        let owned = |name: &Bound<'_, PyString>| name.to_str().map(|name| name.to_owned().into());
        if let Ok(mapping) = self.object.cast::<PyMapping>() {
            let key = intern!(py, "__typename");
            if mapping.contains(key)? {
                let name = mapping.get_item(key)?.cast_into::<PyString>()?;
                return Ok(TypeName::Named(owned(&name)?));
            }
            let noted = event_data::type_name(&self.object);
            return Ok(match noted {
                Some(name) if is_possible(name.to_str()?) => TypeName::Named(owned(&name)?),
                _ => TypeName::Unnamed(None),
            });
        }
        Ok(match self.names.classes.find(&self.object, is_possible)? {
            ObjectType::Possible(name) | ObjectType::Other(name) => TypeName::Named(name.into()),
            ObjectType::Unknown if is_leaf(&self.object)? || !has_members(&self.object)? => {
                TypeName::Invalid
            }
            ObjectType::Unknown => TypeName::Unnamed(Some(owned(&self.object.get_type().name()?)?)),
        })
    }

    /// Returns the client's error for an exception that reading this object raised.
    fn raised(&self, error: PyErr, problem: &str) -> ResolverError {
        let py = self.object.py();
        self.names.failures.of_field(py, problem.to_owned(), error)
    }

    /// Returns `instead`; an exception that ends the program is passed on.
    fn without<T>(&self, error: PyErr, instead: T) -> T {
        self.names.failures.pass_on(self.object.py(), error);
        instead
    }

    /// Returns the name of an enum member.
    fn member_name(&self) -> PyResult<Option<String>> {
        let py = self.object.py();
        if HostTypes::get(py)?.enum_value(&self.object)?.is_none() {
            return Ok(None);
        }
        let name = self.object.getattr(intern!(py, "name"))?;
        Ok(Some(name.cast::<PyString>()?.to_str()?.to_owned()))
    }
}

impl Value for PyValue<'_, '_> {
    fn is_null(&self) -> bool {
        self.object.is_none()
    }

    fn field(&self, key: &Key) -> Result<Option<Self>, ResolverError> {
        let name = self.names.name(self.object.py(), key);
        let child = if let Ok(dict) = self.object.cast::<PyDict>() {
            dict.get_item(name)
        } else if self.names.deprecated[key.id] {
            deprecated_member(&self.object, name)
        } else {
            member(&self.object, name)
        };
        match child {
            Ok(child) => Ok(child.map(|object| Self {
                is_serialized: self.has_serialized(name),
                ..self.with(object)
            })),
            Err(error) => Err(self.raised(error, "reading")),
        }
    }

    fn has_members(&self) -> bool {
        has_members(&self.object).unwrap_or_else(|error| self.without(error, true))
    }

    fn alike(&self, name: &str) -> Option<String> {
        let mut known = self.object.cast::<PyDict>().ok()?.keys().into_iter();
        known.find_map(|known| {
            let known = known.cast::<PyString>().ok()?.to_str().ok()?;
            is_alike(known, name).then(|| known.to_owned())
        })
    }

    fn type_name(&self, is_possible: &dyn Fn(&str) -> bool) -> TypeName<'_> {
        self.find_type(is_possible)
            .unwrap_or_else(|error| self.without(error, TypeName::Invalid))
    }

    fn is_list(&self) -> bool {
        iterables::is_list(&self.object).unwrap_or_else(|error| self.without(error, false))
    }

    fn for_each(
        &self,
        mut visit: impl FnMut(Self) -> ControlFlow<()>,
    ) -> Result<(), ResolverError> {
        if let Ok(list) = self.object.cast::<PyList>()
            && (list.is_exact_instance_of::<PyList>() || event_data::is_list(&self.object))
        {
            for item in list.iter() {
                if visit(self.item(item)).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let failed = |error: PyErr| self.raised(error, "reading the items of");
        let items = self.drained.of(&self.object).map_err(failed)?;
        for item in iterables::items(&items).map_err(failed)? {
            if visit(self.item(item.map_err(failed)?)).is_break() {
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
            return integer(object).unwrap_or_else(|error| self.without(error, Scalar::Other));
        }
        if let Ok(boolean) = object.cast::<PyBool>() {
            return Scalar::Bool(boolean.is_true());
        }
        if let Ok(float) = object.cast_exact::<PyFloat>() {
            return Scalar::Float(float.value());
        }
        uncommon(object).unwrap_or_else(|error| self.without(error, Scalar::Other))
    }

    fn enum_name<'e>(&self, enum_type: &'e EnumType) -> Option<&'e str> {
        if let Some(name) = enum_type.name_of(&self.scalar()) {
            return Some(name);
        }
        // A member whose value has no JSON form is written as its name.
        let name = self
            .member_name()
            .unwrap_or_else(|error| self.without(error, None))?;
        enum_type.name_of(&Scalar::String(Cow::Owned(name)))
    }

    fn write_scalar(&self, scalar: &str, out: &mut Vec<u8>) -> Result<(), ResolverError> {
        let mut object = self.object.clone();
        if !self.is_serialized
            && let Some(serialize) = self.names.serializers.get(scalar)
        {
            object = serialize
                .bind(object.py())
                .call1((&object,))
                .map_err(|error| self.raised(error, "serializing"))?;
        }
        let value = to_json(&object).map_err(|error| {
            let detail = error.message(scalar);
            match error.into_exit(object.py()) {
                Some(exit) => self.raised(exit, "serializing"),
                None => self.misfit(format!("{scalar} cannot represent this value"), detail),
            }
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

/// Reads an attribute, or an item of a mapping that is not a dict.
fn member<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let attribute = object.getattr_opt(name)?;
    if let Some(value) = &attribute
        && !is_method(value)?
    {
        return Ok(Some(value.clone()));
    }
    // A mapping has methods such as `items`, and may have a key with the same name.
    match object.cast::<PyMapping>() {
        Ok(mapping) if mapping.contains(name)? => mapping.get_item(name).map(Some),
        _ => Ok(attribute),
    }
}

/// Reads a deprecated attribute without its warning.
fn deprecated_member<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match read_quietly(object, name)? {
        Some(value) => Ok(Some(value)),
        None => member(object, name),
    }
}

/// Whether this may have fields. Any class of the application may, also if it derives from a leaf.
fn has_members(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if object.is_instance_of::<PyDict>() {
        return Ok(true);
    }
    let is_leaf = object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBytes>()
        || object.is_exact_instance_of::<PyByteArray>();
    let is_list = event_data::is_list(object)
        || object.is_exact_instance_of::<PyList>()
        || object.is_exact_instance_of::<PyTuple>()
        || object.is_exact_instance_of::<PySet>()
        || object.is_exact_instance_of::<PyFrozenSet>();
    Ok(!is_leaf && !is_list && !is_uncalled(object)?)
}

/// Whether the class of this value is a leaf.
fn is_leaf(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let is_scalar = object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyInt>()
        || object.is_instance_of::<PyFloat>();
    Ok(is_scalar || iterables::is_list(object)?)
}

fn integer(object: &Bound<'_, PyAny>) -> PyResult<Scalar<'static>> {
    if let Ok(value) = object.extract::<i64>() {
        return Ok(Scalar::Int(value));
    }
    if let Ok(value) = object.extract::<u64>() {
        return Ok(Scalar::UInt(value));
    }
    // Past 64 bits only `ID` and `String` could contain it, and they accept text. Past 4,300 digits
    // Python does not convert it to text.
    let text = object.str()?;
    Ok(Scalar::String(Cow::Owned(text.to_str()?.to_owned())))
}

fn uncommon(object: &Bound<'_, PyAny>) -> PyResult<Scalar<'static>> {
    let types = HostTypes::get(object.py())?;
    if let Some(value) = types.enum_value(object)? {
        return leaf(&value);
    }
    if let Some(text) = types.text(object)? {
        return Ok(Scalar::String(Cow::Owned(text.to_str()?.to_owned())));
    }
    leaf(object)
}

/// Returns built-in leaves, and instances of classes that derive from them.
fn leaf(object: &Bound<'_, PyAny>) -> PyResult<Scalar<'static>> {
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Scalar::String(Cow::Owned(text.to_str()?.to_owned())));
    }
    if let Ok(boolean) = object.cast::<PyBool>() {
        return Ok(Scalar::Bool(boolean.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return integer(object);
    }
    Ok(match object.cast::<PyFloat>() {
        Ok(float) => Scalar::Float(float.value()),
        Err(_) => Scalar::Other,
    })
}

#[cfg(test)]
mod tests;
