//! A started manager: its runtime, its bridge, its server, and its shutdown.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use bus::cluster::Selector;
use parking_lot::Mutex;
use protocol::Close;
use pyo3::prelude::*;
use runtime::Runtime;
use server::Server;

use crate::bridge::Bridge;
use crate::fork;
use crate::pulse::Pulse;
use crate::resolver::Calls;
use crate::samples::SampleReader;
use crate::spans::Spans;
use crate::tasks::Tasks;
use crate::timings;
use crate::unread::UnreadFailures;

/// How long a blocking stop waits for the end of connections and of a server.
const STOP_TIME: Duration = Duration::from_secs(5);

/// A started manager.
pub(crate) struct Running {
    pub(crate) runtime: Runtime,
    pub(crate) bridge: Arc<Bridge>,
    /// The pulse of the event loop.
    pub(crate) pulse: runtime::Pulse,
    pub(crate) server: Mutex<Option<Server>>,
    pub(crate) unread: Arc<UnreadFailures>,
    /// Makes spans; `None`: tracing is off.
    pub(crate) spans: Option<Arc<Spans>>,
    calls: Arc<Calls>,
    tasks: Arc<Tasks>,
    forks: u32,
    /// Ends the reports of what is counted.
    end_report: Mutex<Option<Py<PyAny>>>,
}

impl Running {
    pub(crate) fn new(
        runtime: Runtime,
        bridge: Arc<Bridge>,
        calls: Arc<Calls>,
        tasks: Arc<Tasks>,
        spans: Option<Arc<Spans>>,
    ) -> Self {
        if let Some(spans) = &spans {
            runtime.spawn(timings::watch(&bridge, spans));
        }
        Self {
            runtime,
            pulse: Pulse::of(bridge.clone()),
            bridge,
            spans,
            calls,
            tasks,
            server: Mutex::default(),
            unread: Arc::default(),
            forks: fork::count(),
            end_report: Mutex::default(),
        }
    }

    /// Begins reports of what is counted.
    pub(crate) fn report(&self, py: Python<'_>, begin: &Py<PyAny>) -> PyResult<()> {
        let reader = SampleReader::new(self.runtime.state());
        let end = begin.call1(py, (reader,))?;
        *self.end_report.lock() = Some(end);
        Ok(())
    }

    /// Whether it was started by the parent process, so that its threads do not exist here.
    pub(crate) fn is_foreign(&self) -> bool {
        self.forks != fork::count()
    }

    /// Whether its event loop does not run while another one runs on this thread, so that awaiting
    /// it would never end.
    pub(crate) fn is_abandoned(&self, py: Python<'_>) -> bool {
        // In this order: to ask for the running loop is a system call up to Python 3.11.
        !self.bridge.is_loop_running(py) && self.bridge.is_elsewhere(py)
    }

    /// Ends everything at once. Waits for the threads without the GIL.
    pub(crate) fn stop(this: Arc<Self>, py: Python<'_>) {
        if this.is_foreign() {
            // Its threads do not exist, so waiting for them would never end.
            return std::mem::forget(this);
        }
        // Clients are closed before their operations are cancelled, which they would take for a
        // normal end.
        let sent_away = this
            .runtime
            .disconnect(Selector::default(), Close::going_away());
        py.detach(|| this.wait_for(sent_away));
        let is_loop_closed = this.bridge.is_loop_closed(py);
        if is_loop_closed {
            // No function can be called any more, so no job may be queued.
            this.bridge.detach(py);
            this.tasks.abandon_all(py);
        } else {
            let tasks = this.tasks.clone();
            this.bridge.on_loop(py, move |py| tasks.cancel_all(py));
        }
        let end_report = this.end_report.lock().take();
        if let Some(Err(error)) = end_report.map(|end| end.call0(py)) {
            error.write_unraisable(py, None);
        }
        let server = this.server.lock().take();
        if let Some(server) = server {
            py.detach(|| this.stop_server(&server));
        }
        if !is_loop_closed {
            this.bridge.detach(py);
        }
        this.calls.flush(py);
        py.detach(|| this.runtime.stop());
        if let Some(spans) = &this.spans {
            timings::flush(py, spans);
        }
        this.unread.end();
        crate::log::flush(py, Some(&this.bridge));
        py.detach(|| drop(this));
    }

    fn stop_server(&self, server: &Server) {
        let handle = server.handle();
        let stop = async move { handle.stop(false).await };
        if !self.wait_for(stop) {
            tracing::warn!(name: "server.late", target: "fraiseql_subs", "the server did not end in time");
        }
    }

    /// Blocks until some work on the system's thread is done; false after a timeout.
    fn wait_for(&self, work: impl Future + Send + 'static) -> bool {
        let (done, end) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            work.await;
            done.send(()).ok();
        });
        end.recv_timeout(STOP_TIME).is_ok()
    }
}
