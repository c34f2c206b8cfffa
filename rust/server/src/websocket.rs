//! The connection actor: passes messages of a WebSocket to a `runtime::Connection`.
//!
//! Its context runs the actor inside the task that drives the socket (`socket_task`): while the
//! socket cannot be written the actor is not polled, so what bounds memory is the outbox, and what
//! ends a client that never reads is the transport.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use futures_util::Stream;
use protocol::Close;
use runtime::Connection;

use crate::ws_decoder::Incoming;
use crate::ws_messages::Messages;

/// Passes input to the connection. The handshake starts it; it ends with the socket, and then ends
/// the connection's operations. Output waits in the outbox.
pub(crate) struct ConnectionActor {
    connection: Rc<Connection>,
    /// Taken when the actor starts.
    messages: Option<Box<Messages>>,
}

impl ConnectionActor {
    /// Starts the actor. It runs while the future is polled, and ends when the client has closed or
    /// disconnected, or when the future is dropped.
    pub(crate) fn start(
        connection: Rc<Connection>,
        messages: Messages,
    ) -> impl Future<Output = ()> {
        let actor = Self {
            connection,
            messages: Some(Box::new(messages)),
        };
        actix::Context::new().into_future(actor)
    }
}

impl Drop for ConnectionActor {
    fn drop(&mut self) {
        self.connection.closed();
    }
}

impl Actor for ConnectionActor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(messages) = self.messages.take() {
            ctx.add_stream(OrderedMessages {
                messages,
                connection: self.connection.clone(),
            });
        }
    }
}

/// A stream of messages that waits until the connection has handled the previous message.
struct OrderedMessages {
    messages: Box<Messages>,
    connection: Rc<Connection>,
}

impl Stream for OrderedMessages {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        ready!(self.connection.poll_ready(cx));
        Pin::new(&mut *self.messages).poll_next(cx)
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
                // A close that is already queued, such as after a violation, takes precedence.
                self.connection.outbox().close(Close::normal());
                ctx.stop();
            }
        }
    }
}
