//! A listening socket that Python has opened, on its way to the server.

use std::sync::Arc;

use pyo3::prelude::*;
use server::{Endpoint, Handover};

/// The way for one socket, which Python sends to `fileno` by `socket.send_fds`.
#[pyclass(frozen, name = "Handover", module = "fraiseql_subs._core")]
pub(crate) struct PyHandover(Handover);

impl PyHandover {
    /// Returns the socket that was sent.
    pub(crate) fn endpoint(&self) -> PyResult<Endpoint> {
        Ok(Endpoint::Given(Arc::new(self.0.receive()?)))
    }
}

#[pymethods]
impl PyHandover {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Handover::new()?))
    }

    /// The descriptor to send the socket to, together with one byte.
    fn fileno(&self) -> i32 {
        self.0.fileno()
    }
}
