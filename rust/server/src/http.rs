//! HTTP requests on the GraphQL path: bytes in, a response out, part by part.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::ConnectionType;
use actix_web::body::{BodySize, BodyStream, MessageBody, None as NoBody};
use actix_web::http::{StatusCode, Version};
use actix_web::rt::time::{Interval, interval};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use protocol::Head;
use protocol::http::Response;
use runtime::{Body, CarrierHandle, Outgoing, Remote, Reply, stuck_time};

use crate::socket::SocketHandle;
use crate::worker::{CurrentWorker, client_of};

/// How often a stream of HTTP/2 is asked whether its client has left.
const DEPARTURE_INTERVAL: Duration = Duration::from_secs(1);

/// What of a body is handed to the socket at once (bytes).
const PIECE_BYTES: usize = 64 * 1024;

/// Answers a request that is no WebSocket handshake.
pub(crate) async fn answer(
    request: &HttpRequest,
    mut payload: web::Payload,
    worker: &CurrentWorker,
) -> HttpResponse {
    let limit = worker.worker.engine().limits.max_message_bytes;
    let (body, refusal) = match read(&mut payload, limit).await {
        Ok(body) => (body, None),
        Err(refusal) => (Bytes::new(), Some(refusal)),
    };
    let client = client_of(request.head(), "http");
    let headers = client.headers.clone();
    let asked = protocol::http::HttpRequest {
        method: request.method().as_str(),
        query: request.query_string(),
        headers: &headers,
        body: &body,
    };
    if let Some(refusal) = refusal {
        return respond(worker.responder.refuse(&asked, refusal), None);
    }
    let is_multiplexed = request.version() == Version::HTTP_2;
    // The socket of HTTP/2 carries other streams, perhaps of other clients of a proxy. One whose
    // client reads nothing holds back one batch, and ends when the client reads on or leaves.
    let socket = request.conn_data::<SocketHandle>().cloned();
    let socket = socket.filter(|_| !is_multiplexed);
    let ended = socket.clone();
    let carrier = CarrierHandle {
        shut_down: Box::new(move || {
            if let Some(socket) = ended {
                socket.shut_down();
            }
        }),
        pulse: None,
    };
    let reply = worker.responder.answer(asked, client, carrier).await;
    if let (Body::Stream(..), Some(socket)) = (&reply.body, &socket)
        && let Some(keepalive) = worker.worker.engine().limits.keepalive
    {
        socket.end_when_unacknowledged(stuck_time(keepalive));
    }
    let mut response = respond(reply, is_multiplexed.then(|| Departure::of(payload)));
    if request.version() < Version::HTTP_11 && response.body().size() == BodySize::Stream {
        // It knows no chunks: the body ends with the connection.
        let head = response.head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
    response
}

async fn read(payload: &mut web::Payload, limit_bytes: usize) -> Result<Bytes, Response> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Response::error(400, "the body is incomplete"))?;
        if body.len() + chunk.len() > limit_bytes {
            return Err(Response::too_large(limit_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Puts a reply into the form of actix-web.
pub(crate) fn respond(reply: Reply, departure: Option<Departure>) -> HttpResponse {
    let mut response = begin(&reply.head);
    match reply.body {
        // Only the head was asked for.
        Body::Whole(body, _) if reply.head.goes_on && body.is_empty() => {
            response.body(NoBody::new())
        }
        Body::Whole(body, None) => response.body(body),
        Body::Whole(body, remote) => response.body(Whole {
            body: Some(body),
            _remote: remote,
        }),
        Body::Stream(ready, remote) => response.body(BodyStream::new(Parts {
            ready,
            remote,
            departure,
            is_over: false,
        })),
    }
}

fn begin(head: &Head) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in &head.headers {
        response.append_header((name.as_ref(), value.as_ref()));
    }
    response
}

/// A body whose request counts as connected until it is written.
struct Whole {
    body: Option<Bytes>,
    _remote: Option<Remote>,
}

impl MessageBody for Whole {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.body.as_ref().map_or(0, |body| body.len() as u64))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(self.body.take().filter(|body| !body.is_empty()).map(Ok))
    }
}

/// A body that goes on. It is polled only while the socket takes what it gives.
struct Parts {
    ready: Bytes,
    remote: Remote,
    departure: Option<Departure>,
    is_over: bool,
}

/// Notices that the client of one stream of HTTP/2 has left. actix-http would notice when it
/// writes; of the request, which is read already, nothing wakes anybody, but it can be asked.
pub(crate) struct Departure {
    request: web::Payload,
    interval: Interval,
}

impl Departure {
    fn of(request: web::Payload) -> Self {
        let interval = interval(DEPARTURE_INTERVAL);
        Self { request, interval }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.interval.poll_tick(cx).is_ready() {
            if let Poll::Ready(Some(Err(_))) = self.request.poll_next_unpin(cx) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Parts {
    /// Takes some of what is ready. A large result leaves in pieces, so that a client which takes
    /// it slowly is seen to take it.
    fn next_piece(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() {
            return None;
        }
        self.remote.progressed();
        let length = self.ready.len().min(PIECE_BYTES);
        Some(self.ready.split_to(length))
    }
}

impl Stream for Parts {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(piece) = self.next_piece() {
            return Poll::Ready(Some(Ok(piece)));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let outgoing = match self.remote.poll_take(cx) {
            Poll::Ready(Some(outgoing)) => outgoing,
            Poll::Ready(None) => {
                // Ended by force: the client must not take what it has for the whole.
                let error = std::io::ErrorKind::ConnectionAborted;
                return Poll::Ready(Some(Err(error.into())));
            }
            Poll::Pending => {
                let departure = self.departure.as_mut();
                return match departure.map(|departure| departure.poll(cx)) {
                    Some(Poll::Ready(())) => Poll::Ready(None),
                    _ => Poll::Pending,
                };
            }
        };
        let mut parts = BytesMut::new();
        for outgoing in outgoing {
            match outgoing {
                Outgoing::Text(part) => parts.extend_from_slice(&part),
                Outgoing::Close(_) => self.is_over = true,
                Outgoing::Head(_) | Outgoing::Ping | Outgoing::Pong(_) => {}
            }
        }
        self.ready = parts.freeze();
        Poll::Ready(self.next_piece().map(Ok))
    }
}
