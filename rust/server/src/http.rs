//! HTTP requests on the GraphQL path, and their responses, part by part.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::{ConnectionType, RequestHead};
use actix_web::body::{BodySize, MessageBody, None as NoBody};
use actix_web::http::{StatusCode, Version};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use protocol::http::Response;
use protocol::{Close, Head};
use runtime::{
    Body, ConnectionHandle, KeptBytes, Outgoing, Place, Reply, Responder, TransportHandle,
    stuck_time,
};

use crate::deadline::within;
use crate::gather::Gathered;
use crate::head::{client_of, headers_of, is_too_large, peer_of};
use crate::scan::BodyFault;
use crate::socket::SocketHandle;
use crate::worker::CurrentWorker;

/// Size of the pieces in which a body is passed to the socket (bytes).
const PIECE_BYTES: usize = 32 * 1024;

/// Answers a request that is not a WebSocket handshake.
pub(crate) async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    worker: &CurrentWorker,
) -> HttpResponse {
    let (limits, responder) = (&worker.worker.state().limits, &worker.responder);
    let socket = socket_of(request);
    let mut asked = protocol::http::HttpRequest {
        method: request.method().as_str(),
        query: request.query_string(),
        headers: &[],
        body: &[],
    };
    if is_too_large(request.head(), limits.max_head_bytes) {
        // No other part of the request is used.
        let headers = headers_of(request.head(), |name| name == "origin");
        asked.headers = &headers;
        let refusal = too_large_head(limits.max_head_bytes);
        let peer = peer_of(request.head());
        let reply = responder.refuse(&asked, peer.as_deref(), refusal);
        return closing(respond(reply, None));
    }
    let mut client = client_of(request.head(), "http");
    client.budget = socket.as_ref().map(|socket| socket.budget().clone());
    let headers = client.headers.clone();
    asked.headers = &headers;
    let peer = client.peer.clone();
    let refuse = |asked, refusal| {
        let reply = responder.refuse(asked, peer.as_deref(), refusal);
        closing(respond(reply, None))
    };
    let place = match responder.admit_request(&asked, peer.as_deref()) {
        Ok(place) => place,
        Err(refusal) => return closing(respond(refusal, None)),
    };
    let body = within(
        limits.request_timeout,
        read(payload, limits.max_message_bytes, socket.as_ref()),
    );
    let body = match body.await {
        Some(Ok(body)) => body,
        Some(Err(refusal)) => return refuse(&asked, refusal),
        None => return closing(respond(responder.late(&asked, peer.as_deref()), None)),
    };
    asked.body = &body;
    // The socket of HTTP/2 has other streams, perhaps of other clients of a proxy. One whose
    // client reads nothing holds back one batch, until it is ended for that.
    let own_socket = socket.clone();
    let own_socket = own_socket.filter(|_| request.version() != Version::HTTP_2);
    let ended = own_socket.clone();
    let transport = TransportHandle {
        shut_down: Box::new(move || {
            if let Some(socket) = ended {
                socket.shut_down();
            }
        }),
        pulse: None,
    };
    let reply = responder.answer(asked, client, place, transport).await;
    let own = match &reply.body {
        Body::Whole(body, Some(_)) | Body::Stream(body, _) => body.len(),
        // Responses that all clients share are stored only once.
        Body::Whole(_, None) => 0,
    };
    let kept = socket.as_ref().map(|socket| socket.budget().keep(own));
    if let Some(None) = kept {
        let refusal = Response::unavailable("too many responses wait to be read: read them first");
        return respond(responder.told(&asked, refusal), None);
    }
    if let (Body::Stream(..), Some(socket)) = (&reply.body, &own_socket)
        && let Some(keepalive) = limits.keepalive
    {
        socket.end_when_unacknowledged(stuck_time(keepalive));
    }
    let mut response = respond_keeping(reply, socket, kept.flatten());
    if request.version() < Version::HTTP_11 && response.body().size() == BodySize::Stream {
        // HTTP/1.0 has no chunks: the body ends with the connection.
        let head = response.head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
    if responder.state().is_leaving() {
        // The next request is for another server.
        return closing(response);
    }
    response
}

pub(crate) fn socket_of(request: &HttpRequest) -> Option<SocketHandle> {
    let of_stream = || request.extensions().get::<SocketHandle>().cloned();
    let of_connection = request.conn_data::<SocketHandle>().cloned();
    of_connection.or_else(of_stream)
}

/// Returns the response to a head past the limit.
pub(crate) fn too_large_head(limit_bytes: usize) -> Response {
    let problem = format!("the head of a request may have at most {limit_bytes} bytes");
    Response::error(431, &problem)
}

/// Refuses a request with an ambiguous head.
pub(crate) fn refuse_malformed(
    responder: &Responder,
    head: &RequestHead,
    problem: &str,
) -> HttpResponse {
    let headers = headers_of(head, |name| name == "origin");
    let asked = protocol::http::HttpRequest {
        method: head.method.as_str(),
        query: "",
        headers: &headers,
        body: &[],
    };
    let peer = peer_of(head);
    respond(
        responder.refuse(&asked, peer.as_deref(), malformed(problem)),
        None,
    )
}

/// Returns the response to an ambiguous head.
pub(crate) fn malformed(problem: &str) -> Response {
    Response::error(400, problem)
}

/// Makes the HTTP/1.1 connection close after a response, because the following bytes cannot be
/// interpreted.
pub(crate) fn closing(mut response: HttpResponse) -> HttpResponse {
    let head = response.head_mut();
    head.set_connection_type(ConnectionType::Close);
    response
}

/// Reads a body of limited size.
pub(crate) async fn read(
    mut payload: web::Payload,
    limit_bytes: usize,
    socket: Option<&SocketHandle>,
) -> Result<Bytes, Response> {
    let request = socket.map(SocketHandle::request).unwrap_or_default();
    let mut body = BytesMut::new();
    loop {
        let next = poll_fn(|cx| {
            if let Some(socket) = socket
                && let Poll::Ready(fault) = socket.poll_body_refused(cx, request)
            {
                return Poll::Ready(Err(fault));
            }
            payload.poll_next_unpin(cx).map(Ok)
        });
        let chunk = match next.await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(BodyFault::TooLarge) => return Err(Response::too_large(limit_bytes)),
            Err(BodyFault::Malformed) => {
                return Err(malformed("a line of the chunked body ends without CR"));
            }
        };
        let chunk = chunk.map_err(|_| Response::error(400, "the body is incomplete"))?;
        if body.len() + chunk.len() > limit_bytes {
            return Err(Response::too_large(limit_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Converts a reply to an actix-web response; it counts for `max_connections` until the socket has
/// written it.
pub(crate) fn respond(reply: Reply, socket: Option<SocketHandle>) -> HttpResponse {
    respond_keeping(reply, socket, None)
}

/// Like [`respond`], for a reply whose bytes are counted.
fn respond_keeping(
    reply: Reply,
    socket: Option<SocketHandle>,
    kept: Option<KeptBytes>,
) -> HttpResponse {
    let mut response = begin(&reply.head);
    let (ready, length, remote) = match reply.body {
        // The response to a HEAD.
        Body::Whole(body, _) if reply.head.goes_on && body.is_empty() => {
            return response.body(NoBody::new());
        }
        Body::Whole(body, remote) => {
            let length = body.len() as u64;
            (body, Some(length), remote)
        }
        Body::Stream(ready, remote) => (ready, None, Some(remote)),
    };
    response.body(Parts {
        ready: ready.into(),
        length,
        is_over: length.is_some(),
        remote,
        _kept: kept,
        held: socket.zip(reply.place).map(|(socket, place)| Held {
            socket,
            place: Some(place),
        }),
    })
}

fn begin(head: &Head) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in &head.headers {
        response.append_header((name.as_ref(), value.as_ref()));
    }
    response
}

/// A body. It is polled only while the socket accepts its bytes.
struct Parts {
    ready: Gathered,
    /// `None`: a stream.
    length: Option<u64>,
    /// Whether no further part follows the ready ones.
    is_over: bool,
    /// The source of further parts. It is also kept for a complete body, because the request counts
    /// as a connection until it is written.
    remote: Option<ConnectionHandle>,
    /// The initially ready bytes, counted for their connection.
    _kept: Option<KeptBytes>,
    held: Option<Held>,
}

impl Parts {
    /// Removes a piece of the ready bytes. A large result is sent in pieces, so that progress of a
    /// slow client can be seen.
    fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.ready.pop(PIECE_BYTES)?;
        if let Some(remote) = &self.remote {
            remote.progressed();
        }
        Some(piece)
    }
}

/// Keeps a request counted until its body is passed on.
struct Held {
    socket: SocketHandle,
    place: Option<Place>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.socket.free_when_written(place);
        }
    }
}

impl MessageBody for Parts {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        self.length.map_or(BodySize::Stream, BodySize::Sized)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        loop {
            if let Some(piece) = self.next_piece() {
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(remote) = self.remote.as_ref().filter(|_| !self.is_over) else {
                return Poll::Ready(None);
            };
            let Some(outgoing) = ready!(remote.poll_take(cx)) else {
                // Aborted: the client must not treat the incomplete body as complete.
                let error = std::io::ErrorKind::ConnectionAborted;
                return Poll::Ready(Some(Err(error.into())));
            };
            for outgoing in outgoing {
                match outgoing {
                    Outgoing::Text(part) => self.ready.push(&part),
                    Outgoing::Close(close) => {
                        self.is_over = true;
                        if let Some(held) = self.held.as_ref()
                            && close == Close::going_away()
                        {
                            held.socket.leave();
                        }
                    }
                    Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
                }
            }
        }
    }
}
