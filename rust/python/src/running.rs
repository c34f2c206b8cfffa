//! A started manager: its runtime, its bridge, its server, and how all of it ends.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use runtime::Runtime;
use server::Server;

use crate::bridge::Bridge;
use crate::pulse::Pulse;
use crate::resolver::Calls;

/// How long the end of a server is waited for when nobody can await it.
const SERVER_STOP_TIME: Duration = Duration::from_secs(5);

/// Counted up in every forked child.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A started manager.
pub(crate) struct Running {
    pub(crate) runtime: Runtime,
    pub(crate) bridge: Arc<Bridge>,
    /// Of the event loop.
    pub(crate) pulse: runtime::Pulse,
    pub(crate) server: Mutex<Option<Server>>,
    calls: Arc<Calls>,
    forks: u32,
}

impl Running {
    pub(crate) fn new(runtime: Runtime, bridge: Arc<Bridge>, calls: Arc<Calls>) -> Self {
        Self {
            runtime,
            pulse: Pulse::of(bridge.clone()),
            bridge,
            calls,
            server: Mutex::default(),
            forks: FORKS.load(Relaxed),
        }
    }

    /// Whether it was started by the parent process: its threads are not in this one.
    pub(crate) fn is_foreign(&self) -> bool {
        self.forks != FORKS.load(Relaxed)
    }

    /// Whether its event loop is closed, so that no resolver can run any more.
    pub(crate) fn is_orphaned(&self, py: Python<'_>) -> PyResult<bool> {
        self.bridge
            .event_loop(py)
            .call_method0("is_closed")?
            .is_truthy()
    }

    /// Ends everything at once. Waits for the threads, without the GIL: none of them takes it.
    pub(crate) fn stop(this: Arc<Self>, py: Python<'_>) {
        if this.is_foreign() {
            // Its threads would be waited for in vain.
            return std::mem::forget(this);
        }
        this.calls.cancel_all(py);
        let server = this.server.lock().take();
        if let Some(server) = server {
            py.detach(|| this.stop_server(&server));
        }
        this.bridge.detach(py);
        py.detach(|| drop(this));
    }

    fn stop_server(&self, server: &Server) {
        let (stopped, end) = mpsc::sync_channel(1);
        let handle = server.handle();
        self.runtime.spawn(async move {
            handle.stop(false).await;
            stopped.send(()).ok();
        });
        if end.recv_timeout(SERVER_STOP_TIME).is_err() {
            tracing::warn!("the server did not end in time");
        }
    }
}

/// In a forked child: what was started before is not there.
#[pyfunction]
pub(crate) fn after_fork() {
    FORKS.fetch_add(1, Relaxed);
    Runtime::after_fork();
}
