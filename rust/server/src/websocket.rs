//! The connection actor: a WebSocket on one side, a `runtime::Connection` on the other.
//!
//! The only file that knows `actix-web-actors`. Its context runs the actor inside the task that
//! carries the socket (`carrier`): while the socket cannot be written the actor is not polled, so
//! what bounds memory is the outbox, and what ends a client that never reads is the transport.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_web_actors::ws;
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{Stream, stream};
use runtime::{Connection, Outgoing, SignalStream};

use crate::messages::{Incoming, Messages};

/// Bytes that one turn hands to the socket. What is past it stays in the outbox, where it is
/// counted and where the slow-consumer policy can reach it.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// Moves messages between a socket and its connection. Started by the handshake; ends with the
/// socket, and ends the connection's operations then.
pub(crate) struct ConnectionActor {
    connection: Rc<Connection>,
    /// Taken when the actor starts.
    messages: Option<Messages>,
    init_timeout: Duration,
}

impl ConnectionActor {
    /// Starts the actor; what it gives is to be written to the socket. The actor runs while that
    /// is polled, and ends when it is dropped.
    pub(crate) fn start(
        connection: Rc<Connection>,
        messages: Messages,
        init_timeout: Duration,
    ) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        let actor = Self {
            connection,
            messages: Some(messages),
            init_timeout,
        };
        // The actor reads `Messages`; the context's own reader gets nothing to read.
        ws::WebsocketContext::create(actor, stream::pending())
    }
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
                // An answer that waits, such as the close after a violation, leaves first.
                self.write(usize::MAX, ctx);
                if !self.connection.outbox().is_closed() {
                    ctx.close(Some(ws::CloseCode::Normal.into()));
                }
                ctx.stop();
            }
        }
    }
}

impl ConnectionActor {
    /// Hands what waits to the socket, up to `limit` bytes; false when there is more.
    fn write(&self, limit: usize, ctx: &mut ws::WebsocketContext<Self>) -> bool {
        let outbox = self.connection.outbox();
        let mut written = 0;
        while written < limit {
            match outbox.pop() {
                None => return true,
                Some(Outgoing::Text(message)) => {
                    written += message.len();
                    match ByteString::try_from(message) {
                        Ok(text) => ctx.text(text),
                        Err(error) => tracing::error!(%error, "a response was not UTF-8"),
                    }
                }
                // Only responses have one.
                Some(Outgoing::Head(_)) => {}
                Some(Outgoing::Ping) => ctx.ping(b""),
                Some(Outgoing::Pong(payload)) => ctx.pong(&payload),
                Some(Outgoing::Close(close)) => ctx.close(Some(ws::CloseReason {
                    code: close.code.into(),
                    description: (!close.reason.is_empty()).then_some(close.reason),
                })),
            }
        }
        false
    }
}

/// The outbox has something to write.
impl StreamHandler<()> for ConnectionActor {
    fn handle(&mut self, (): (), ctx: &mut Self::Context) {
        if !self.write(WRITE_BATCH_BYTES, ctx) {
            self.connection.outbox().signal().set();
        }
    }
}

/// Never called: the context insists on reading a stream of its own, which is empty.
impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for ConnectionActor {
    fn handle(&mut self, _: Result<ws::Message, ws::ProtocolError>, _: &mut Self::Context) {}
}
