//! The interface of the manager to Python: start, publish, subscribe, serve, close.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::{Extensions, JsonObject, Request, Unreadable};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyList};
use runtime::{Client, Family, Format, Page, Readiness, opaque_id};
use serde_json::Value;
use server::{Address, Endpoint, Server, ServerConfig, Tls};

use crate::bus::PyBusOptions;
use crate::client::{HostClient, context_variables, read_identity};
use crate::connection::{Admission, Connection, Lossy, PyPeer};
use crate::core_state::{CoreState, end, stop, stop_at_exit};
use crate::drafts::{Content, draft};
use crate::draining::{self, PyDrain};
use crate::error::{
    config_error, exceptions, manager_closed, optional_text, publish_error, request_errors,
    runtime_error, server_error, text, tls_error,
};
use crate::future::{Publication, future, running_loop};
use crate::handover::PyHandover;
use crate::json::to_json_map;
use crate::nodes::{self, PyDisconnecting};
use crate::policy::PySecurity;
use crate::publish::{self, PreparedFields, Receipt};
use crate::roster::{self, Listed};
use crate::running::Running;
use crate::samples::samples;
use crate::setup::{Options, PyDefinition, PyHistory, PyLimits, PySchemaSource, Setup};
use crate::site::PySite;
use crate::stream::Responses;
use crate::summary::Summary;

/// The compiled part of `SubscriptionManager`.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct Core {
    setup: Setup,
    state: Arc<Mutex<CoreState>>,
    /// Locked during a start, so that concurrent uses start the manager once.
    starting: std::sync::Mutex<()>,
    /// Begins reports of what is counted, and returns a function that ends them.
    report: Option<Py<PyAny>>,
}

impl Core {
    /// Returns the started manager; starts it on the running event loop if it was never started.
    fn running(&self, py: Python<'_>) -> PyResult<Arc<Running>> {
        let running = match &*self.state.lock() {
            CoreState::Running(running) => Some(running.clone()),
            CoreState::Closed => return Err(manager_closed()),
            CoreState::New => None,
        };
        let Some(running) = running else {
            return self.launch(py, false);
        };
        if running.is_foreign() {
            return Err(exceptions::ManagerClosed::new_err(
                "this manager was started before os.fork(): make one in the child process",
            ));
        }
        if running.is_abandoned(py) {
            end(&self.state, running, py);
            return self.launch(py, false);
        }
        Ok(running)
    }

    /// Starts it on the running event loop, unless another thread has just done so; `again`: also
    /// if it is closed.
    fn launch(&self, py: Python<'_>, again: bool) -> PyResult<Arc<Running>> {
        let event_loop = running_loop(py).map_err(|_| {
            exceptions::ManagerClosed::new_err(
                "the manager is not started, and no event loop runs on this thread that could start it: start the manager first, by a server or by one `async with manager` around the whole program",
            )
        })?;
        // A panic during a start leaves no state that affects the next start.
        let _starting = self
            .starting
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner);
        match &*self.state.lock() {
            CoreState::Running(first) if !first.is_foreign() => return Ok(first.clone()),
            CoreState::Closed if !again => return Err(manager_closed()),
            CoreState::New | CoreState::Running(_) | CoreState::Closed => {}
        }
        let running = Arc::new(self.setup.start(&event_loop)?);
        // Before another thread can see this manager and close it.
        if let Some(report) = &self.report
            && let Err(error) = running.report(py, report)
        {
            Running::stop(running, py);
            return Err(error);
        }
        let previous =
            std::mem::replace(&mut *self.state.lock(), CoreState::Running(running.clone()));
        if matches!(previous, CoreState::Closed) && !again {
            // Another thread has closed the manager during the start.
            self.stop(py);
            return Err(manager_closed());
        }
        let (state, started) = (Arc::downgrade(&self.state), Arc::downgrade(&running));
        running.bridge.when_loop_ends(move |py| {
            if let (Some(state), Some(started)) = (state.upgrade(), started.upgrade()) {
                end(&state, started, py);
            }
        });
        Ok(running)
    }

    /// Ends a manager whose event loop does not run while another loop runs on this thread, so that
    /// it is started again on that loop.
    fn settle(&self, py: Python<'_>) {
        let running = match &*self.state.lock() {
            CoreState::Running(running) => running.clone(),
            CoreState::New | CoreState::Closed => return,
        };
        if !running.is_foreign() && running.is_abandoned(py) {
            end(&self.state, running, py);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Python drops its objects with the GIL held.
        Python::attach(|py| stop(&self.state, py));
    }
}

#[pymethods]
impl Core {
    /// Visits the functions of the application for the garbage collector, as they may refer to the
    /// manager. A running manager has other references to them, so it has to be closed first.
    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 asks for it")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.report)?;
        self.setup.traverse(&visit)
    }

    #[new]
    #[pyo3(signature = (*, schema, definitions, limits, bus, history, security, trusted_documents, introspection, transports, debug, page, workers, node_name, unready_after, report=None, tracing=None))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword parameters of one Python call"
    )]
    fn new(
        schema: PySchemaSource<'_>,
        definitions: Vec<PyDefinition<'_>>,
        limits: PyLimits,
        bus: PyBusOptions,
        history: Option<PyHistory>,
        security: PySecurity<'_>,
        trusted_documents: Option<Vec<(String, String)>>,
        introspection: bool,
        transports: Vec<String>,
        debug: bool,
        page: Option<(PyBackedBytes, String)>,
        workers: usize,
        node_name: Option<String>,
        unready_after: Option<f64>,
        report: Option<Py<PyAny>>,
        tracing: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let options = Options {
            security,
            bus,
            history,
            trusted_documents,
            introspection,
            transports,
            debug,
            page: page.map(|(html, policy)| Page {
                html: Bytes::from_owner(html),
                policy: policy.into(),
            }),
            workers,
            node_name,
            unready_after,
            tracing,
        };
        let setup = Setup::read(schema, definitions, &limits, options)?;
        let state = Arc::new(Mutex::new(CoreState::New));
        stop_at_exit(&state);
        Ok(Self {
            setup,
            state,
            starting: std::sync::Mutex::new(()),
            report,
        })
    }

    /// Starts the manager on the running event loop, also after a close.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.settle(py);
        let running = match &*self.state.lock() {
            CoreState::Running(running) => Some(running.clone()),
            CoreState::New | CoreState::Closed => None,
        };
        let running = match running {
            Some(running) if !running.is_foreign() => running,
            foreign => {
                if foreign.is_some() {
                    drop(foreign);
                    self.stop(py);
                }
                self.launch(py, true)?
            }
        };
        if running.bridge.is_elsewhere(py) {
            return Err(exceptions::ConfigurationError::new_err(
                "the manager runs on an event loop of another thread, which calls its resolvers: close it there first, or make a manager for each event loop",
            ));
        }
        Ok(())
    }

    /// Ends everything at once and waits for the threads.
    fn stop(&self, py: Python<'_>) {
        stop(&self.state, py);
    }

    /// Whether the manager is started.
    #[getter]
    fn is_running(&self, py: Python<'_>) -> bool {
        self.settle(py);
        matches!(&*self.state.lock(), CoreState::Running(running) if !running.is_foreign())
    }

    /// Whether the manager was closed, and not started again.
    #[getter]
    fn is_closed(&self) -> bool {
        matches!(&*self.state.lock(), CoreState::Closed)
    }

    /// The served schema, as SDL.
    #[getter]
    fn sdl(&self) -> &str {
        self.setup.sdl()
    }

    /// Checks a document as that of a client, and returns what it asks for; raises
    /// `ValidationError`.
    #[pyo3(signature = (document, /))]
    fn validate(&self, py: Python<'_>, document: &str) -> PyResult<Summary> {
        py.detach(|| self.setup.validate(document))
            .map_err(|errors| request_errors(py, &errors))
    }

    /// Publishes one event. `is_json`: whether the data are the text of a JSON value.
    #[pyo3(signature = (channel, data, event_type=None, tenant_id=None, event_id=None, is_json=false))]
    fn publish(
        &self,
        channel: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        event_type: Option<&Bound<'_, PyAny>>,
        tenant_id: Option<&Bound<'_, PyAny>>,
        event_id: Option<&Bound<'_, PyAny>>,
        is_json: bool,
    ) -> PyResult<Publication> {
        let running = self.running(channel.py())?;
        let data = Content::of(data, is_json);
        let arguments = (channel, data, event_type, tenant_id, event_id);
        let draft = draft(arguments, Some(self.setup.classes()))?;
        publish::one(channel.py(), &running, draft)
    }

    /// Checks one event that something else publishes. Returns its receipt, and its fields. `is_json`:
    /// whether the data are the text of a JSON value.
    #[allow(clippy::too_many_arguments, reason = "as `publish`")]
    fn prepare(
        &self,
        channel: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        event_type: Option<&Bound<'_, PyAny>>,
        tenant_id: Option<&Bound<'_, PyAny>>,
        event_id: Option<&Bound<'_, PyAny>>,
        is_json: bool,
        _trace: Option<Py<PyAny>>,
    ) -> PyResult<(Receipt, PreparedFields)> {
        let running = self.running(channel.py())?;
        let data = Content::of(data, is_json);
        let arguments = (channel, data, event_type, tenant_id, event_id);
        let draft = draft(arguments, Some(self.setup.classes()))?;
        publish::prepare(channel.py(), &running, draft)
    }

    /// Publishes a batch; with `tenant_id`, all events for that tenant.
    #[pyo3(signature = (events, tenant_id=None))]
    fn publish_many(
        &self,
        py: Python<'_>,
        events: &Bound<'_, PyAny>,
        tenant_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Publication> {
        let running = self.running(py)?;
        let tenant_id = optional_text(tenant_id, "tenant_id", publish_error)?;
        publish::many(py, &running, self.setup.classes(), events, tenant_id)
    }

    /// Starts an in-process subscription. The future returns its `Responses` once it is registered.
    #[allow(
        clippy::too_many_arguments,
        reason = "positional parameters of one private Python call"
    )]
    fn subscribe<'py>(
        &self,
        py: Python<'py>,
        id: Option<Bound<'py, PyAny>>,
        document: Bound<'py, PyAny>,
        variables: Option<Bound<'py, PyAny>>,
        operation_name: Option<Bound<'py, PyAny>>,
        context: Option<Py<PyAny>>,
        identity: Option<Bound<'py, PyAny>>,
        extensions: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let running = self.running(py)?;
        let object = |given: Option<&Bound<'_, PyAny>>, name: &str| {
            let map = to_json_map(given);
            let map = map.map_err(|error| error.into_error(py, name, config_error))?;
            Ok::<_, PyErr>(Value::Object(map).to_string())
        };
        let unreadable = |name: &str, error: Unreadable| config_error(format!("{name}: {error}"));
        let option = |value: Option<&Bound<'_, PyAny>>, name: &str| -> PyResult<_> {
            Ok(optional_text(value, name, config_error)?.map(str::to_owned))
        };
        let extensions = Extensions::parse(&object(extensions.as_ref(), "extensions")?)
            .map_err(|error| unreadable("extensions", error))?;
        let variables = JsonObject::parse(object(variables.as_ref(), "variables")?)
            .map_err(|error| unreadable("variables", error))?;
        let request = Request {
            query: Some(text(&document, "document", config_error)?.to_owned()),
            operation_name: option(operation_name.as_ref(), "operation_name")?,
            variables,
            extensions,
            ..Request::default()
        };
        let identity = identity.as_ref().map(read_identity).transpose()?.flatten();
        let (identity, object) = identity.map(|read| (read.identity, read.object)).unzip();
        let client = Client {
            identity: identity.map(Box::new),
            ..Client::default()
        };
        let host = HostClient {
            identity: object,
            value: context,
            variables: Some(context_variables(py)?.unbind()),
            ..HostClient::default()
        };
        // It is new, so nothing is set yet.
        client.host.set(Box::new(host)).ok();
        let id = option(id.as_ref(), "subscription_id")?.unwrap_or_else(|| opaque_id("local"));
        let (working, weak) = (running.clone(), Arc::downgrade(&running));
        let name = id.clone();
        let work = async move { working.runtime.subscribe(name, request, client).await };
        future(
            py,
            &running.bridge,
            &running.runtime,
            work,
            move |py, opened| {
                let stream = opened
                    .map_err(|error| runtime_error(&error))?
                    .map_err(|errors| request_errors(py, &errors))?;
                Ok(Responses::new(id, stream, weak)
                    .into_pyobject(py)?
                    .into_any()
                    .unbind())
            },
        )
    }

    /// Binds and serves; returns host and port, or `None` for a unix socket.
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword parameters of one Python call"
    )]
    fn serve(
        &self,
        py: Python<'_>,
        host: String,
        port: u16,
        site: PySite,
        tls: Option<(Vec<u8>, Vec<u8>)>,
        unix: Option<PathBuf>,
        reuse_port: bool,
        listener: Option<Py<PyHandover>>,
    ) -> PyResult<Option<(String, u16)>> {
        let running = self.running(py)?;
        if let Some(server) = &*running.server.lock() {
            return Err(exceptions::ConfigurationError::new_err(format!(
                "the manager is serving on {} already: one server is enough for all clients",
                server.address()
            )));
        }
        let tls = tls.map(|(certificates, key)| Tls::new(&certificates, &key));
        let tls = tls.transpose().map_err(|error| tls_error(&error))?;
        let tcp = Endpoint::Tcp {
            host,
            port,
            reuse_port,
        };
        let config = ServerConfig {
            endpoint: match (listener, unix) {
                (Some(listener), _) => listener.get().endpoint()?,
                (None, Some(path)) => Endpoint::Unix(path),
                (None, None) => tcp,
            },
            site: site.read()?,
            workers: self.setup.workers(),
            tls,
        };
        let server = py
            .detach(|| Server::start(&running.runtime, config))
            .map_err(|error| server_error(&error))?;
        let address = match server.address() {
            Address::Tcp(address) => Some((address.ip().to_string(), address.port())),
            Address::Unix(_) => None,
        };
        *running.server.lock() = Some(server);
        Ok(address)
    }

    /// Says that further clients should go elsewhere; the future is done after `delay` seconds, or
    /// when an earlier announcement or the drain ends.
    fn announce<'py>(&self, py: Python<'py>, delay: f64) -> PyResult<Bound<'py, PyAny>> {
        draining::announce(py, &self.running(py)?, delay)
    }

    /// Drains, closes the remaining connections with 1001, and ends the server. The bus continues
    /// unless `whole`. If `readmit`, the caller calls that afterwards.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an argument of a Python call"
    )]
    fn drain<'py>(
        &self,
        py: Python<'py>,
        drain: PyDrain,
        whole: bool,
        readmit: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        draining::drain(py, &self.running(py)?, &drain, whole, readmit)
    }

    /// Leaves new connections in the queue of the socket, for other processes that have it; serves
    /// those that there are.
    fn stop_accepting<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        draining::stop_accepting(py, &self.running(py)?)
    }

    /// Accepts clients again, unless a drain that began since is the last one.
    fn readmit(&self) {
        if let CoreState::Running(running) = &*self.state.lock() {
            running.runtime.readmit();
        }
    }

    /// Ends the running drain at once; its own limit was `limit` seconds.
    #[pyo3(signature = (limit=None))]
    fn hurry(&self, limit: Option<f64>) -> PyResult<()> {
        if let CoreState::Running(running) = &*self.state.lock() {
            let limit = limit.map(|seconds| draining::time("drain", seconds));
            running
                .runtime
                .hurry(limit.transpose()?.unwrap_or(Duration::MAX));
        }
        Ok(())
    }

    /// Counts a closed connection whose socket the server still keeps.
    fn not_cut(&self) {
        if let CoreState::Running(running) = &*self.state.lock() {
            running.runtime.state().metrics.connections_not_cut.add(1);
        }
    }

    /// Closes the selected connections of all nodes; see `nodes::disconnect`.
    fn disconnect<'py>(
        &self,
        py: Python<'py>,
        asked: PyDisconnecting<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        nodes::disconnect(py, &self.running(py)?, &asked)
    }

    /// Lists the connections of all nodes; see `nodes::connections`.
    fn connections_everywhere<'py>(
        &self,
        py: Python<'py>,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        nodes::connections(py, &self.running(py)?, timeout)
    }

    /// Lists the nodes; see `nodes::list`.
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        nodes::list(py, &self.running(py)?)
    }

    /// Whether clients should be sent to this process; `with_bus`: only if it reaches its engine.
    fn is_ready(&self, with_bus: bool) -> bool {
        match &*self.state.lock() {
            CoreState::Running(running) if !running.is_foreign() => {
                running.runtime.state().readiness(with_bus) == Readiness::Ready
            }
            CoreState::New | CoreState::Running(_) | CoreState::Closed => false,
        }
    }

    /// Opens a WebSocket connection of a Python server; refuses it once it is closed.
    fn connect(
        &self,
        py: Python<'_>,
        subprotocols: Vec<Lossy>,
        peer: PyPeer,
    ) -> PyResult<Connection> {
        if self.is_closed() {
            return Connection::refused(py, self.setup.transports(), &subprotocols);
        }
        Connection::open(py, &*self.running(py)?, &subprotocols, peer)
    }

    /// Accepts or refuses an HTTP request that a Python server received, before its body is read.
    fn admit(&self, py: Python<'_>, method: String, peer: PyPeer) -> PyResult<Admission> {
        Admission::new(py, self.running(py)?, method, peer)
    }

    /// Lists the open connections, each as id, identity, peer, protocol, number of operations and
    /// start time.
    fn connections(&self, py: Python<'_>) -> Vec<Listed> {
        match &*self.state.lock() {
            CoreState::Running(running) => roster::list(py, running.runtime.state()),
            CoreState::New | CoreState::Closed => Vec::new(),
        }
    }

    /// Metrics in the format that an `Accept` header asks for: the type of their content and the text,
    /// without metrics before the first start.
    #[pyo3(signature = (accept, /))]
    fn metrics_text(&self, accept: Option<&str>) -> (&'static str, String) {
        let format = Format::accepted(accept);
        (format.content_type(), format.write(&self.families()))
    }

    /// Metrics with their labels; empty before the first start. Each is a name, a kind, labels and a
    /// number, or in its place counts of buckets with their bounds, and a sum.
    fn samples<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        samples(py, &self.families())
    }

    /// Counters by name; empty before the first start.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metrics = PyDict::new(py);
        if let CoreState::Running(running) = &*self.state.lock() {
            for (name, value) in running.runtime.state().snapshot().iter() {
                metrics.set_item(name, value)?;
            }
        }
        Ok(metrics)
    }
}

impl Core {
    fn families(&self) -> Vec<Family> {
        match &*self.state.lock() {
            CoreState::Running(running) => running.runtime.state().families(),
            CoreState::New | CoreState::Closed => Vec::new(),
        }
    }
}
