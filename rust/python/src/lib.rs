//! `fraiseql_subs._core`: the runtime as a Python extension module.
//!
//! Thin: it converts, and it passes calls between the actors' threads and the user's event loop.
//! The GIL is only ever taken on that loop's thread, but for calls of a password function, whose threads
//! may wait.
//!
//! # Layout
//!
//! - `core`, `core_state`, `setup`, `running`, `draining`, `policy`: the manager as Python drives it, what it is made of, while it runs;
//! - `bridge`, `loop_wake`, `future`, `pulse`, `exit`, `fork`: the way to the event loop, and how it ends;
//! - `resolver`, `snapshot`, `tasks`, `hook`, `failure`: calls of resolvers and hooks, and what becomes of exceptions;
//! - `bus`, `password`, `postgres`: the engine as it is configured;
//! - `handover`: a listening socket that Python has opened;
//! - `summary`: what documents ask for;
//! - `publish`, `publisher`, `publish_keys`, `unread`, `event`, `event_data`, `call`, `stream`: events in, events and results out;
//! - `connection`, `client`: connections of a Python server, and who they are;
//! - `value`, `json`, `json_text`, `members`, `iterables`, `classes`, `describe`, `not_json`: Python objects as values;
//! - `log`, `spans`, `timings`, `error`, `load`: `logging`, spans of OpenTelemetry, exceptions, the load generator.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod bridge;
mod bus;
mod call;
mod classes;
mod client;
mod connection;
mod core;
mod core_state;
mod describe;
mod drafts;
mod draining;
mod error;
mod event;
mod event_data;
mod exit;
mod failure;
mod fork;
mod future;
mod handover;
mod hook;
mod host_types;
mod iterables;
mod json;
mod json_text;
mod load;
mod log;
#[cfg_attr(not(unix), path = "loop_wake_by_thread.rs")]
mod loop_wake;
mod members;
mod nodes;
mod not_json;
mod password;
mod policy;
mod publish;
mod publish_keys;
mod publisher;
mod pulse;
mod reply;
mod resolver;
mod roster;
mod running;
mod samples;
mod setup;
mod site;
mod snapshot;
mod spans;
mod stream;
mod summary;
mod tasks;
#[cfg(test)]
mod testing;
mod timings;
mod unread;
mod value;

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

/// The allocator of the core, not of Python: glibc's allocator does not return freed memory to the
/// system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The compiled module of `fraiseql_subs`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("CLOSE_TIMEOUT", runtime::CLOSE_TIMEOUT.as_secs_f64())?;
    module.add("INTERNAL_ERROR", failure::INTERNAL_ERROR)?;
    module.add("LONE_SURROGATE", not_json::LONE_SURROGATE)?;
    module.add("RECORDS_AT_ONCE", log::RECORDS_AT_ONCE.get())?;
    module.add("RECORDS_PER_SECOND", log::RECORDS_PER_SECOND)?;
    module.add("RECORDS_TOLD_AFTER", log::TOLD_AFTER)?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<connection::Admission>()?;
    module.add_class::<connection::Response>()?;
    module.add_class::<core::Core>()?;
    module.add_class::<publish::Receipt>()?;
    module.add_class::<nodes::ConnectionPages>()?;
    module.add_class::<handover::PyHandover>()?;
    module.add_class::<publish_keys::PublishKeys>()?;
    module.add_class::<publisher::PublisherCore>()?;
    module.add_class::<event::PyEvent>()?;
    PyMapping::register::<event::PyEvent>(py)?;
    module.add_class::<call::PyCall>()?;
    module.add_class::<future::Publication>()?;
    module.add_class::<stream::Responses>()?;
    module.add_function(wrap_pyfunction!(event::read_event, module)?)?;
    module.add_function(wrap_pyfunction!(advance_clock, module)?)?;
    module.add_function(wrap_pyfunction!(core_state::settle, module)?)?;
    module.add_function(wrap_pyfunction!(reset_clock, module)?)?;
    module.add_function(wrap_pyfunction!(bus::check_bus, module)?)?;
    module.add_function(wrap_pyfunction!(snapshot::check_snapshot, module)?)?;
    module.add_function(wrap_pyfunction!(load::load, module)?)?;
    module.add_function(wrap_pyfunction!(log::count_unwritten, module)?)?;
    module.add_function(wrap_pyfunction!(policy::check_hosts, module)?)?;
    module.add_function(wrap_pyfunction!(policy::check_origins, module)?)?;
    module.add_function(wrap_pyfunction!(policy::check_path, module)?)?;
    module.add_function(wrap_pyfunction!(policy::check_rate, module)?)?;
    module.add_function(wrap_pyfunction!(policy::check_rule, module)?)?;
    module.add_function(wrap_pyfunction!(bus::postgres::postgres_execute, module)?)?;
    module.add_function(wrap_pyfunction!(
        bus::postgres::postgres_install_sql,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        bus::postgres::postgres_uninstall_sql,
        module
    )?)?;
    let stop_all = wrap_pyfunction!(core_state::stop_all, module)?;
    let flush_log = wrap_pyfunction!(log::flush_log, module)?;
    module.add_function(flush_log.clone())?;
    let atexit = py.import("atexit")?;
    // The function that is registered last is called first.
    atexit.call_method1("register", (flush_log,))?;
    atexit.call_method1("register", (stop_all,))?;
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", wrap_pyfunction!(after_fork, module)?)?;
    py.import("os")?
        .call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

/// Advances the clocks of this process by which events, identities and rates age; for tests.
#[pyfunction]
fn advance_clock(seconds: f64) -> PyResult<()> {
    let span = Duration::try_from_secs_f64(seconds)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    runtime::advance_clock(span);
    Ok(())
}

/// Sets the clock of the day back to that of the system.
#[pyfunction]
fn reset_clock() {
    runtime::reset_clock();
}

/// Called in a forked child, in which the parent's threads do not exist.
#[pyfunction]
fn after_fork() {
    fork::note();
    runtime::Runtime::after_fork();
    log::after_fork();
}
