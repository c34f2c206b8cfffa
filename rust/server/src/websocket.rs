//! The connection actor: a WebSocket on one side, a `runtime::Connection` on the other.
//!
//! The only file that knows `actix-web-actors`. Its context runs the actor inside the task of the
//! HTTP connection: while the socket cannot be written the actor is not polled, so what bounds
//! memory is the outbox, and what ends a client that never reads is the transport below.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use bytestring::ByteString;
use futures_util::{Stream, stream};
use protocol::Close;
use runtime::{Client, Connection, Outgoing, SignalStream, Transport, Worker};
use socket2::Socket;

use crate::messages::{Incoming, Messages};

/// Bytes that one turn hands to the socket. What is past it stays in the outbox, where it is
/// counted and where the slow-consumer policy can reach it.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// The socket below an HTTP connection, kept by `on_connect`: the one descriptor that a connection
/// needs beside its own.
pub(crate) struct SocketHandle(Rc<Socket>);

impl SocketHandle {
    pub(crate) fn of(stream: &tokio::net::TcpStream) -> std::io::Result<Self> {
        socket2::SockRef::from(stream)
            .try_clone()
            .map(|socket| Self(Rc::new(socket)))
    }
}

#[derive(Clone)]
struct TcpTransport(Rc<Socket>);

impl TcpTransport {
    /// Nothing more will be read, so that the socket is closed once everything is written.
    ///
    /// actix-http would otherwise wait for the client to close first, and RFC 6455, section
    /// 7.1.1, has the client wait for the server.
    fn stop_reading(&self) {
        // An error means that the peer has closed it already.
        self.0.shutdown(std::net::Shutdown::Read).ok();
    }
}

impl Transport for TcpTransport {
    fn shut_down(&self) {
        // An error means that the peer has closed it already.
        self.0.shutdown(std::net::Shutdown::Both).ok();
    }
}

/// The worker of the thread that serves a request.
pub(crate) struct CurrentWorker(pub(crate) Rc<Worker>);

/// Answers the handshake.
pub(crate) async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    worker: web::Data<CurrentWorker>,
) -> Result<HttpResponse, actix_web::Error> {
    let worker = &worker.0;
    let engine = worker.engine();
    let headers = request.headers();
    let origin = headers
        .get(header::ORIGIN)
        .map(|v| v.to_str().unwrap_or(""));
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok());
    if let Err(check) = engine.admit_handshake(origin, host) {
        let name = check.name();
        return Ok(HttpResponse::Forbidden().body(format!("this {name} may not connect")));
    }
    if let Some(limit) = engine.limits.max_connections
        && engine.metrics.connections.get() >= limit as u64
    {
        return Ok(HttpResponse::ServiceUnavailable().body("too many connections: try again later"));
    }
    let mut response = match ws::handshake(&request) {
        Ok(response) => response,
        Err(ws::HandshakeError::NoWebsocketUpgrade) => {
            return Ok(HttpResponse::UpgradeRequired()
                .insert_header((header::UPGRADE, "websocket"))
                .body("this path speaks graphql-transport-ws: connect with a WebSocket"));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(socket) = request.conn_data::<SocketHandle>() else {
        return Ok(
            HttpResponse::ServiceUnavailable().body("no file descriptor is free: try again later")
        );
    };
    let subprotocol = protocol::negotiate(offered_subprotocols(headers).as_deref());
    if let Some(name) = subprotocol {
        response.insert_header((
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(name),
        ));
    }
    let transport = TcpTransport(socket.0.clone());
    let connection = Connection::open(worker, client_of(&request), Box::new(transport.clone()));
    if subprotocol.is_none() {
        // A browser only tells its page about a close that follows a completed handshake.
        connection.close(Close::subprotocol_not_acceptable());
    }
    let limits = &engine.limits;
    let actor = ConnectionActor {
        connection,
        transport,
        messages: Some(Messages::new(payload, limits.max_message_bytes)),
        init_timeout: limits.connection_init_timeout,
    };
    // The actor reads `Messages`; the context's own reader gets nothing to read.
    Ok(response.streaming(ws::WebsocketContext::create(actor, stream::pending())))
}

fn offered_subprotocols(headers: &HeaderMap) -> Option<String> {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!offered.is_empty()).then(|| offered.join(","))
}

fn client_of(request: &HttpRequest) -> Client {
    Client {
        connection_id: new_connection_id(),
        headers: request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect(),
        peer: request.peer_addr().map(|peer| peer.to_string()),
        ..Client::default()
    }
}

fn new_connection_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("ws-{}", LAST.fetch_add(1, Relaxed) + 1)
}

/// Moves messages between a socket and its connection. Started by the handshake; ends with the
/// socket, and ends the connection's operations then.
struct ConnectionActor {
    connection: Rc<Connection>,
    transport: TcpTransport,
    /// Taken when the actor starts.
    messages: Option<Messages>,
    init_timeout: std::time::Duration,
}

impl Drop for ConnectionActor {
    fn drop(&mut self) {
        self.connection.closed();
    }
}

impl Actor for ConnectionActor {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(messages) = self.messages.take() {
            ctx.add_stream(OrderedMessages {
                messages,
                connection: self.connection.clone(),
            });
        }
        ctx.add_stream(SignalStream::new(self.connection.outbox().signal()));
        ctx.run_later(self.init_timeout, |actor, _| {
            actor.connection.initialisation_timed_out();
        });
    }
}

/// Messages, each when the connection is done with the one before.
struct OrderedMessages {
    messages: Messages,
    connection: Rc<Connection>,
}

impl Stream for OrderedMessages {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        ready!(self.connection.poll_ready(cx));
        Pin::new(&mut self.messages).poll_next(cx)
    }
}

impl StreamHandler<Incoming> for ConnectionActor {
    fn handle(&mut self, message: Incoming, ctx: &mut Self::Context) {
        match message {
            Incoming::Text(text) => self.connection.receive_text(&text),
            Incoming::Binary => self.connection.receive_binary(),
            Incoming::Ping(payload) => self.connection.receive_ping(payload),
            Incoming::Pong => self.connection.receive_pong(),
            Incoming::Violation(close) => self.connection.close(close),
            Incoming::Close => {
                if !self.connection.outbox().is_closed() {
                    ctx.close(Some(ws::CloseCode::Normal.into()));
                }
                self.transport.stop_reading();
                ctx.stop();
            }
        }
    }
}

/// The outbox has something to write.
impl StreamHandler<()> for ConnectionActor {
    fn handle(&mut self, (): (), ctx: &mut Self::Context) {
        let outbox = self.connection.outbox();
        let mut written = 0;
        while written < WRITE_BATCH_BYTES {
            match outbox.pop() {
                None => return,
                Some(Outgoing::Text(message)) => {
                    written += message.len();
                    match ByteString::try_from(message) {
                        Ok(text) => ctx.text(text),
                        Err(error) => tracing::error!(%error, "a response was not UTF-8"),
                    }
                }
                Some(Outgoing::Ping) => ctx.ping(b""),
                Some(Outgoing::Pong(payload)) => ctx.pong(&payload),
                Some(Outgoing::Close(close)) => ctx.close(Some(ws::CloseReason {
                    code: close.code.into(),
                    description: (!close.reason.is_empty()).then_some(close.reason),
                })),
            }
        }
        outbox.signal().set();
    }
}

/// Never called: the context insists on reading a stream of its own, which is empty.
impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for ConnectionActor {
    fn handle(&mut self, _: Result<ws::Message, ws::ProtocolError>, _: &mut Self::Context) {}
}
