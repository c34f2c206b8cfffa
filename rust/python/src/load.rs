//! The load generator as a Python function.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs `fraiseql-subs load` with these arguments, without the GIL; returns the exit status.
///
/// Ctrl-C stops it. The calling thread checks for it ten times a second.
#[pyfunction]
#[pyo3(signature = (arguments, /))]
pub(crate) fn load(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let mut interrupted = || Python::attach(|py| py.check_signals().is_err());
    let run = || ::load::command("fraiseql-subs load", arguments, &mut interrupted) as u8;
    py.detach(run)
}
