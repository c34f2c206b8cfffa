//! HTTP/2: the streams of one connection, and their bounds in bytes, time and number. The same
//! application answers requests of HTTP/1.1 and HTTP/2.
//!
//! The HTTP/2 implementation of actix-http has no configurable bounds: ADR 0047.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, HttpMessage, Payload, Request, Response};
use actix_web::http::header::{self, TryIntoHeaderValue};
use actix_web::http::{Method, Version};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use runtime::Responder;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::application::Application;
use crate::deadline::{Deadline, Pace, within};
use crate::head::head_bytes;
use crate::socket::SocketHandle;
use crate::turn::{Turn, Turns};

mod counted;
mod unfailing;

use counted::{Counted, Intake};
use unfailing::Unfailing;

/// Streams that one connection may have at once (count).
const MAX_STREAMS: u32 = 100;

/// Heads of the running requests of one connection, as a multiple of the largest head. Past it a
/// further request is refused.
const MAX_HEADS: usize = 16;

/// Receive window of one stream and of a connection (bytes).
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of one stream that may wait to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// Bytes of all ended streams that may remain to be written.
const MAX_LEFT: u64 = MAX_STREAMS as u64 * SEND_BUFFER as u64;

/// Bytes that a stream writes at once, so that other streams can write too.
const CHUNK: usize = 16 * 1024;

/// Frames that a client may send for a request that runs: its head, priorities, the window of its
/// stream (count).
const OF_REQUEST: u64 = 5;

/// Frames that a client may send for one of data that it has received (count).
const OF_DATA: u64 = 4;

/// Data frames below this size do not allow the client additional frames (bytes).
const MIN_PIECE: usize = 1024;

/// How long a client has to take our GOAWAY, and to leave.
const GOAWAY_TIME: Duration = Duration::from_secs(2);

/// Serves a connection until its client disconnects, has had no request for too long, or floods it.
pub(crate) async fn serve<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    socket: SocketHandle,
    peer: Option<SocketAddr>,
    application: Application,
    responder: &Responder,
) {
    let limits = &responder.state().limits;
    // The socket does not wait for a head; this function does so for each stream.
    let _watched = socket.begin_request();
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    let intake = Intake::new();
    let (io, turn) = Turns::new(Counted::new(Unfailing::new(io), intake.clone()));
    let handshake = within(limits.request_timeout, builder.handshake(io)).await;
    let Some(Ok(mut connection)) = handshake else {
        return;
    };
    let pings = limits
        .keepalive
        .zip(connection.ping_pong())
        .map(|(interval, ping_pong)| Pings::new(ping_pong, interval, socket.clone()));
    let streams = Rc::new(Streams {
        application,
        socket,
        responder: responder.clone(),
        intake,
        peer,
        send_timeout: limits.send_timeout,
        max_heads: limits.max_head_bytes * MAX_HEADS,
        running: Cell::new(0),
        heads: Cell::new(0),
        waiting: Cell::new(0),
        task: AtomicWaker::new(),
    });
    let ended = accept(
        &mut connection,
        &turn,
        &streams,
        pings,
        limits.request_timeout,
    );
    if let Some(reason) = ended.await {
        connection.abrupt_shutdown(reason);
        within(
            GOAWAY_TIME,
            poll_fn(|cx| {
                turn.begin();
                connection.poll_closed(cx)
            }),
        )
        .await;
    }
}

/// Runs the streams of a connection until it ends; returns the reason for the client, unless it is
/// gone.
async fn accept<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T, Bytes>,
    turn: &Turn,
    streams: &Rc<Streams>,
    mut pings: Option<Pings>,
    timeout: Duration,
) -> Option<Reason> {
    let mut idle: Option<Idle> = None;
    let mut is_leaving = false;
    poll_fn(|cx| {
        turn.begin();
        if !is_leaving && streams.responder.state().is_leaving() {
            // The client opens another connection for its next request, and finds another server.
            is_leaving = true;
            connection.graceful_shutdown();
        }
        while let Poll::Ready(accepted) = connection.poll_accept(cx) {
            let (request, respond) = match accepted {
                Some(Ok(asked)) => asked,
                // `h2` has sent the reason itself, such as for floods that it counts.
                Some(Err(error)) if error.is_go_away() && error.is_library() => {
                    streams.refuse();
                    return Poll::Ready(None);
                }
                Some(Err(_)) | None => return Poll::Ready(None),
            };
            Streams::start(streams, request, respond);
        }
        if streams.intake.is_flooded() {
            streams.refuse();
            return Poll::Ready(Some(Reason::ENHANCE_YOUR_CALM));
        }
        if pings
            .as_mut()
            .is_some_and(|pings| pings.poll(cx).is_ready())
        {
            return Poll::Ready(None);
        }
        // Registered before the check, so that a stream that ends after it wakes this task.
        streams.task.register(cx.waker());
        if streams.running.get() > 0 {
            idle = None;
            return Poll::Pending;
        }
        let idle = idle.get_or_insert_with(|| Idle::new(timeout, streams.socket.sent()));
        let idle = idle.poll(cx, &streams.socket);
        idle.map(|()| Some(Reason::NO_ERROR))
    })
    .await
}

/// A connection without a stream. Bytes of ended streams may still be written.
struct Idle {
    deadline: Deadline,
    /// Bytes that the socket had sent when the last stream ended, and at the last check.
    begun: u64,
    seen: u64,
}

impl Idle {
    fn new(timeout: Duration, sent: u64) -> Self {
        Self {
            deadline: Deadline::new(timeout),
            begun: sent,
            seen: sent,
        }
    }

    /// Ready when no bytes of streams remained to be written for the whole time. Bytes beyond the
    /// maximum that streams can have left are answers to pings and settings.
    fn poll(&mut self, cx: &mut Context<'_>, socket: &SocketHandle) -> Poll<()> {
        loop {
            ready!(self.deadline.poll(cx));
            let sent = socket.sent();
            if sent == self.seen || sent - self.begun > MAX_LEFT {
                return Poll::Ready(());
            }
            self.seen = sent;
            self.deadline.restart();
        }
    }
}

/// State that the streams of one connection share.
struct Streams {
    application: Application,
    socket: SocketHandle,
    responder: Responder,
    intake: Rc<Intake>,
    peer: Option<SocketAddr>,
    send_timeout: Duration,
    max_heads: usize,
    /// Requests whose responses are not complete (count).
    running: Cell<usize>,
    /// Size of their heads (bytes).
    heads: Cell<usize>,
    /// Responses with data that waits for a window (count).
    waiting: Cell<u64>,
    /// The task of the connection, which waits for the last request to end.
    task: AtomicWaker,
}

/// One running request.
struct Running {
    streams: Rc<Streams>,
    head: usize,
}

impl Streams {
    fn start(
        this: &Rc<Self>,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        this.intake.allowance.earn(OF_REQUEST);
        let request = this.read(request);
        let head = head_bytes(request.head());
        if this.heads.get() + head > this.max_heads {
            this.refuse();
            return respond.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
        this.running.set(this.running.get() + 1);
        this.heads.set(this.heads.get() + head);
        let running = Running {
            streams: this.clone(),
            head,
        };
        actix_rt::spawn(async move {
            let is_head = request.method() == Method::HEAD;
            let answered = running.streams.application.call(request);
            // When the client resets the stream, its operation is cancelled and there is no
            // response.
            if let Some(answered) = until_reset(&mut respond, answered).await {
                let response = answered.unwrap_or_else(|error| error.error_response().into());
                // An error means that the client has disconnected.
                running.streams.send(response, respond, is_head).await.ok();
            }
        });
    }

    /// Counts a client that is refused before it is authenticated.
    fn refuse(&self) {
        let peer = self.peer.map(|peer| peer.to_string());
        self.responder.abandoned(peer.as_deref());
    }

    /// Converts a request to the form of actix.
    fn read(&self, request: http::Request<RecvStream>) -> Request {
        let (parts, body) = request.into_parts();
        let body: BoxedPayloadStream = Box::pin(RequestBody(body));
        let mut request = Request::with_payload(Payload::from(body));
        let head = request.head_mut();
        head.uri = parts.uri;
        head.method = parts.method;
        head.version = Version::HTTP_2;
        head.headers = parts.headers.into();
        head.peer_addr = self.peer;
        request.extensions_mut().insert(self.socket.clone());
        request
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let streams = &self.streams;
        streams.heads.set(streams.heads.get() - self.head);
        streams.running.set(streams.running.get() - 1);
        streams.task.wake();
    }
}

/// Waits for a future; `None` if the client resets the stream before.
async fn until_reset<F: Future>(respond: &mut SendResponse<Bytes>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    })
    .await
}

impl Streams {
    /// Sends a response. Its body is dropped if the client resets the stream, or reads it too
    /// slowly.
    async fn send(
        &self,
        response: Response<BoxBody>,
        mut respond: SendResponse<Bytes>,
        is_head: bool,
    ) -> Result<(), h2::Error> {
        let (response, body) = response.into_parts();
        let is_whole = is_head || body.size().is_eof();
        let mut stream = respond.send_response(head_of(&response, body.size()), is_whole)?;
        if is_whole {
            return Ok(());
        }
        let mut body = pin!(body);
        while let Some(part) = poll_fn(|cx| poll_part(body.as_mut(), &mut stream, cx)).await {
            // After an error the client must not treat the incomplete body as complete.
            let is_sent = match part {
                Ok(part) => self.send_part(part, &mut stream).await?,
                Err(_) => false,
            };
            if !is_sent {
                stream.send_reset(Reason::CANCEL);
                return Ok(());
            }
        }
        stream.send_data(Bytes::new(), true)
    }

    /// Sends a part of a body; false if the client reads it too slowly.
    async fn send_part(
        &self,
        mut part: Bytes,
        stream: &mut SendStream<Bytes>,
    ) -> Result<bool, h2::Error> {
        let mut pace = Pace::new(self.send_timeout);
        while !part.is_empty() {
            stream.reserve_capacity(part.len().min(CHUNK));
            let waiting = Waiting::new(&self.waiting);
            let capacity = poll_fn(|cx| match poll_capacity(stream, cx) {
                Poll::Ready(capacity) => Poll::Ready(Some(capacity)),
                Poll::Pending => pace.poll(cx).map(|()| None),
            });
            let Some(capacity) = capacity.await else {
                return Ok(false);
            };
            let taken = part.split_to(part.len().min(capacity?));
            // The bytes that the client reads count for all waiting responses.
            pace.take(taken.len() as u64 * waiting.count());
            if part.is_empty() || taken.len() >= MIN_PIECE {
                self.intake.allowance.earn(OF_DATA);
            }
            stream.send_data(taken, false)?;
        }
        Ok(true)
    }
}

/// A response with waiting data.
struct Waiting<'a>(&'a Cell<u64>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a Cell<u64>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }

    /// Returns the number of waiting responses, including this one.
    fn count(&self) -> u64 {
        self.0.get()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Polls the next part of a body; `None` at its end, and if the client has reset the stream.
fn poll_part<B: MessageBody>(
    body: Pin<&mut B>,
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, B::Error>>> {
    match body.poll_next(cx) {
        Poll::Pending => stream.poll_reset(cx).map(|_| None),
        Poll::Ready(part) => Poll::Ready(part),
    }
}

/// Ready with the number of bytes that can be sent now, at least 1.
fn poll_capacity(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, h2::Error>> {
    loop {
        let capacity = stream.capacity();
        if capacity > 0 {
            return Poll::Ready(Ok(capacity));
        }
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
        }
    }
}

/// Converts the head of a response to the form of HTTP/2.
fn head_of(response: &Response<()>, size: BodySize) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = response.status();
    for (name, value) in response.headers() {
        // Connection-specific fields are malformed in HTTP/2 (RFC 9113, section 8.2.2).
        if name != header::CONNECTION && name != header::TRANSFER_ENCODING {
            head.headers_mut().append(name, value.clone());
        }
    }
    if let BodySize::Sized(length) = size {
        head.headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    if let Ok(date) = header::HttpDate::from(SystemTime::now()).try_into_value() {
        head.headers_mut().insert(header::DATE, date);
    }
    head
}

/// The body of a request.
struct RequestBody(RecvStream);

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = ready!(self.0.poll_data(cx)).map(|read| {
            let part = read?;
            // Opens the window for the bytes that were read.
            self.0.flow_control().release_capacity(part.len())?;
            Ok(part)
        });
        Poll::Ready(read.map(|read| read.map_err(|_: h2::Error| PayloadError::Incomplete(None))))
    }
}

/// Detects that the client is gone.
struct Pings {
    ping_pong: PingPong,
    socket: SocketHandle,
    deadline: Deadline,
    /// The number of reads when the unanswered ping was sent.
    sent: Option<u64>,
}

impl Pings {
    fn new(ping_pong: PingPong, interval: Duration, socket: SocketHandle) -> Self {
        Self {
            ping_pong,
            socket,
            deadline: Deadline::new(interval),
            sent: None,
        }
    }

    /// Ready when the client has neither answered a ping nor sent any other frame for an interval.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.sent.is_some() {
                match self.ping_pong.poll_pong(cx) {
                    Poll::Ready(Ok(_)) => self.sent = None,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            ready!(self.deadline.poll(cx));
            let heard = self.socket.heard();
            match self.sent {
                // The client may have much data to read before the ping.
                Some(before) if before == heard => return Poll::Ready(()),
                Some(_) => {}
                None if self.ping_pong.send_ping(Ping::opaque()).is_err() => {
                    return Poll::Ready(());
                }
                None => {}
            }
            self.sent = Some(heard);
            self.deadline.restart();
        }
    }
}
