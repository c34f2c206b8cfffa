//! Python inside the tests of this crate.
//!
//! Not here: what needs the package `fraiseql_subs` as well, which the tests in Python have.

use std::ffi::CString;
use std::sync::Once;

use proptest::prelude::*;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value};

/// Runs a test with an interpreter, which all tests of the process share.
pub(crate) fn with_python<T>(test: impl FnOnce(Python<'_>) -> T) -> T {
    static START: Once = Once::new();
    START.call_once(|| {
        Python::initialize();
        Python::attach(|py| {
            // The package would bring a core of its own, if one is installed.
            let modules = py.import("sys").unwrap().getattr("modules").unwrap();
            modules.set_item("fraiseql_subs", py.None()).unwrap();
        });
    });
    Python::attach(test)
}

/// Evaluates a Python expression.
pub(crate) fn evaluate<'py>(py: Python<'py>, expression: &str) -> Bound<'py, PyAny> {
    evaluate_after(py, "", expression)
}

/// Runs Python statements, and evaluates an expression that uses what they have defined.
pub(crate) fn evaluate_after<'py>(
    py: Python<'py>,
    statements: &str,
    expression: &str,
) -> Bound<'py, PyAny> {
    let scope = PyDict::new(py);
    scope.set_item("__name__", "tests").unwrap();
    let text = |code: &str| CString::new(code).unwrap();
    py.run(&text(statements), Some(&scope), None).unwrap();
    py.eval(&text(expression), Some(&scope), None).unwrap()
}

/// JSON values of every kind, nested some levels deep.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}
