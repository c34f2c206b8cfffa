//! What concerns the connections of all nodes, for Python.
//!
//! Results are tuples; the package makes its classes of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bus::cluster::{
    Closing, ListedConnection, MAX_NAME_BYTES, NodeId, NodeIdentity, NodeInfo, Revocation, Selector,
};
use bus::engine::ControlError;
use parking_lot::Mutex;
use protocol::Close;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use runtime::{Disconnected, Listed, Reached, random_key};

use crate::error::{config_error, exceptions, optional_text, text};
use crate::future::future;
use crate::running::Running;
use crate::setup::seconds;

/// How long a list of nodes waits for them, where this one has just started.
const NODES_TIME: Duration = Duration::from_secs(2);

/// Connections of a page (count).
const PAGE: usize = 200;

/// One node: id, name, version, start, connections, subscriptions, lag, whether it is live.
type PyNode = (String, String, String, f64, u64, u64, u64, bool);

/// Those that have answered, those that have not, and whether all have.
type PyReached = (Vec<PyNode>, Vec<PyNode>, bool);

/// One connection: id of its node, id, user, tenant, peer, protocol, operations, start.
type PyListed = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
    u64,
    f64,
);

/// The connections of nodes, in parts that take the event loop a short time each.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct ConnectionPages(Mutex<Box<dyn Iterator<Item = PyListed> + Send>>);

#[pymethods]
impl ConnectionPages {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self) -> Option<Vec<PyListed>> {
        let page: Vec<_> = self.0.lock().by_ref().take(PAGE).collect();
        (!page.is_empty()).then_some(page)
    }
}

/// Which connections are to be closed, and how.
#[derive(FromPyObject)]
pub(crate) struct PyDisconnecting<'py> {
    user_id: Option<Bound<'py, PyAny>>,
    tenant_id: Option<Bound<'py, PyAny>>,
    connection_id: Option<Bound<'py, PyAny>>,
    code: u16,
    reason: Bound<'py, PyAny>,
    revoke_for: Option<f64>,
    timeout: f64,
}

/// What this process tells other nodes of itself; `name`: the application's.
pub(crate) fn identity(py: Python<'_>, name: Option<&str>) -> PyResult<NodeIdentity> {
    let key = random_key().map_err(|error| PyOSError::new_err(error.to_string()))?;
    let (number, _) = key.split_at(size_of::<u64>());
    let number = number
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            let host = py.import("socket")?.call_method0("gethostname")?;
            let host = host.str()?.to_string_lossy().into_owned();
            let process = std::process::id().to_string();
            let room = MAX_NAME_BYTES - 1 - process.len();
            format!("{}:{process}", &host[..host.floor_char_boundary(room)])
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(NodeIdentity {
        id: NodeId::new(number),
        name: name.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: now.unwrap_or_default().as_secs_f64(),
    })
}

/// Closes connections on all nodes. The future returns their number and the nodes.
pub(crate) fn disconnect<'py>(
    py: Python<'py>,
    running: &Arc<Running>,
    asked: &PyDisconnecting<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let option = |value: &Option<Bound<'_, PyAny>>, name: &str| -> PyResult<_> {
        Ok(optional_text(value.as_ref(), name, config_error)?.map(str::to_owned))
    };
    let selector = Selector {
        user_id: option(&asked.user_id, "identity.user_id")?,
        tenant_id: option(&asked.tenant_id, "tenant_id")?,
        connection_id: option(&asked.connection_id, "connection_id")?,
    };
    if !selector.is_short() {
        return Err(config_error(
            "identity, tenant_id and connection_id have more than 1,024 bytes together, which are not sent to other nodes".to_owned(),
        ));
    }
    let close = Close::new(asked.code, text(&asked.reason, "reason", config_error)?);
    let revocation = Revocation {
        selector,
        closing: Closing {
            code: close.code,
            reason: close.reason.into(),
        },
    };
    let revoke_for = asked.revoke_for;
    let revoke_for = revoke_for.map(|time| seconds("revoke_for", time));
    let (revoke_for, limit) = (revoke_for.transpose()?, seconds("timeout", asked.timeout)?);
    let working = running.clone();
    let work = async move {
        let runtime = &working.runtime;
        runtime
            .disconnect_everywhere(revocation, revoke_for, limit)
            .await
    };
    future(py, &running.bridge, &running.runtime, work, |py, done| {
        let Disconnected {
            closed,
            reached,
            revoked,
        } = done;
        if let Err(error) = revoked {
            return Err(not_revoked(&error, closed));
        }
        let result = (closed, to_reached(reached)).into_pyobject(py)?;
        Ok(result.into_any().unbind())
    })
}

/// Lists the connections of all nodes.
pub(crate) fn connections<'py>(
    py: Python<'py>,
    running: &Arc<Running>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let (limit, working) = (seconds("timeout", timeout)?, running.clone());
    let work = async move { working.runtime.connections_everywhere(limit).await };
    future(py, &running.bridge, &running.runtime, work, |py, listed| {
        let Listed {
            connections,
            reached,
        } = listed;
        let of_node = |(node, listed): (NodeInfo, Vec<ListedConnection>)| {
            listed.into_iter().map(move |one| to_listed(&node.id, one))
        };
        let connections = connections.into_iter().flat_map(of_node);
        let pages = ConnectionPages(Mutex::new(Box::new(connections)));
        let result = (pages, to_reached(reached)).into_pyobject(py)?;
        Ok(result.into_any().unbind())
    })
}

/// Lists the nodes, this one first.
pub(crate) fn list<'py>(py: Python<'py>, running: &Arc<Running>) -> PyResult<Bound<'py, PyAny>> {
    let working = running.clone();
    let work = async move { working.runtime.nodes(NODES_TIME).await };
    future(py, &running.bridge, &running.runtime, work, |py, nodes| {
        let nodes: Vec<_> = nodes.into_iter().map(to_node).collect();
        Ok(nodes.into_pyobject(py)?.into_any().unbind())
    })
}

fn not_revoked(error: &ControlError, closed: u64) -> PyErr {
    let remedy = match error {
        ControlError::Unavailable(_) => "call it again when the engine is back",
        ControlError::Full => "call it again when some have ended, or revoke whole tenants",
        ControlError::Refused(_) => "correct the configuration of the engine, and call it again",
    };
    let problem = format!(
        "{closed} connections were closed, on the nodes that could be reached, and the revocation is not kept: {error}. A node that could not be reached, or starts later, lets these clients in: {remedy}"
    );
    let is_retryable = !matches!(error, ControlError::Refused(_));
    exceptions::BusError::new_err((problem, is_retryable))
}

fn to_reached(reached: Reached) -> PyReached {
    let nodes = |nodes: Vec<NodeInfo>| nodes.into_iter().map(to_node).collect();
    (
        nodes(reached.answered),
        nodes(reached.unanswered),
        reached.is_complete,
    )
}

fn to_node(node: NodeInfo) -> PyNode {
    let status = node.status;
    (
        node.id.as_str().to_owned(),
        node.name.to_string(),
        node.version.to_string(),
        node.started_at,
        status.connections,
        status.subscriptions,
        status.lag,
        status.is_live,
    )
}

fn to_listed(node: &NodeId, connection: ListedConnection) -> PyListed {
    (
        node.as_str().to_owned(),
        connection.id,
        connection.user_id,
        connection.tenant_id,
        connection.peer,
        connection.protocol,
        connection.operations,
        connection.since,
    )
}
