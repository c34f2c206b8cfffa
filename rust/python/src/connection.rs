//! Connections and requests of a Python server: one crossing for a batch of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::http::HttpRequest;
use protocol::{Close, FramedMessage, Head, Session, Subprotocol, Transports};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use runtime::{
    Body, Callback, Client, ConnectionConfig, ConnectionHandle, Outgoing, Place, Reply, Responder,
    TransportHandle, opaque_id,
};

use crate::bridge::Bridge;
use crate::client::{HostClient, context_variables};
use crate::future::{AtEnd, Promise, cancellable};
use crate::running::Running;

/// Names, in lower case, and values.
type Headers = Vec<(String, String)>;

/// The client as described by a Python server.
#[derive(FromPyObject)]
pub(crate) struct PyPeer {
    headers: Vec<(Lossy, Lossy)>,
    remote_address: Option<Lossy>,
    query_string: Lossy,
    context: Option<Py<PyAny>>,
}

impl PyPeer {
    fn into_client(self, py: Python<'_>) -> PyResult<Client> {
        let host = HostClient {
            value: self.context.filter(|value| !value.is_none(py)),
            variables: Some(context_variables(py)?.unbind()),
            ..HostClient::default()
        };
        let headers = self
            .headers
            .into_iter()
            .map(|(name, value)| (name.0, value.0));
        let client = Client {
            connection_id: opaque_id("adapter"),
            headers: headers.collect::<Vec<_>>().into(),
            query: self.query_string.0,
            peer: self.remote_address.map(|address| address.0),
            ..Client::default()
        };
        // It is new, so `host` is not set yet.
        client.host.set(Box::new(host)).ok();
        Ok(client)
    }
}

/// Text of a client. Some servers pass on bytes that are not UTF-8 as lone surrogates.
pub(crate) struct Lossy(String);

impl<'a, 'py> FromPyObject<'a, 'py> for Lossy {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(
            object.cast::<PyString>()?.to_string_lossy().into_owned(),
        ))
    }
}

/// Returns a callback that completes a future of the caller's loop, from any thread.
fn completion(py: Python<'_>, bridge: &Arc<Bridge>, promise: Promise) -> Callback {
    bridge.keep(py, promise, AtEnd::Look).into_callback()
}

/// One WebSocket connection of a Python server.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct Connection {
    /// `None` if it is refused.
    accepted: Option<(ConnectionHandle, Arc<Bridge>)>,
    subprotocol: Option<Subprotocol>,
    refusal: Option<protocol::http::Response>,
    ended: Py<PyAny>,
}

impl Connection {
    /// Opens a connection on one of the workers, unless it is refused.
    pub(crate) fn open(
        py: Python<'_>,
        running: &Running,
        subprotocols: &[Lossy],
        peer: PyPeer,
    ) -> PyResult<Self> {
        let responder = py.detach(|| running.runtime.responder());
        let client = peer.into_client(py)?;
        let admitted = responder.admit(&client.headers, client.peer.as_deref());
        let transports = responder.state().transports;
        let subprotocol = transports.negotiate(subprotocols.iter().map(|name| &*name.0));
        let promise = Promise::new(py)?;
        let ended = promise.future(py).unbind();
        let (place, refusal) = match admitted {
            Ok(place) => (Some(place), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let handle = place.map(|place| {
            let speaks = subprotocol.unwrap_or(Subprotocol::TransportWs);
            let config = ConnectionConfig {
                client,
                session: Session::websocket(speaks)
                    .with_keepalive(responder.state().limits.keepalive)
                    .with_early_bytes(responder.state().limits.max_message_bytes),
                close: subprotocol
                    .is_none()
                    .then(Close::subprotocol_not_acceptable),
                transport: TransportHandle {
                    shut_down: completion(py, &running.bridge, promise),
                    pulse: Some(running.pulse.clone()),
                },
                ended: Box::new(|| drop(place)),
            };
            responder.open(config)
        });
        Ok(Self {
            accepted: handle.map(|handle| (handle, running.bridge.clone())),
            subprotocol,
            refusal,
            ended,
        })
    }

    /// Creates a refusal for a client of a closed manager.
    pub(crate) fn refused(
        py: Python<'_>,
        transports: Transports,
        subprotocols: &[Lossy],
    ) -> PyResult<Self> {
        Ok(Self {
            accepted: None,
            subprotocol: transports.negotiate(subprotocols.iter().map(|name| &*name.0)),
            refusal: Some(protocol::http::Response::shutting_down()),
            ended: Promise::new(py)?.future(py).unbind(),
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

    /// Status, headers and body of the response that refuses the handshake; `None`: accept it.
    #[getter]
    fn refusal<'py>(&self, py: Python<'py>) -> Option<(u16, Headers, Bound<'py, PyBytes>)> {
        self.refusal.clone().map(|response| {
            let body = PyBytes::new(py, &response.body);
            (
                response.head.status,
                headers(response.head, Some(&response.body)),
                body,
            )
        })
    }

    /// A future that is done when the socket has to be closed at once, even during a write.
    #[getter]
    fn ended(&self, py: Python<'_>) -> Py<PyAny> {
        self.ended.clone_ref(py)
    }

    /// Receives one text message; returns a future to await before the next one if too many wait.
    fn receive_text(&self, py: Python<'_>, text: Lossy) -> PyResult<Option<Py<PyAny>>> {
        let Some((handle, bridge)) = &self.accepted else {
            return Ok(None);
        };
        if handle.receive_text(text.0) {
            return Ok(None);
        }
        let promise = Promise::new(py)?;
        let room = promise.future(py).unbind();
        handle.when_room(completion(py, bridge, promise));
        Ok(Some(room))
    }

    /// Receives one binary message.
    fn receive_binary(&self) {
        if let Some((handle, _)) = &self.accepted {
            handle.receive_binary();
        }
    }

    /// Returns all ready messages: bytes of JSON, and last the code and reason of the close.
    /// Returns a future to await before the next call if there is none, and `None` at the end.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some((handle, bridge)) = &self.accepted else {
            return Ok(None);
        };
        let batch = match taken(py, handle, bridge)? {
            Taken::Batch(batch) => batch,
            Taken::Future(future) => return Ok(Some(future)),
            Taken::End => return Ok(None),
        };
        let to_bytes = |message: &FramedMessage| {
            PyBytes::new_with(py, message.len(), |mut bytes| {
                message.write(&mut bytes);
                Ok(())
            })
        };
        let messages = PyList::empty(py);
        for outgoing in batch {
            match outgoing {
                Outgoing::Text(message) => messages.append(to_bytes(&message)?)?,
                Outgoing::Close(close) => messages.append((close.code, close.reason))?,
                Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
            }
        }
        Ok(Some(messages.into_any().unbind()))
    }

    /// Records that the socket is closed.
    fn closed(&self) {
        if let Some((handle, _)) = &self.accepted {
            handle.closed();
        }
    }
}

enum Taken {
    Batch(Vec<Outgoing>),
    Future(Py<PyAny>),
    End,
}

fn taken(py: Python<'_>, handle: &ConnectionHandle, bridge: &Arc<Bridge>) -> PyResult<Taken> {
    let promise = Promise::new(py)?;
    let future = promise.future(py).unbind();
    let taken = handle.take_or_wait(|| completion(py, bridge, promise));
    Ok(match taken {
        Poll::Ready(Some(batch)) => Taken::Batch(batch),
        Poll::Ready(None) => Taken::End,
        // The manager's loop has ended, so there will be no further message.
        Poll::Pending if bridge.is_closed() => Taken::End,
        Poll::Pending => Taken::Future(future),
    })
}

/// A request that a Python server received, accepted or refused by its head.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct Admission {
    running: Arc<Running>,
    request: Mutex<Option<Admitted>>,
    refusal: Mutex<Option<Reply>>,
    is_head: bool,
}

/// An accepted request whose body is not complete yet.
struct Admitted {
    method: String,
    client: Client,
    responder: Responder,
    place: Place,
}

impl Admission {
    /// Checks a head.
    pub(crate) fn new(
        py: Python<'_>,
        running: Arc<Running>,
        method: String,
        peer: PyPeer,
    ) -> PyResult<Self> {
        let client = peer.into_client(py)?;
        let responder = py.detach(|| running.runtime.responder());
        let is_head = method == "HEAD";
        let asked = HttpRequest {
            method: &method,
            query: &client.query,
            headers: &client.headers,
            body: &[],
        };
        let admitted = responder.admit_request(&asked, client.peer.as_deref());
        let (request, refusal) = match admitted {
            Ok(place) => {
                let admitted = Admitted {
                    method,
                    client,
                    responder,
                    place,
                };
                (Some(admitted), None)
            }
            Err(refusal) => (None, Some(refusal)),
        };
        Ok(Self {
            running,
            request: Mutex::new(request),
            refusal: Mutex::new(refusal),
            is_head,
        })
    }

    fn admitted(&self) -> PyResult<Admitted> {
        let admitted = self.request.lock().take();
        admitted.ok_or_else(|| PyRuntimeError::new_err("the request was refused, or is answered"))
    }
}

#[pymethods]
impl Admission {
    /// Returns, once, the response that refuses the request, whose body need not be read then.
    fn refusal(&self, py: Python<'_>) -> PyResult<Option<Response>> {
        let Some(refusal) = self.refusal.lock().take() else {
            return Ok(None);
        };
        let ended = Promise::new(py)?.future(py).unbind();
        let bridge = self.running.bridge.clone();
        Ok(Some(Response::new(refusal, self.is_head, bridge, ended)))
    }

    /// Records that the client of an accepted request has disconnected before its body was
    /// complete.
    fn abandoned(&self) {
        let Some(admitted) = self.request.lock().take() else {
            return;
        };
        admitted
            .responder
            .abandoned(admitted.client.peer.as_deref());
    }

    /// Returns the response to an accepted request whose body has not come in time.
    fn late(&self, py: Python<'_>) -> PyResult<Response> {
        let admitted = self.admitted()?;
        let asked = HttpRequest {
            method: &admitted.method,
            query: &admitted.client.query,
            headers: &admitted.client.headers,
            body: &[],
        };
        let peer = admitted.client.peer.as_deref();
        let reply = admitted.responder.late(&asked, peer);
        let ended = Promise::new(py)?.future(py).unbind();
        Ok(Response::new(
            reply,
            self.is_head,
            self.running.bridge.clone(),
            ended,
        ))
    }

    /// Answers an accepted request; the future returns its `Response`. Cancelling the future ends
    /// the operation of the request.
    fn answer<'py>(&self, py: Python<'py>, body: Vec<u8>) -> PyResult<Bound<'py, PyAny>> {
        let admitted = self.admitted()?;
        let running = &self.running;
        let promise = Promise::new(py)?;
        let ended = promise.future(py).unbind();
        let transport = TransportHandle {
            shut_down: completion(py, &running.bridge, promise),
            pulse: Some(running.pulse.clone()),
        };
        let work = async move {
            let Admitted {
                method,
                client,
                responder,
                place,
            } = admitted;
            let (headers, query) = (client.headers.clone(), client.query.clone());
            let asked = HttpRequest {
                method: &method,
                query: &query,
                headers: &headers,
                body: &body,
            };
            responder.answer(asked, client, place, transport).await
        };
        let (bridge, is_head) = (running.bridge.clone(), self.is_head);
        let finish = move |py: Python<'_>, reply| {
            let response = Response::new(reply, is_head, bridge, ended);
            Ok(response.into_pyobject(py)?.into_any().unbind())
        };
        cancellable(py, &running.bridge, &running.runtime, work, finish)
    }
}

/// The response of a Python server to one request.
#[pyclass(module = "fraiseql_subs._core", frozen)]
pub(crate) struct Response {
    status: u16,
    headers: Headers,
    body: Mutex<Rest>,
    is_cut_short: AtomicBool,
    bridge: Arc<Bridge>,
    ended: Py<PyAny>,
    /// Kept until the response was sent.
    _place: Option<Place>,
}

/// The remaining part of a body.
enum Rest {
    Whole(Bytes, Option<ConnectionHandle>),
    Ready(Bytes, ConnectionHandle),
    ConnectionHandle(ConnectionHandle),
    /// All parts were taken, but perhaps not written.
    Taken(ConnectionHandle),
    Nothing,
}

/// Returns the headers of a response, with the length of its body if it is known.
fn headers(head: Head, body: Option<&Bytes>) -> Headers {
    // RFC 9110, section 8.6: a 204 has no length.
    let length = body.filter(|body| head.status != 204 && !(head.goes_on && body.is_empty()));
    let length = length.map(|body| ("content-length".to_owned(), body.len().to_string()));
    let headers = head.headers.into_iter();
    headers
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .chain(length)
        .collect()
}

impl Response {
    fn new(reply: Reply, is_head: bool, bridge: Arc<Bridge>, ended: Py<PyAny>) -> Self {
        let known = match &reply.body {
            Body::Whole(body, _) => Some(body),
            Body::Stream(..) => None,
        };
        Self {
            status: reply.head.status,
            headers: headers(reply.head, known),
            body: Mutex::new(match reply.body {
                // Some servers would send the body of a response to a HEAD.
                Body::Whole(_, handle) if is_head => Rest::Whole(Bytes::new(), handle),
                Body::Whole(body, handle) => Rest::Whole(body, handle),
                Body::Stream(ready, handle) => Rest::Ready(ready, handle),
            }),
            is_cut_short: AtomicBool::new(false),
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
    fn headers(&self) -> Headers {
        self.headers.clone()
    }

    /// Whether the next part is the whole body.
    #[getter]
    fn is_whole(&self) -> bool {
        matches!(&*self.body.lock(), Rest::Whole(..))
    }

    /// Whether the body has ended although it is incomplete.
    #[getter]
    fn is_cut_short(&self) -> bool {
        self.is_cut_short.load(Relaxed)
    }

    /// A future that is done when the connection has to be aborted at once.
    #[getter]
    fn ended(&self, py: Python<'_>) -> Py<PyAny> {
        self.ended.clone_ref(py)
    }

    /// Returns the next part of the body, a future to await before the next call if there is none,
    /// or `None` at the end.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        // The lock is not held while Python runs.
        let rest = std::mem::replace(&mut *self.body.lock(), Rest::Nothing);
        let bytes = |bytes: &[u8]| Some(PyBytes::new(py, bytes).into_any().unbind());
        let (rest, part) = match rest {
            Rest::Nothing => (Rest::Nothing, None),
            Rest::Taken(handle) => (Rest::Taken(handle), None),
            Rest::Whole(body, handle) => {
                let rest = handle.map_or(Rest::Nothing, Rest::Taken);
                (rest, bytes(&body))
            }
            Rest::Ready(ready, handle) => (Rest::ConnectionHandle(handle), bytes(&ready)),
            Rest::ConnectionHandle(handle) => match taken(py, &handle, &self.bridge)? {
                Taken::Future(future) => (Rest::ConnectionHandle(handle), Some(future)),
                Taken::End => (Rest::Nothing, None),
                Taken::Batch(batch) => {
                    let (parts, is_over) = self.joined(batch);
                    let rest = if is_over {
                        Rest::Taken(handle)
                    } else {
                        Rest::ConnectionHandle(handle)
                    };
                    (rest, bytes(&parts))
                }
            },
        };
        *self.body.lock() = rest;
        Ok(part)
    }

    /// Records that the client is gone, or has received the whole body.
    fn closed(&self) {
        *self.body.lock() = Rest::Nothing;
    }
}

impl Response {
    /// Joins parts of a body; returns also whether they are the last.
    fn joined(&self, batch: Vec<Outgoing>) -> (Vec<u8>, bool) {
        let (mut parts, mut is_over) = (Vec::new(), false);
        for outgoing in batch {
            match outgoing {
                Outgoing::Text(part) => part.write(&mut parts),
                Outgoing::Close(close) => {
                    is_over = true;
                    self.is_cut_short.store(close != Close::normal(), Relaxed);
                }
                Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
            }
        }
        (parts, is_over)
    }
}
