//! One WebSocket connection: the allowed order of messages, and the ids in use.
//!
//! The two subprotocols have the same states. They differ in their reaction to an invalid message
//! and to an early or repeated id, and in their keepalive.
//! Source: GraphQL over WebSocket, PROTOCOL.md of graphql-ws; PROTOCOL.md of
//! subscriptions-transport-ws.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::action::Action;
use crate::close::Close;
use crate::framing::Framing;
use crate::json::JsonObject;
use crate::legacy_message::Misunderstood;
use crate::members::Fault;
use crate::message::{ClientMessage, decode};
use crate::operation::{OperationId, Request};
use crate::operation_map::OperationMap;
use crate::subprotocol::Subprotocol;
use crate::{frame, legacy_message};

/// Operations and answers that wait for the acknowledgement (count). Past it the connection is
/// closed.
const MAX_EARLY: usize = 100;

/// Default size limit of these operations and answers (bytes).
const EARLY_BYTES: usize = 1024 * 1024;

/// Memory that the payload of `connection_init` may use as objects of the host: this factor times
/// its text, plus `INIT_BYTES`.
const INIT_FACTOR: usize = 4;
const INIT_BYTES: usize = 128 * 1024;

/// Clients of the older subprotocol disconnect if the next `ka` does not arrive in this time;
/// clients that received none never do.
const KEEP_ALIVE_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WebSocketPhase {
    /// Waits for `connection_init`.
    Connected,
    /// Waits for the application to accept or refuse the client.
    Initialising,
    Acknowledged,
    Closed,
}

/// The server side of one connection.
#[derive(Debug)]
pub(crate) struct WebSocket {
    subprotocol: Subprotocol,
    phase: WebSocketPhase,
    in_use: OperationMap<()>,
    /// Clients of the older subprotocol start operations without waiting for the acknowledgement.
    early: VecDeque<Early>,
    /// Size limit of `early` (bytes).
    max_early_bytes: usize,
    /// Whether to send `ka` to clients of the older subprotocol.
    keeps_alive: bool,
}

/// An item that waits for the acknowledgement, which is the first message of the server.
#[derive(Debug)]
enum Early {
    Subscribe {
        id: OperationId,
        request: Box<Request>,
    },
    Answer(Bytes),
}

impl Early {
    fn kept_bytes(&self) -> usize {
        match self {
            Self::Subscribe { id, request } => id.as_str().len() + request.kept_bytes(),
            Self::Answer(answer) => answer.len(),
        }
    }

    fn starts(&self, started: &OperationId) -> bool {
        matches!(self, Self::Subscribe { id, .. } if id == started)
    }
}

impl WebSocket {
    /// Creates the state of a connection after its handshake.
    pub(crate) fn new(subprotocol: Subprotocol) -> Self {
        Self {
            subprotocol,
            phase: WebSocketPhase::Connected,
            in_use: OperationMap::default(),
            early: VecDeque::new(),
            max_early_bytes: EARLY_BYTES,
            keeps_alive: true,
        }
    }

    /// Sets the interval at which the caller will ask for heartbeats.
    pub(crate) fn set_keepalive(&mut self, interval: Option<Duration>) {
        self.keeps_alive = interval.is_some_and(|interval| interval < KEEP_ALIVE_PATIENCE);
    }

    /// Sets the size limit of early operations (bytes).
    pub(crate) fn set_early_bytes(&mut self, limit: usize) {
        self.max_early_bytes = limit;
    }

    pub(crate) fn subprotocol(&self) -> Subprotocol {
        self.subprotocol
    }

    fn is_legacy(&self) -> bool {
        self.subprotocol == Subprotocol::LegacyWs
    }

    /// Receives one text message.
    pub(crate) fn receive_text(&mut self, text: &str) -> Vec<Action> {
        if self.phase == WebSocketPhase::Closed {
            return Vec::new();
        }
        let decoded = match self.subprotocol {
            Subprotocol::TransportWs => {
                decode(text).map_err(|fault| Some(self.end(Close::bad_request(fault.to_string()))))
            }
            Subprotocol::LegacyWs => {
                legacy_message::decode(text).map_err(|fault| self.misunderstood(&fault))
            }
        };
        match decoded {
            Ok(message) => self.receive(message),
            Err(action) => action.into_iter().collect(),
        }
    }

    fn misunderstood(&mut self, message: &Misunderstood) -> Option<Action> {
        match self.phase {
            WebSocketPhase::Connected => Some(Action::Send(message.connection_error())),
            WebSocketPhase::Initialising => self.wait(Early::Answer(message.answer())),
            WebSocketPhase::Acknowledged | WebSocketPhase::Closed => {
                Some(Action::Send(message.answer()))
            }
        }
    }

    fn receive(&mut self, message: ClientMessage) -> Vec<Action> {
        match message {
            ClientMessage::ConnectionInit { payload } => vec![self.initialise(payload)],
            ClientMessage::Ping { payload } => {
                let payload = payload.as_ref().map(JsonObject::text);
                vec![Action::Send(frame::connection("pong", payload))]
            }
            // A pong needs no answer, also without a ping.
            ClientMessage::Pong => vec![Action::Answered],
            ClientMessage::Subscribe { id, request } => {
                self.subscribe(id, request).into_iter().collect()
            }
            ClientMessage::Unreadable { id, fault } => vec![self.unreadable(&id, &fault)],
            ClientMessage::Complete { id } => self.client_completed(id),
            ClientMessage::Terminate => vec![self.end(Close::normal())],
        }
    }

    fn initialise(&mut self, payload: Option<JsonObject>) -> Action {
        if self.phase != WebSocketPhase::Connected {
            return self.end(Close::too_many_initialisation_requests());
        }
        if payload.as_ref().is_some_and(has_too_many_values) {
            let fault = "the payload of connection_init has too many small values";
            return self.end(Close::bad_request(fault));
        }
        self.phase = WebSocketPhase::Initialising;
        Action::Initialise { payload }
    }

    fn subscribe(&mut self, id: OperationId, request: Request) -> Option<Action> {
        match self.phase {
            WebSocketPhase::Acknowledged => {
                let is_new = self.in_use.insert(id.clone(), ()).is_none();
                // In the older subprotocol the running operation with this id ends.
                if !is_new && !self.is_legacy() {
                    return Some(self.end(Close::subscriber_exists(id.as_str())));
                }
                Some(Action::Subscribe { id, request })
            }
            WebSocketPhase::Initialising if self.is_legacy() => {
                self.early.retain(|early| !early.starts(&id));
                let request = Box::new(request);
                self.wait(Early::Subscribe { id, request })
            }
            _ => Some(self.end(Close::unauthorized())),
        }
    }

    /// Queues an item until the client is accepted.
    fn wait(&mut self, early: Early) -> Option<Action> {
        let kept = self.early.iter().chain([&early]).map(Early::kept_bytes);
        if kept.sum::<usize>() > self.max_early_bytes {
            let fault = format!(
                "more than {} bytes of operations before the acknowledgement",
                self.max_early_bytes
            );
            return Some(self.end(Close::bad_request(fault)));
        }
        if self.early.len() == MAX_EARLY {
            let fault = "too many operations before the acknowledgement";
            return Some(self.end(Close::bad_request(fault)));
        }
        self.early.push_back(early);
        None
    }

    /// Returns the error of an operation with an undecodable part; the connection stays open.
    fn unreadable(&mut self, id: &OperationId, fault: &Fault) -> Action {
        if self.phase != WebSocketPhase::Acknowledged {
            return self.end(Close::unauthorized());
        }
        if self.in_use.contains(id) {
            return self.end(Close::subscriber_exists(id.as_str()));
        }
        let message = format!("Invalid message: {fault}");
        let errors = json!([{"message": message, "extensions": {"code": "BAD_USER_INPUT"}}]);
        Action::Send(frame::operation(id, "error", errors.to_string().as_bytes()))
    }

    fn client_completed(&mut self, id: OperationId) -> Vec<Action> {
        let waited = self.early.len();
        self.early.retain(|early| !early.starts(&id));
        if self.early.len() < waited {
            let answer = Early::Answer(frame::complete(&id));
            return self.wait(answer).into_iter().collect();
        }
        // The id may be unknown because the server's `complete` was sent at the same time.
        if self.in_use.remove(&id).is_none() {
            return Vec::new();
        }
        // Clients of the older subprotocol wait for this answer.
        let answer = self.is_legacy().then(|| frame::complete(&id));
        let answer = answer.map(Action::Send);
        std::iter::once(Action::Complete { id })
            .chain(answer)
            .collect()
    }

    /// Receives one binary message, which these protocols do not have.
    pub(crate) fn receive_binary(&mut self) -> Option<Action> {
        if self.phase == WebSocketPhase::Closed {
            return None;
        }
        Some(self.end(Close::bad_request("it is binary: send text")))
    }

    /// Handles that the application accepted the client: returns the acknowledgement and the early
    /// operations. Returns no actions if the client is not waiting for it, or is gone.
    pub(crate) fn accept(&mut self, payload: Option<&JsonObject>) -> Vec<Action> {
        if self.phase != WebSocketPhase::Initialising {
            return Vec::new();
        }
        self.phase = WebSocketPhase::Acknowledged;
        let ack = frame::connection("connection_ack", payload.map(JsonObject::text));
        let mut actions = vec![Action::Send(ack)];
        actions.extend(self.heartbeat().map(Action::Send));
        for early in std::mem::take(&mut self.early) {
            actions.push(match early {
                Early::Subscribe { id, request } => {
                    self.in_use.insert(id.clone(), ());
                    Action::Subscribe {
                        id,
                        request: *request,
                    }
                }
                Early::Answer(answer) => Action::Send(answer),
            });
        }
        actions
    }

    /// Returns the message for a refused client before the close, if the subprotocol has one.
    pub(crate) fn refusal(&self, error: Option<&Map<String, Value>>) -> Option<Bytes> {
        self.is_legacy().then(|| match error {
            Some(error) => {
                let error = JsonObject::from(error);
                frame::connection("connection_error", Some(error.text()))
            }
            None => legacy_message::connection_error(&Close::forbidden().reason),
        })
    }

    /// Returns the framing of an operation's results.
    pub(crate) fn framing(&self, id: &OperationId) -> Framing {
        match self.subprotocol {
            Subprotocol::TransportWs => Framing::transport_ws(id),
            Subprotocol::LegacyWs => Framing::legacy_ws(id),
        }
    }

    /// Handles that an operation failed: frees the id and returns the `error` to send, in the form
    /// of the subprotocol. `None` if the client has already ended it.
    pub(crate) fn error(&mut self, id: &OperationId, errors: &[u8]) -> Option<Bytes> {
        self.in_use.remove(id).map(|()| match self.subprotocol {
            Subprotocol::TransportWs => frame::operation(id, "error", errors),
            Subprotocol::LegacyWs => legacy_message::error(id, errors),
        })
    }

    /// Handles that an operation has ended: frees the id and returns the `complete` to send. `None`
    /// if the client has already ended it.
    pub(crate) fn complete(&mut self, id: &OperationId) -> Option<Bytes> {
        self.in_use.remove(id).map(|()| frame::complete(id))
    }

    /// Handles that the time until the acknowledgement is over; `None` if it was sent in time.
    pub(crate) fn initialisation_timed_out(&mut self) -> Option<Action> {
        let is_late = matches!(
            self.phase,
            WebSocketPhase::Connected | WebSocketPhase::Initialising
        );
        is_late.then(|| self.end(Close::initialisation_timeout()))
    }

    /// Returns the heartbeat, which needs no answer, once the client is accepted.
    pub(crate) fn heartbeat(&self) -> Option<Bytes> {
        let is_sent =
            self.is_legacy() && self.keeps_alive && self.phase == WebSocketPhase::Acknowledged;
        is_sent.then(legacy_message::keep_alive)
    }

    /// Returns a message that the client has to answer, if the subprotocol has one. Strict clients
    /// accept no message before the acknowledgement.
    pub(crate) fn ping(&self) -> Option<Bytes> {
        let is_sent = !self.is_legacy() && self.phase == WebSocketPhase::Acknowledged;
        is_sent.then(|| frame::connection("ping", None))
    }

    /// Ends the connection: later messages are ignored, no id is in use.
    pub(crate) fn close(&mut self) {
        self.phase = WebSocketPhase::Closed;
        self.in_use = OperationMap::default();
        self.early.clear();
    }

    fn end(&mut self, close: Close) -> Action {
        self.close();
        Action::Close(close)
    }
}

/// Whether the decoded payload would use more memory than the limit for its text.
fn has_too_many_values(payload: &JsonObject) -> bool {
    let room = INIT_FACTOR * payload.kept_bytes() + INIT_BYTES;
    payload.footprint().objects > room
}

#[cfg(test)]
mod tests;
