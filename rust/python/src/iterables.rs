//! Reads lists: any iterable that is not a text, a mapping or an object with fields.

use std::cell::RefCell;

use pyo3::exceptions::PyOverflowError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyFrozenSet, PyIterator, PyList, PyMapping, PyMemoryView, PySet,
    PyString, PyTuple, PyType,
};

use crate::exit::is_exit;

/// Items of an iterable without length (count). Past it the iterable is refused: it may be endless.
const MAX_ITEMS: usize = 1_000_000;

/// Returns the attributes that mark a class whose objects have fields.
fn declarations(py: Python<'_>) -> [&Bound<'_, PyString>; 4] {
    [
        intern!(py, "__dataclass_fields__"),
        intern!(py, "__pydantic_fields__"),
        intern!(py, "__struct_fields__"),
        intern!(py, "__attrs_attrs__"),
    ]
}

/// Whether an object is read as a list.
pub(crate) fn is_list(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        return Ok(true);
    }
    if object.is_instance_of::<PyString>() || object.is_instance_of::<PyDict>() {
        return Ok(false);
    }
    if object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>() {
        return Ok(true);
    }
    is_other_list(object)
}

fn is_other_list(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static ITERABLE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    let iterable = ITERABLE.import(py, "collections.abc", "Iterable")?;
    if !object.is_instance(iterable)?
        || object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyByteArray>()
        || object.is_instance_of::<PyMemoryView>()
        || object.is_instance_of::<PyType>()
        || object.cast::<PyMapping>().is_ok()
    {
        return Ok(false);
    }
    // A pydantic model iterates over its fields.
    let class = object.get_type();
    for declared in declarations(py) {
        if class.hasattr(declared)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the items of an iterable, one after the other.
pub(crate) fn items<'py>(
    object: &Bound<'py, PyAny>,
) -> PyResult<impl Iterator<Item = PyResult<Bound<'py, PyAny>>> + use<'py>> {
    let has_length = match object.len() {
        Err(error) if is_exit(object.py(), &error) => return Err(error),
        length => length.is_ok(),
    };
    let items = object.try_iter()?;
    Ok(items.enumerate().map(move |(index, item)| {
        if index >= MAX_ITEMS && !has_length {
            return Err(PyOverflowError::new_err(format!(
                "it has more than {MAX_ITEMS} items: is it endless?"
            )));
        }
        item
    }))
}

/// The items of iterators that were read, because an iterator can be read only once but its field
/// may be selected twice.
#[derive(Default)]
pub(crate) struct Drained<'py>(RefCell<Vec<(Bound<'py, PyAny>, Bound<'py, PyList>)>>);

impl<'py> Drained<'py> {
    /// Returns the object to iterate over instead of an object.
    pub(crate) fn of(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if object.cast::<PyIterator>().is_err() {
            return Ok(object.clone());
        }
        let known = self.0.borrow();
        if let Some((_, list)) = known.iter().find(|(known, _)| known.is(object)) {
            return Ok(list.clone().into_any());
        }
        drop(known);
        let read = items(object)?.collect::<PyResult<Vec<_>>>()?;
        let list = PyList::new(object.py(), read)?;
        self.0.borrow_mut().push((object.clone(), list.clone()));
        Ok(list.into_any())
    }
}
