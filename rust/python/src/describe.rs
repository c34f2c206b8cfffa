//! Describes objects in messages. Recognises objects that were passed instead of their result, such
//! as a method or a coroutine, so that the message can name the missing step.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyType};

/// Describes an object without calling its `repr`, which may be long or raise.
pub(crate) fn describe(object: &Bound<'_, PyAny>) -> String {
    if let Some(told) = describe_uncalled(object) {
        return told;
    }
    let class = object.get_type();
    let name = class
        .name()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string());
    format!("an object of type `{name}`")
}

/// Whether an object is a method.
pub(crate) fn is_method(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static METHOD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let method = METHOD.import(object.py(), "types", "MethodType")?;
    Ok(object.is_instance_of::<PyCFunction>() || object.is_exact_instance(method))
}

/// Whether an object has to be called, awaited or iterated to get a value.
pub(crate) fn is_uncalled(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(is_awaitable(object)? || is_callable(object)? || is_generator(object)?)
}

/// Describes an object that has to be called or awaited; `None`: it has not, or cannot be
/// inspected.
fn describe_uncalled(object: &Bound<'_, PyAny>) -> Option<String> {
    if is_awaitable(object).ok()? {
        let class = object.get_type();
        let name = class.name().ok()?;
        return Some(format!(
            "an object of type `{name}` that was not awaited (await it)"
        ));
    }
    if !is_callable(object).ok()? {
        return None;
    }
    let py = object.py();
    let name = object.getattr(intern!(py, "__name__")).ok()?;
    if !is_method(object).ok()? {
        return Some(format!(
            "the function `{name}`, which was not called (call it)"
        ));
    }
    let owner = object.getattr(intern!(py, "__self__")).ok()?;
    let class = owner.get_type();
    let class = class.name().ok()?;
    Some(format!(
        "the method `{class}.{name}`, which is not called (a value is an attribute, a property or a computed_field; a method of a Strawberry type is called by its own executor alone)"
    ))
}

fn is_awaitable(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.get_type().hasattr(intern!(object.py(), "__await__"))
}

fn is_callable(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static FUNCTION: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let function = FUNCTION.import(object.py(), "types", "FunctionType")?;
    Ok(object.is_exact_instance(function) || is_method(object)?)
}

fn is_generator(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GENERATOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static ASYNC_GENERATOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    let generator = GENERATOR.import(py, "types", "GeneratorType")?;
    let async_generator = ASYNC_GENERATOR.import(py, "types", "AsyncGeneratorType")?;
    Ok(object.is_exact_instance(generator) || object.is_exact_instance(async_generator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{evaluate, with_python};

    fn described(expression: &str) -> String {
        with_python(|py| describe(&evaluate(py, expression)))
    }

    #[test]
    fn objects_are_named_by_their_type_alone() {
        let class = "type('Secret', (), {'__repr__': lambda self: 1 / 0})";
        assert_eq!(
            described(&format!("{class}()")),
            "an object of type `Secret`"
        );
        assert_eq!(described("'x' * 10**6"), "an object of type `str`");
        assert_eq!(described("None"), "an object of type `NoneType`");
    }

    #[test]
    fn what_was_not_called_or_awaited_is_said_to_be_so() {
        assert_eq!(
            described("(lambda: 1)"),
            "the function `<lambda>`, which was not called (call it)"
        );
        assert!(
            described("[].append").starts_with("the method `list.append`, which is not called")
        );
        let awaitable = "type('Later', (), {'__await__': lambda self: iter(())})()";
        assert_eq!(
            described(awaitable),
            "an object of type `Later` that was not awaited (await it)"
        );
    }

    #[test]
    fn generators_have_no_value_yet() {
        with_python(|py| {
            assert!(is_uncalled(&evaluate(py, "(i for i in [])")).unwrap());
            assert!(!is_uncalled(&evaluate(py, "[]")).unwrap());
        });
    }
}
