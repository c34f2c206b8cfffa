//! One connection of any protocol: takes the input of the client, and returns actions.

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
    /// Creates the session of a WebSocket connection after its handshake.
    #[must_use]
    pub fn websocket(subprotocol: Subprotocol) -> Self {
        Self(Kind::WebSocket(WebSocket::new(subprotocol)))
    }

    /// Sets the interval at which the caller will ask for heartbeats; `None`: never.
    #[must_use]
    pub fn with_keepalive(mut self, interval: Option<Duration>) -> Self {
        if let Kind::WebSocket(session) = &mut self.0 {
            session.set_keepalive(interval);
        }
        self
    }

    /// Limits the operations of a client of the older subprotocol before it is accepted (bytes).
    #[must_use]
    pub fn with_early_bytes(mut self, limit: usize) -> Self {
        if let Kind::WebSocket(session) = &mut self.0 {
            session.set_early_bytes(limit);
        }
        self
    }

    /// Creates the session of an HTTP request with one operation.
    #[must_use]
    pub fn exchange(exchange: Exchange) -> Self {
        Self(Kind::Exchange(Box::new(exchange)))
    }

    /// Creates the session of a reserved event stream for several operations (GraphQL over SSE,
    /// single connection mode).
    #[must_use]
    pub fn event_stream() -> Self {
        Self(Kind::EventStream(EventStream::new()))
    }

    /// Returns the name of the protocol, for `ConnectionInfo`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match &self.0 {
            Kind::WebSocket(session) => session.subprotocol().name(),
            Kind::Exchange(_) => "http",
            Kind::EventStream(_) => "event-stream",
        }
    }

    /// Whether it is a WebSocket connection, on which the client may send at any time and be
    /// pinged.
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

    /// Handles that the transport is ready. HTTP has no `connection_init`, so its client is
    /// authenticated now.
    pub fn begin(&mut self) -> Option<Action> {
        (!self.is_websocket()).then_some(Action::Initialise { payload: None })
    }

    /// Receives one text message.
    pub fn receive_text(&mut self, text: &str) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.receive_text(text),
            Kind::Exchange(_) | Kind::EventStream(_) => Vec::new(),
        }
    }

    /// Receives one binary message, which these protocols do not have.
    pub fn receive_binary(&mut self) -> Option<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.receive_binary(),
            Kind::Exchange(_) | Kind::EventStream(_) => None,
        }
    }

    /// Handles that the application accepted the client. Returns no actions if the client is not
    /// waiting for it, or is gone.
    pub fn accept(&mut self, payload: Option<&JsonObject>) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.accept(payload),
            Kind::Exchange(session) => session.accept(),
            Kind::EventStream(session) => session.accept(),
        }
    }

    /// Handles that the application refused the client; `error` is the GraphQL error for the
    /// client.
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

    /// Handles that the client exceeded the rate of messages; after `wait` it may send again.
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

    /// Handles that the client exceeded the rate of operations, if the whole response is replaced;
    /// `None`: it is an error of the operation.
    pub fn too_many_operations(&mut self, message: &str, wait: Duration) -> Option<Vec<Action>> {
        match &mut self.0 {
            Kind::Exchange(session) => Some(session.rate_limited(message, wait)),
            Kind::WebSocket(_) | Kind::EventStream(_) => None,
        }
    }

    /// Stores the application's changes of the response head; used by HTTP only.
    pub fn amend(&mut self, amendment: Amendment) {
        if let Kind::Exchange(session) = &mut self.0 {
            session.amend(amendment);
        }
    }

    /// Handles the start of an operation of this kind; `None`: its document is refused, which
    /// [`Self::error`] reports. Returns the actions before the start.
    ///
    /// # Errors
    ///
    /// The actions instead of starting it.
    pub fn starting(&mut self, kind: Option<OperationKind>) -> Result<Vec<Action>, Vec<Action>> {
        match &mut self.0 {
            Kind::Exchange(session) => session.starting(kind),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the framing of an operation's results.
    #[must_use]
    pub fn framing(&self, id: &OperationId) -> Framing {
        match &self.0 {
            Kind::WebSocket(session) => session.framing(id),
            Kind::Exchange(session) => session.framing(),
            Kind::EventStream(_) => EventStream::framing(id),
        }
    }

    /// Returns the head that has to be sent before the first result, once.
    pub fn first_result(&mut self) -> Option<Head> {
        match &mut self.0 {
            Kind::Exchange(session) => session.first_result(),
            _ => None,
        }
    }

    /// Handles that an operation failed with a JSON array of errors; its id may be used again.
    /// Returns no actions if the client has already ended it.
    pub fn error(&mut self, id: &OperationId, errors: &[u8]) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => sent(session.error(id, errors)),
            Kind::Exchange(session) => session.error(errors),
            Kind::EventStream(session) => session.error(id, errors),
        }
    }

    /// Handles that an operation has ended; its id may be used again. Returns no actions if the
    /// client has already ended it.
    pub fn complete(&mut self, id: &OperationId) -> Vec<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => sent(session.complete(id)),
            Kind::Exchange(session) => session.complete(),
            Kind::EventStream(session) => sent(session.complete(id)),
        }
    }

    /// Handles that the time until the client is accepted, or opens its stream, is over.
    pub fn initialisation_timed_out(&mut self) -> Option<Action> {
        match &mut self.0 {
            Kind::WebSocket(session) => session.initialisation_timed_out(),
            Kind::Exchange(session) => session.initialisation_timed_out(),
            Kind::EventStream(session) => session.initialisation_timed_out(),
        }
    }

    /// Records that the client has opened its reserved stream.
    pub fn open(&mut self) {
        if let Kind::EventStream(session) = &mut self.0 {
            session.open();
        }
    }

    /// Whether the client has not opened its stream yet, so that a close cannot be sent.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(&self.0, Kind::EventStream(session) if session.is_unread())
    }

    /// Adds an operation to the client's stream. Returns whether its id was free; it is then in
    /// use.
    pub fn start(&mut self, id: &OperationId) -> bool {
        match &mut self.0 {
            Kind::EventStream(session) => session.start(id),
            _ => false,
        }
    }

    /// Ends an operation of the client's stream.
    pub fn stop(&mut self, id: OperationId) -> Option<Action> {
        match &mut self.0 {
            Kind::EventStream(session) => session.stop(id),
            _ => None,
        }
    }

    /// Returns the heartbeat of the protocol, if it has one.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::WebSocket(session) => session.heartbeat(),
            Kind::Exchange(session) => session.heartbeat(),
            Kind::EventStream(session) => session.heartbeat(),
        }
    }

    /// Returns a message that the client has to answer, for transports without their own pings.
    #[must_use]
    pub fn ping(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::WebSocket(session) => session.ping(),
            Kind::Exchange(_) | Kind::EventStream(_) => None,
        }
    }

    /// Returns the final actions of a body whose connection is closed.
    pub fn closing_actions(&mut self, close: &Close) -> Vec<Action> {
        match &mut self.0 {
            Kind::Exchange(session) => session.closing_actions(close),
            Kind::EventStream(session) => session.closing_actions(close),
            Kind::WebSocket(_) => Vec::new(),
        }
    }

    /// Ends the session: later messages are ignored, no id is in use.
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
