//! The load generator as a function: its command line in, its exit status out.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs `fraiseql-subs load` with these arguments, without the GIL; returns the exit status.
///
/// Ctrl-C stops it. That is asked ten times a second, on the thread that called.
#[pyfunction]
#[pyo3(signature = (arguments, /))]
pub(crate) fn load(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let mut interrupted = || Python::attach(|py| py.check_signals().is_err());
    let run = || ::load::command("fraiseql-subs load", arguments, &mut interrupted) as u8;
    py.detach(run)
}
