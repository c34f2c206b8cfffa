//! How the embedded server of a manager ends: it stops accepting, and drains.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use runtime::DrainOptions;
use server::Server;

use crate::error::exceptions;
use crate::future::future;
use crate::running::Running;

/// `fraiseql_subs.Drain`.
#[derive(FromPyObject)]
pub(crate) struct PyDrain {
    seconds: f64,
    ready_delay: f64,
    closes_per_second: Option<f64>,
}

impl PyDrain {
    fn read(&self) -> PyResult<DrainOptions> {
        Ok(DrainOptions {
            limit: time("drain", self.seconds)?,
            ready_delay: time("ready_delay", self.ready_delay)?,
            closes_per_second: self.closes_per_second,
        })
    }
}

pub(crate) fn time(name: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        exceptions::ConfigurationError::new_err(format!(
            "{name}={seconds} is not a time: pass a number of seconds of at least 0"
        ))
    })
}

/// See `Core::drain`.
pub(crate) fn drain<'py>(
    py: Python<'py>,
    running: &Arc<Running>,
    drain: &PyDrain,
    whole: bool,
    readmit: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let options = drain.read()?;
    if !readmit {
        running.runtime.end();
    }
    let working = running.clone();
    let work = async move {
        if whole {
            working.runtime.drain(&options).await;
        } else {
            working.runtime.drain_connections(&options).await;
        }
        // The server stays stored for `stop`, which also waits for its end.
        let server = working.server.lock().as_ref().map(Server::handle);
        if let Some(server) = server {
            server.stop(false).await;
            working.server.lock().take();
        }
    };
    future(py, &running.bridge, &running.runtime, work, |py, ()| {
        Ok(py.None())
    })
}

/// See `Core::announce`.
pub(crate) fn announce<'py>(
    py: Python<'py>,
    running: &Arc<Running>,
    delay: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let delay = time("ready_delay", delay)?;
    running.runtime.announce(delay);
    let working = running.clone();
    let work = async move { working.runtime.announced().await };
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
    let working = running.clone();
    let work = async move {
        if let Some(server) = server {
            server.pause().await;
        }
        working.runtime.announce(Duration::ZERO);
    };
    future(py, &running.bridge, &running.runtime, work, |py, ()| {
        Ok(py.None())
    })
}
