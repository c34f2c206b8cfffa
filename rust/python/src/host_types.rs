//! Classes of the standard library whose objects have a JSON form of their own: enums, dates, times,
//! `Decimal`, `UUID`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

/// Python types that are checked after the exact built-in types.
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
                // `datetime` derives from `date`.
                as_iso: [find("datetime", "date")?, find("datetime", "time")?],
                as_text: [find("decimal", "Decimal")?, find("uuid", "UUID")?],
            })
        })
    }

    /// Whether this is an enum member, or has a text.
    pub(crate) fn is_enum_or_text(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let classes = [&self.enumeration].into_iter();
        let mut classes = classes.chain(&self.as_iso).chain(&self.as_text);
        classes.try_fold(false, |known, class| {
            Ok(known || object.is_instance(class.bind(object.py()))?)
        })
    }

    /// Returns the value of an enum member.
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

    /// Returns the text of a date, a time, a `Decimal` or a `UUID`.
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
