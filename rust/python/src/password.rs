//! A password of an engine that a function of the application returns.
//!
//! It is called before each connection, on a thread that may wait. Not here: its deadline (`brokers`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::describe::describe;
use crate::not_json::LONE_SURROGATE;

/// How long a connection waits while the function is called for another one.
const TURN: Duration = Duration::from_secs(10);

/// Letters of an exception that the log shows (count).
const SHOWN: usize = 200;

/// Calls the function, once at a time: one that does not return keeps one thread, however often a
/// connection is tried.
pub(crate) struct PasswordFunction {
    function: Arc<Py<PyAny>>,
    is_called: Mutex<bool>,
    returned: Condvar,
}

impl PasswordFunction {
    pub(crate) fn new(function: Arc<Py<PyAny>>) -> Self {
        Self {
            function,
            is_called: Mutex::new(false),
            returned: Condvar::new(),
        }
    }

    /// Calls it, and blocks until it has returned.
    ///
    /// # Errors
    ///
    /// Why there is no password, for the log.
    pub(crate) fn ask(&self) -> Result<String, String> {
        let mut is_called = self.is_called.lock();
        let waited = self
            .returned
            .wait_while_for(&mut is_called, |is_called| *is_called, TURN);
        if waited.timed_out() {
            return Err("the function `password` has not returned from an earlier call".to_owned());
        }
        *is_called = true;
        drop(is_called);
        let password = Python::try_attach(|py| call(self.function.bind(py)));
        *self.is_called.lock() = false;
        self.returned.notify_one();
        password.unwrap_or_else(|| Err("the interpreter ends".to_owned()))
    }
}

fn call(function: &Bound<'_, PyAny>) -> Result<String, String> {
    let returned = function
        .call0()
        .map_err(|error| told(&error, function.py()))?;
    let Ok(text) = returned.cast::<PyString>() else {
        // A coroutine that is not awaited warns, unless it is closed.
        let _is_closed = returned.call_method0("close");
        return Err(format!(
            "the function `password` has returned {}: return a string",
            describe(&returned)
        ));
    };
    match text.to_str() {
        Ok("") => Err("the function `password` has returned an empty string".to_owned()),
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(format!("the password: {LONE_SURROGATE}")),
    }
}

/// Returns what the log says of an exception of the function.
fn told(error: &PyErr, py: Python<'_>) -> String {
    let class = error.get_type(py).name();
    let class = class.map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
    let text = error.value(py).str();
    let text = text.map_or_else(
        |_| String::new(),
        |text| text.to_string_lossy().into_owned(),
    );
    let text: String = text.chars().take(SHOWN).collect();
    format!("the function `password` has raised {class}: {text}")
}
