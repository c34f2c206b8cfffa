//! The object types of Python classes, where an interface or a union needs them.
//!
//! A published object becomes JSON and loses its class. What tells its type is noted in the JSON,
//! in a member of its own ([`graphql::TYPE_MEMBER`]), and goes with the dict that resolvers read.

use std::collections::HashSet;

use graphql::Schema;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyType};

/// Which classes are which types of interfaces and unions.
pub(crate) struct Classes {
    /// Names of types by class, and by `Page[Order]` for what is made of a generic class.
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
    /// One that is possible.
    Possible(String),
    /// One that is not.
    Other(String),
    /// The schema does not know its class, or has several types of it.
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

    /// The type that is noted of a published object.
    pub(crate) fn published(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        if self.members.is_empty() {
            return Ok(None);
        }
        match self.find(object, &|name| self.members.contains(name))? {
            ObjectType::Possible(name) => Ok(Some(name)),
            ObjectType::Other(_) | ObjectType::Unknown => Ok(None),
        }
    }

    /// The type of an object by its class, or by the nearest one that it derives from.
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

    /// One of several types that were made of a generic class: made as `Page[Order](...)`.
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
    /// What makes JSON of the fields of an object, by their names; `None`: of none.
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
        // Of a generic class they depend on what it was made as.
        let scalars = if scalars.is_callable() {
            scalars.call1((object,))?
        } else {
            scalars
        };
        Ok(scalars.cast_into().ok())
    }
}

/// Classes that are known at a time (count): past it they are read again.
const MAX_CLASSES: usize = 1024;
