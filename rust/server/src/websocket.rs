//! The connection actor: a WebSocket on one side, a `runtime::Connection` on the other.
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

use crate::ws_decoder::{Incoming, Messages};

/// Hands what comes in to the connection. Started by the handshake; ends with the socket, and ends
/// the connection's operations then. What goes out waits in the outbox.
pub(crate) struct ConnectionActor {
    connection: Rc<Connection>,
    /// Taken when the actor starts.
    messages: Option<Messages>,
}

impl ConnectionActor {
    /// Starts the actor. It runs while the future is polled, and ends when the client has closed or
    /// left, or when the future is dropped.
    pub(crate) fn start(
        connection: Rc<Connection>,
        messages: Messages,
    ) -> impl Future<Output = ()> {
        let actor = Self {
            connection,
            messages: Some(messages),
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
                // An answer that waits, such as the close after a violation, is the one.
                self.connection.outbox().close(Close::normal());
                ctx.stop();
            }
        }
    }
}
