//! Connections and requests that a Python server carries: one crossing for a batch of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use parking_lot::Mutex;
use protocol::http::HttpRequest;
use protocol::{Close, Session, Subprotocol};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use runtime::{Body, Client, Opening, Outgoing, Place, Remote, Reply, Waiter};

use crate::bridge::Bridge;
use crate::client::{HostClient, context_variables};
use crate::future::{Promise, future};
use crate::running::Running;

/// What a Python server knows about a client.
#[derive(FromPyObject)]
pub(crate) struct PyPeer {
    headers: Vec<(String, String)>,
    remote_address: Option<String>,
    context: Option<Py<PyAny>>,
}

impl PyPeer {
    fn into_client(self, py: Python<'_>) -> PyResult<Client> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let host = HostClient {
            value: self.context.filter(|value| !value.is_none(py)),
            variables: Some(context_variables(py)?.unbind()),
            ..HostClient::default()
        };
        let client = Client {
            connection_id: format!("adapter-{}", LAST.fetch_add(1, Relaxed) + 1),
            headers: self.headers.into(),
            peer: self.remote_address,
            ..Client::default()
        };
        // It is new, so nothing is set yet.
        client.host.set(Box::new(host)).ok();
        Ok(client)
    }
}

/// Completes a future of the caller's loop, whichever thread calls it.
fn waiter(bridge: Option<Arc<Bridge>>, promise: Promise) -> Waiter {
    Box::new(move || {
        if let Some(bridge) = bridge {
            bridge.push(Box::new(move |py| promise.complete(py, Ok(py.None()))));
        }
    })
}

/// One WebSocket connection that a Python server carries.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct Connection {
    remote: Option<Remote>,
    bridge: Arc<Bridge>,
    subprotocol: Option<Subprotocol>,
    refusal: Option<String>,
    ended: Py<PyAny>,
}

impl Connection {
    /// Opens a connection on one of the workers, unless it is refused.
    pub(crate) fn open(
        py: Python<'_>,
        running: &Running,
        subprotocols: &[String],
        peer: PyPeer,
    ) -> PyResult<Self> {
        let responder = py.detach(|| running.runtime.responder());
        let client = peer.into_client(py)?;
        let admitted = responder.admit(client.header("origin"), client.header("host"));
        let subprotocol = Subprotocol::negotiate(subprotocols.iter().map(String::as_str));
        let promise = Promise::new(py)?;
        let ended = promise.future(py).unbind();
        let (place, refusal) = match admitted {
            Ok(place) => (Some(place), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let remote = place.map(|place| {
            let speaks = subprotocol.unwrap_or(Subprotocol::TransportWs);
            let opening = Opening {
                client,
                session: Session::websocket(speaks),
                close: subprotocol
                    .is_none()
                    .then(Close::subprotocol_not_acceptable),
                shut_down: waiter(Some(running.bridge.clone()), promise),
                ended: Box::new(|| drop(place)),
            };
            responder.open(opening)
        });
        Ok(Self {
            remote,
            bridge: running.bridge.clone(),
            subprotocol,
            refusal: refusal.map(|response| String::from_utf8_lossy(&response.body).into_owned()),
            ended,
        })
    }
}

#[pymethods]
impl Connection {
    /// The subprotocol to accept with.
    #[getter]
    fn subprotocol(&self) -> Option<&'static str> {
        self.subprotocol.map(Subprotocol::name)
    }

    /// Why the handshake has to be refused, if so.
    #[getter]
    fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// A future that is done when the socket has to be closed at once, whatever is being written.
    #[getter]
    fn ended(&self, py: Python<'_>) -> Py<PyAny> {
        self.ended.clone_ref(py)
    }

    /// Takes one text message; gives a future to await before the next one when too much waits.
    fn receive_text(&self, py: Python<'_>, text: String) -> PyResult<Option<Py<PyAny>>> {
        let Some(remote) = &self.remote else {
            return Ok(None);
        };
        if remote.receive_text(text) {
            return Ok(None);
        }
        let promise = Promise::new(py)?;
        let room = promise.future(py).unbind();
        remote.when_room(waiter(Some(self.bridge.clone()), promise));
        Ok(Some(room))
    }

    /// Takes one binary message.
    fn receive_binary(&self) {
        if let Some(remote) = &self.remote {
            remote.receive_binary();
        }
    }

    /// Takes all messages that are ready: bytes of JSON, at the end code and reason of the close;
    /// a future to await before asking again when there is none; `None` when nothing follows.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(remote) = &self.remote else {
            return Ok(None);
        };
        let batch = match taken(py, remote, &self.bridge)? {
            Taken::Batch(batch) => batch,
            Taken::Future(future) => return Ok(Some(future)),
            Taken::End => return Ok(None),
        };
        let messages = PyList::empty(py);
        for outgoing in batch {
            match outgoing {
                Outgoing::Text(message) => messages.append(PyBytes::new(py, &message))?,
                Outgoing::Close(close) => messages.append((close.code, close.reason))?,
                Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
            }
        }
        Ok(Some(messages.into_any().unbind()))
    }

    /// The socket is gone.
    fn closed(&self) {
        if let Some(remote) = &self.remote {
            remote.closed();
        }
    }
}

enum Taken {
    Batch(Vec<Outgoing>),
    Future(Py<PyAny>),
    End,
}

fn taken(py: Python<'_>, remote: &Remote, bridge: &Arc<Bridge>) -> PyResult<Taken> {
    let promise = Promise::new(py)?;
    let future = promise.future(py).unbind();
    let bridge = bridge.clone();
    let taken = remote.take_or_wait(move || waiter(Some(bridge), promise));
    Ok(match taken {
        Poll::Ready(Some(batch)) => Taken::Batch(batch),
        Poll::Ready(None) => Taken::End,
        Poll::Pending => Taken::Future(future),
    })
}

/// A request that a Python server received.
pub(crate) struct PyRequest {
    pub(crate) method: String,
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
}

/// Answers a request; the future gives its `Response`.
pub(crate) fn answer<'py>(
    py: Python<'py>,
    running: &Arc<Running>,
    request: PyRequest,
    peer: PyPeer,
) -> PyResult<Bound<'py, PyAny>> {
    let promise = Promise::new(py)?;
    let ended = promise.future(py).unbind();
    let shut_down = waiter(Some(running.bridge.clone()), promise);
    let client = peer.into_client(py)?;
    let responder = py.detach(|| running.runtime.responder());
    let work = async move {
        let headers = client.headers.clone();
        let asked = HttpRequest {
            method: &request.method,
            query: &request.query,
            headers: &headers,
            body: &request.body,
        };
        match responder.admit_request(&asked) {
            Ok(place) => responder.answer(asked, client, place, shut_down).await,
            Err(refusal) => refusal,
        }
    };
    let bridge = running.bridge.clone();
    future(
        py,
        &running.bridge,
        &running.runtime,
        work,
        move |py, reply| {
            let response = Response::new(reply, bridge, ended);
            Ok(response.into_pyobject(py)?.into_any().unbind())
        },
    )
}

/// The response to a request that a Python server carries.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Mutex<Rest>,
    bridge: Arc<Bridge>,
    ended: Py<PyAny>,
    /// Held until the response was sent.
    _place: Option<Place>,
}

/// What of a body is still to be taken.
enum Rest {
    Ready(Vec<u8>, Option<Remote>),
    Remote(Remote),
    Nothing,
}

impl Response {
    fn new(reply: Reply, bridge: Arc<Bridge>, ended: Py<PyAny>) -> Self {
        let headers = reply.head.headers.into_iter();
        Self {
            status: reply.head.status,
            headers: headers
                .map(|(name, value)| (name, value.into_owned()))
                .collect(),
            body: Mutex::new(match reply.body {
                Body::Whole(body) => Rest::Ready(body.into(), None),
                Body::Stream(ready, remote) => Rest::Ready(ready.into(), Some(remote)),
            }),
            bridge,
            ended,
            _place: reply.place,
        }
    }
}

#[pymethods]
impl Response {
    /// Status code.
    #[getter]
    fn status(&self) -> u16 {
        self.status
    }

    /// Names, in lower case, and values.
    #[getter]
    fn headers(&self) -> Vec<(&'static str, String)> {
        self.headers.clone()
    }

    /// Whether the next part is the whole body.
    #[getter]
    fn is_whole(&self) -> bool {
        matches!(&*self.body.lock(), Rest::Ready(_, None))
    }

    /// A future that is done when the transport has to be ended at once.
    #[getter]
    fn ended(&self, py: Python<'_>) -> Py<PyAny> {
        self.ended.clone_ref(py)
    }

    /// Takes the next part of the body; a future to await before asking again when there is none;
    /// `None` when nothing follows.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let mut rest = self.body.lock();
        match std::mem::replace(&mut *rest, Rest::Nothing) {
            Rest::Nothing => Ok(None),
            Rest::Ready(ready, remote) => {
                *rest = remote.map_or(Rest::Nothing, Rest::Remote);
                Ok(Some(PyBytes::new(py, &ready).into_any().unbind()))
            }
            Rest::Remote(remote) => {
                let batch = match taken(py, &remote, &self.bridge)? {
                    Taken::Batch(batch) => batch,
                    Taken::Future(future) => {
                        *rest = Rest::Remote(remote);
                        return Ok(Some(future));
                    }
                    Taken::End => return Ok(None),
                };
                let (mut parts, mut is_over) = (Vec::new(), false);
                for outgoing in batch {
                    match outgoing {
                        Outgoing::Text(part) => parts.extend_from_slice(&part),
                        Outgoing::Close(_) => is_over = true,
                        Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
                    }
                }
                if !is_over {
                    *rest = Rest::Remote(remote);
                }
                Ok(Some(PyBytes::new(py, &parts).into_any().unbind()))
            }
        }
    }

    /// The client is gone, or has all of it.
    fn closed(&self) {
        *self.body.lock() = Rest::Nothing;
    }
}
