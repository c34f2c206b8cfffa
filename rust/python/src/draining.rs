//! How the embedded server of a manager ends: it stops accepting, and drains.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use server::Server;

use crate::error::exceptions;
use crate::future::future;
use crate::running::Running;

/// See `Core::drain`.
pub(crate) fn drain<'py>(
    py: Python<'py>,
    running: &Arc<Running>,
    drain: f64,
    whole: bool,
    readmit: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let limit = Duration::try_from_secs_f64(drain).map_err(|_| {
        exceptions::ConfigurationError::new_err(format!(
            "drain={drain} is not a time: pass a number of seconds of at least 0"
        ))
    })?;
    let working = running.clone();
    let work = async move {
        if whole {
            working.runtime.drain(limit).await;
        } else {
            working.runtime.drain_connections(limit).await;
        }
        // The server stays stored for `stop`, which also waits for its end.
        let server = working.server.lock().as_ref().map(Server::handle);
        if let Some(server) = server {
            server.stop(false).await;
            working.server.lock().take();
        }
        if readmit {
            working.runtime.readmit();
        }
    };
    future(py, &running.bridge, &running.runtime, work, |py, ()| {
        Ok(py.None())
    })
}

/// See `Core::stop_accepting`.
pub(crate) fn stop_accepting<'py>(
    py: Python<'py>,
    running: &Arc<Running>,
) -> PyResult<Bound<'py, PyAny>> {
    let server = running.server.lock().as_ref().map(Server::handle);
    let work = async move {
        if let Some(server) = server {
            server.pause().await;
        }
    };
    future(py, &running.bridge, &running.runtime, work, |py, ()| {
        Ok(py.None())
    })
}
