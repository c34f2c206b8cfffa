//! Converts JSON text to Python objects without an intermediate tree of values, which would be many
//! times larger than either.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use protocol::SHARED_NAMES;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyNone, PyString};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Makes a Python object of JSON text; of a member that comes twice, the last one counts.
///
/// # Errors
///
/// `ValueError`: it is not one JSON value, is nested deeper than 127 levels, or has a lone
/// surrogate.
pub(crate) fn text_to_python<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let names = RefCell::default();
    let object = Objects(py, &names).deserialize(&mut reader);
    object
        .and_then(|object| reader.end().map(|()| object))
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Names of members, shared because they usually repeat.
type MemberNames<'py> = RefCell<HashMap<String, Bound<'py, PyString>>>;

/// Creates objects from the parsed values.
#[derive(Clone, Copy)]
struct Objects<'py, 'n>(Python<'py>, &'n MemberNames<'py>);

impl<'de, 'py> DeserializeSeed<'de> for Objects<'py, '_> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Objects<'py, '_> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(PyNone::get(self.0).to_owned().into_any())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.0, value).to_owned().into_any())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let object = value.into_pyobject(self.0).map_err(E::custom)?;
        Ok(object.into_any())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let object = value.into_pyobject(self.0).map_err(E::custom)?;
        Ok(object.into_any())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(PyFloat::new(self.0, value).into_any())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.0, text).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        let list = PyList::new(self.0, list).map_err(A::Error::custom)?;
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.0);
        while let Some(name) = members.next_key_seed(Name(self))? {
            let value = members.next_value_seed(self)?;
            dict.set_item(name, value).map_err(A::Error::custom)?;
        }
        Ok(dict.into_any())
    }
}

/// Returns the name of a member, shared if it is known.
struct Name<'py, 'n>(Objects<'py, 'n>);

impl<'de, 'py> DeserializeSeed<'de> for Name<'py, '_> {
    type Value = Bound<'py, PyString>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'py> Visitor<'_> for Name<'py, '_> {
    type Value = Bound<'py, PyString>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let Objects(py, names) = self.0;
        let mut names = names.borrow_mut();
        if let Some(known) = names.get(name) {
            return Ok(known.clone());
        }
        let made = PyString::new(py, name);
        if names.len() < SHARED_NAMES {
            names.insert(name.to_owned(), made.clone());
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests;
