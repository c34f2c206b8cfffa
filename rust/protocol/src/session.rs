//! One connection, whichever protocol it speaks: what came in, what has to be done about it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::action::Action;
use crate::close::Close;
use crate::event_stream::EventStream;
use crate::exchange::Exchange;
use crate::framing::Framing;
use crate::head::{Amendment, Head};
use crate::json::JsonObject;
use crate::operation::{OperationId, OperationKind};
use crate::subprotocol::Subprotocol;
use crate::websocket::WebSocket;

/// The server side of one connection.
#[derive(Debug)]
pub struct Session(Kind);

#[derive(Debug)]
enum Kind {
    WebSocket(WebSocket),
    Exchange(Box<Exchange>),
    EventStream(EventStream),
}

impl Session {
    /// A WebSocket connection whose handshake is done.
    #[must_use]
    pub fn websocket(subprotocol: Subprotocol) -> Self {
        Self(Kind::WebSocket(WebSocket::new(subprotocol)))
    }

    /// Signs of life will be asked for at this interval; `None`: never.
    #[must_use]
    pub fn with_keepalive(mut self, interval: Option<Duration>) -> Self {
        if let Kind::WebSocket(session) = &mut self.0 {
            session.set_keepalive(interval);
        }
        self
    }

    /// What a client of the older subprotocol may ask for before it is accepted (bytes).
    #[must_use]
    pub fn with_early_bytes(mut self, limit: usize) -> Self {
        if let Kind::WebSocket(session) = &mut self.0 {
            session.set_early_bytes(limit);
        }
        self
    }

    /// An HTTP request with one operation.
    #[must_use]
    pub fn exchange(exchange: Exchange) -> Self {
        Self(Kind::Exchange(Box::new(exchange)))
    }

    /// A reserved event stream for many operations (GraphQL over SSE, single connection mode).
    #[must_use]
    pub fn event_stream() -> Self {
        Self(Kind::EventStream(EventStream::new()))
    }

    /// What is spoken, for those who ask.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match &self.0 {
            Kind::WebSocket(session) => session.subprotocol().name(),
            Kind::Exchange(_) => "http",
            Kind::EventStream(_) => "event-stream",
        }
    }

    /// Whether it is a WebSocket connection, which has two sides and pings.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        matches!(self.0, Kind::WebSocket(_))
    }

    /// Whether it is an HTTP request with one operation.
    #[must_use]
    pub fn is_exchange(&self) -> bool {
        matches!(self.0, Kind::Exchange(_))
    }

    /// Whether it is a reserved event stream.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        matches!(self.0, Kind::EventStream(_))
    }

    /// The transport is ready. HTTP has no `connection_init`: its client is decided about now.
    pub fn begin(&mut self) -> Option<Action> {
        (!self.is_websocket()).then_some(Action::Initialise { payload: None })
    }

    /// Takes one text message.
    pub fn receive_text(&mut self, text: &str) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.receive_text(text),
            Kind::Exchange(_) | Kind::EventStream(_) => Vec::new(),
        }
    }

    /// Takes one binary message; there are none in these protocols.
    pub fn receive_binary(&mut self) -> Option<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.receive_binary(),
            Kind::Exchange(_) | Kind::EventStream(_) => None,
        }
    }

    /// The application accepted the client. Empty when the client has not asked or is gone.
    pub fn accept(&mut self, payload: Option<&JsonObject>) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.accept(payload),
            Kind::Exchange(session) => session.accept(),
            Kind::EventStream(session) => session.accept(),
        }
    }

    /// The application refused the client; `error` is what it wants it to read, an object of
    /// GraphQL's form.
    pub fn refuse(&mut self, error: Option<&Map<String, Value>>) -> Vec<Action> {
        let told = match &mut self.0 {
            Kind::WebSocket(session) => session.refusal(error).map(Action::Send),
            Kind::Exchange(_) | Kind::EventStream(_) if error.is_none() => None,
            Kind::Exchange(session) => {
                session.refuse(json!([error]).to_string().into());
                None
            }
            Kind::EventStream(session) => {
                session.refuse(json!([error]).to_string().into());
                None
            }
        };
        let reason = error.and_then(|error| error.get("message")?.as_str());
        let close = reason.map_or_else(Close::forbidden, |reason| Close::new(4403, reason));
        told.into_iter().chain([Action::Close(close)]).collect()
    }

    /// The client has sent messages too often; `wait`: until it may again.
    pub fn too_many_messages(&mut self, wait: Duration) -> Vec<Action> {
        const TEXT: &str = "too many messages: try again later";
        match &mut self.0 {
            Kind::WebSocket(session) => {
                session.close();
                vec![Action::Close(Close::too_many_messages())]
            }
            Kind::Exchange(session) => session.rate_limited(TEXT, wait),
            Kind::EventStream(_) => EventStream::rate_limited(TEXT, wait),
        }
    }

    /// The client starts operations too often, where that is told in place of the response;
    /// `None`: it is an error of the operation.
    pub fn too_many_operations(&mut self, message: &str, wait: Duration) -> Option<Vec<Action>> {
        match &mut self.0 {
            Kind::Exchange(session) => Some(session.rate_limited(message, wait)),
            Kind::WebSocket(_) | Kind::EventStream(_) => None,
        }
    }

    /// What the application wants of the head of its answer; it is HTTP's alone.
    pub fn amend(&mut self, amendment: Amendment) {
        if let Kind::Exchange(session) = &mut self.0 {
            session.amend(amendment);
        }
    }

    /// An operation of this kind is about to start; `None`: its document is refused, which
    /// [`Self::error`] tells. Returns what has to be done before.
    ///
    /// # Errors
    ///
    /// What has to be done in place of starting it.
    pub fn starting(&mut self, kind: Option<OperationKind>) -> Result<Vec<Action>, Vec<Action>> {
        match &mut self.0 {
            Kind::Exchange(session) => session.starting(kind),
            _ => Ok(Vec::new()),
        }
    }

    /// What surrounds the results of an operation.
    #[must_use]
    pub fn framing(&self, id: &OperationId) -> Framing {
        match &self.0 {
            Kind::WebSocket(session) => session.framing(id),
            Kind::Exchange(session) => session.framing(),
            Kind::EventStream(_) => EventStream::framing(id),
        }
    }

    /// The head that has to precede the first result, once.
    pub fn first_result(&mut self) -> Option<Head> {
        match &mut self.0 {
            Kind::Exchange(session) => session.first_result(),
            _ => None,
        }
    }

    /// An operation failed with a JSON array of errors; its id is free. Empty when the client
    /// has ended it before.
    pub fn error(&mut self, id: &OperationId, errors: &[u8]) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => sent(session.error(id, errors)),
            Kind::Exchange(session) => session.error(errors),
            Kind::EventStream(session) => session.error(id, errors),
        }
    }

    /// An operation has ended; its id is free. Empty when the client has ended it before.
    pub fn complete(&mut self, id: &OperationId) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => sent(session.complete(id)),
            Kind::Exchange(session) => session.complete(),
            Kind::EventStream(session) => sent(session.complete(id)),
        }
    }

    /// The time in which the client should have been accepted, or have opened its stream, is over.
    pub fn initialisation_timed_out(&mut self) -> Option<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.initialisation_timed_out(),
            Kind::Exchange(session) => session.initialisation_timed_out(),
            Kind::EventStream(session) => session.initialisation_timed_out(),
        }
    }

    /// The client reads its reserved stream from now on.
    pub fn open(&mut self) {
        if let Kind::EventStream(session) = &mut self.0 {
            session.open();
        }
    }

    /// Whether there is no reader to send a close to.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(&self.0, Kind::EventStream(session) if session.is_unread())
    }

    /// A client's request to run one more operation on its stream.
    /// Returns whether its id is free; it is in use from now on.
    pub fn start(&mut self, id: &OperationId) -> bool {
        match &mut self.0 {
            Kind::EventStream(session) => session.start(id),
            _ => false,
        }
    }

    /// A client's request to end an operation of its stream.
    pub fn stop(&mut self, id: OperationId) -> Option<Action> {
        match &mut self.0 {
            Kind::EventStream(session) => session.stop(id),
            _ => None,
        }
    }

    /// What shows a client that nothing but time has passed, where the protocol has something
    /// for it.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::WebSocket(session) => session.heartbeat(),
            Kind::Exchange(session) => session.heartbeat(),
            Kind::EventStream(session) => session.heartbeat(),
        }
    }

    /// A message that the client has to answer, for transports without pings of their own.
    #[must_use]
    pub fn ping(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::WebSocket(session) => session.ping(),
            Kind::Exchange(_) | Kind::EventStream(_) => None,
        }
    }

    /// What a body still has to say when its connection is closed.
    pub fn closing_actions(&mut self, close: &Close) -> Vec<Action> {
        match &mut self.0 {
            Kind::Exchange(session) => session.closing_actions(close),
            Kind::EventStream(session) => session.closing_actions(close),
            Kind::WebSocket(_) => Vec::new(),
        }
    }

    /// The connection is over: every later message is ignored, every id is free.
    pub fn close(&mut self) {
        match &mut self.0 {
            Kind::WebSocket(session) => session.close(),
            Kind::Exchange(_) => {}
            Kind::EventStream(session) => session.close(),
        }
    }
}

fn sent(message: Option<Bytes>) -> Vec<Action> {
    message.map(Action::Send).into_iter().collect()
}
