//! Determines the object types of Python classes, for interfaces and unions.
//!
//! A published object is converted to JSON and loses its class. Its type is stored in the JSON, in
//! an additional member ([`graphql::TYPE_MEMBER`]), and in the dict that resolvers read.

use std::collections::HashSet;

use graphql::Schema;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyType};

/// Maps classes to the types of interfaces and unions.
pub(crate) struct Classes {
    /// Names of types by class, and by `Page[Order]` for a generic class.
    by_class: Py<PyDict>,
    /// All object types of interfaces and unions.
    members: HashSet<String>,
    /// All types of the schema.
    types: HashSet<String>,
    /// The fields of classes that have scalars of the application.
    pub(crate) scalars: Scalars,
}

/// The type of an object.
pub(crate) enum ObjectType {
    /// A possible type.
    Possible(String),
    /// A type that is not possible.
    Other(String),
    /// The schema does not know its class, or has several types for it.
    Unknown,
}

impl Classes {
    pub(crate) fn new(by_class: Py<PyDict>, schema: &Schema) -> Self {
        Self {
            scalars: Scalars(PyOnceLock::new()),
            by_class,
            members: schema.abstract_members().map(str::to_owned).collect(),
            types: schema.type_names().map(str::to_owned).collect(),
        }
    }

    /// Returns the type to store with a published object.
    pub(crate) fn published(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        if self.members.is_empty() {
            return Ok(None);
        }
        match self.find(object, &|name| self.members.contains(name))? {
            ObjectType::Possible(name) => Ok(Some(name)),
            ObjectType::Other(_) | ObjectType::Unknown => Ok(None),
        }
    }

    /// Returns the type of an object by its class, or by its nearest base class.
    pub(crate) fn find(
        &self,
        object: &Bound<'_, PyAny>,
        is_possible: &dyn Fn(&str) -> bool,
    ) -> PyResult<ObjectType> {
        let by_class = self.by_class.bind(object.py());
        let mut other = None;
        for class in object.get_type().mro() {
            if let Some(names) = by_class.get_item(&class)? {
                let names: Vec<String> = names.extract()?;
                let mut possible = names.iter().filter(|name| is_possible(name));
                match (possible.next(), possible.next()) {
                    (Some(name), None) => return Ok(ObjectType::Possible(name.clone())),
                    (Some(_), Some(_)) => return self.find_generic(object, is_possible),
                    (None, _) => other = other.or(names.into_iter().next()),
                }
            }
            let name = class.cast::<PyType>()?.name()?;
            let name = name.to_str()?;
            if is_possible(name) {
                return Ok(ObjectType::Possible(name.to_owned()));
            }
            if other.is_none() && self.types.contains(name) {
                other = Some(name.to_owned());
            }
        }
        Ok(other.map_or(ObjectType::Unknown, ObjectType::Other))
    }

    /// Returns the type of an object of a generic class that was created as `Page[Order](...)`.
    fn find_generic(
        &self,
        object: &Bound<'_, PyAny>,
        is_possible: &dyn Fn(&str) -> bool,
    ) -> PyResult<ObjectType> {
        let py = object.py();
        let Some(made_as) = object.getattr_opt(intern!(py, "__orig_class__"))? else {
            return Ok(ObjectType::Unknown);
        };
        let Some(names) = self.by_class.bind(py).get_item(made_as)? else {
            return Ok(ObjectType::Unknown);
        };
        let names: Vec<String> = names.cast::<PyList>()?.extract()?;
        let name = names.into_iter().find(|name| is_possible(name));
        Ok(name.map_or(ObjectType::Unknown, ObjectType::Possible))
    }
}

/// The fields of classes that have scalars of the application, read once for each class.
pub(crate) struct Scalars(PyOnceLock<Py<PyDict>>);

impl Scalars {
    /// Returns the serializers of an object's fields, by name; `None`: there are none.
    pub(crate) fn of<'py>(
        &self,
        object: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        static READ: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let (py, class) = (object.py(), object.get_type());
        let known = self.0.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
        let scalars = match known.get_item(&class)? {
            Some(scalars) => scalars,
            None => {
                let read = READ.import(py, "fraiseql_subs.schema.published", "scalar_fields")?;
                let scalars = read.call1((&class,))?;
                if known.len() >= MAX_CLASSES {
                    known.clear();
                }
                known.set_item(&class, &scalars)?;
                scalars
            }
        };
        // For a generic class they depend on its type arguments.
        let scalars = if scalars.is_callable() {
            scalars.call1((object,))?
        } else {
            scalars
        };
        Ok(scalars.cast_into().ok())
    }
}

/// Classes in the cache (count); past it they are read again.
pub(crate) const MAX_CLASSES: usize = 1024;
