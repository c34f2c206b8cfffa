//! graphql-transport-ws: what may come when, and which ids are in use.
//!
//! Source: GraphQL over WebSocket, PROTOCOL.md of graphql-ws.

use bytes::Bytes;
use hashbrown::HashSet;
use serde_json::{Map, Value};

use crate::close::Close;
use crate::frame;
use crate::framing::Framing;
use crate::message::{ClientMessage, decode};
use crate::operation::{OperationId, Request};
use crate::session::Action;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for `connection_init`.
    Connected,
    /// The application decides.
    Initialising,
    Acknowledged,
    Closed,
}

/// The server side of one connection.
#[derive(Debug)]
pub(crate) struct TransportWs {
    phase: Phase,
    in_use: HashSet<OperationId>,
}

impl TransportWs {
    /// A connection whose handshake is done.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Connected,
            in_use: HashSet::new(),
        }
    }

    /// Takes one text message.
    pub(crate) fn receive_text(&mut self, text: &str) -> Option<Action> {
        if self.phase == Phase::Closed {
            return None;
        }
        let message = match decode(text) {
            Ok(message) => message,
            Err(fault) => return self.end(Close::bad_request(fault.to_string())),
        };
        match message {
            ClientMessage::ConnectionInit { payload } => {
                if self.phase != Phase::Connected {
                    return self.end(Close::too_many_initialisation_requests());
                }
                self.phase = Phase::Initialising;
                Some(Action::Initialise { payload })
            }
            ClientMessage::Ping { payload } => {
                Some(Action::Send(frame::connection("pong", payload.as_ref())))
            }
            // Asked for or not, a pong needs no answer.
            ClientMessage::Pong => None,
            ClientMessage::Subscribe { id, request } => self.subscribe(id, request),
            ClientMessage::Complete { id } => {
                // An unknown id may have crossed our own `complete` on the way.
                self.in_use.remove(&id).then_some(Action::Complete { id })
            }
        }
    }

    fn subscribe(&mut self, id: OperationId, request: Request) -> Option<Action> {
        if self.phase != Phase::Acknowledged {
            return self.end(Close::unauthorized());
        }
        if !self.in_use.insert(id.clone()) {
            return self.end(Close::subscriber_exists(id.as_str()));
        }
        Some(Action::Subscribe { id, request })
    }

    /// Takes one binary message; there are none in this protocol.
    pub(crate) fn receive_binary(&mut self) -> Option<Action> {
        if self.phase == Phase::Closed {
            return None;
        }
        self.end(Close::bad_request("it is binary: send text"))
    }

    /// What surrounds the results of an operation.
    pub(crate) fn framing(id: &OperationId) -> Framing {
        Framing::transport_ws(id)
    }

    /// A ping for transports that have none of their own.
    pub(crate) fn ping() -> Bytes {
        frame::connection("ping", None)
    }

    /// The application accepted the client: gives the `connection_ack` to send. `None` when the
    /// client has not asked or is gone.
    pub(crate) fn accept(&mut self, payload: Option<&Map<String, Value>>) -> Option<Bytes> {
        if self.phase != Phase::Initialising {
            return None;
        }
        self.phase = Phase::Acknowledged;
        Some(frame::connection("connection_ack", payload))
    }

    /// An operation failed: gives the `error` to send, with a JSON array of errors, and frees the
    /// id. `None` when the client has ended it before.
    pub(crate) fn error(&mut self, id: &OperationId, errors: &[u8]) -> Option<Bytes> {
        self.in_use
            .remove(id)
            .then(|| frame::operation(id, "error", errors))
    }

    /// An operation has ended: gives the `complete` to send and frees the id. `None` when the
    /// client has ended it before.
    pub(crate) fn complete(&mut self, id: &OperationId) -> Option<Bytes> {
        self.in_use.remove(id).then(|| frame::complete(id))
    }

    /// The time for `connection_init` is over; nothing happens when it came in time.
    pub(crate) fn initialisation_timed_out(&mut self) -> Option<Action> {
        if self.phase != Phase::Connected {
            return None;
        }
        self.end(Close::initialisation_timeout())
    }

    /// The connection is over: every later message is ignored, every id is free.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.in_use.clear();
    }

    fn end(&mut self, close: Close) -> Option<Action> {
        self.close();
        Some(Action::Close(close))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn acknowledged() -> TransportWs {
        let mut session = TransportWs::new();
        session.receive_text(r#"{"type":"connection_init"}"#);
        session.accept(None);
        session
    }

    fn subscribe(session: &mut TransportWs, id: &str) -> Option<Action> {
        let message = json!({"type": "subscribe", "id": id, "payload": {"query": "q"}});
        session.receive_text(&message.to_string())
    }

    fn closes_with(action: Option<Action>, code: u16, reason: &str) {
        assert_eq!(action, Some(Action::Close(Close::new(code, reason))));
    }

    #[test]
    fn connection_init_asks_the_application_and_the_ack_may_carry_a_payload() {
        let mut session = TransportWs::new();
        let action = session.receive_text(r#"{"type":"connection_init","payload":{"token":"t"}}"#);
        let payload = json!({"token": "t"}).as_object().cloned();
        assert_eq!(
            action,
            Some(Action::Initialise {
                payload: payload.clone()
            })
        );
        let ack = session.accept(payload.as_ref()).unwrap();
        assert_eq!(ack, r#"{"type":"connection_ack","payload":{"token":"t"}}"#);
    }

    #[test]
    fn subscribe_before_connection_init_closes_with_4401() {
        closes_with(
            subscribe(&mut TransportWs::new(), "1"),
            4401,
            "Unauthorized",
        );
    }

    #[test]
    fn subscribe_while_the_application_decides_closes_with_4401() {
        let mut session = TransportWs::new();
        session.receive_text(r#"{"type":"connection_init"}"#);
        closes_with(subscribe(&mut session, "1"), 4401, "Unauthorized");
        assert_eq!(session.accept(None), None);
    }

    #[test]
    fn a_second_connection_init_closes_with_4429_acknowledged_or_not() {
        let mut initialising = TransportWs::new();
        initialising.receive_text(r#"{"type":"connection_init"}"#);
        for mut session in [initialising, acknowledged()] {
            let action = session.receive_text(r#"{"type":"connection_init"}"#);
            closes_with(action, 4429, "Too many initialisation requests");
        }
    }

    #[test]
    fn no_connection_init_in_time_closes_with_4408() {
        let action = TransportWs::new().initialisation_timed_out();
        closes_with(action, 4408, "Connection initialisation timeout");
    }

    #[test]
    fn the_timeout_stops_with_connection_init() {
        let mut session = TransportWs::new();
        session.receive_text(r#"{"type":"connection_init"}"#);
        assert_eq!(session.initialisation_timed_out(), None);
    }

    #[test]
    fn an_id_in_use_closes_with_4409() {
        let mut session = acknowledged();
        subscribe(&mut session, "1");
        closes_with(
            subscribe(&mut session, "1"),
            4409,
            "Subscriber for 1 already exists",
        );
    }

    #[test]
    fn an_id_may_be_used_again_after_its_end_from_either_side() {
        let mut session = acknowledged();
        let id = OperationId::from("1");
        subscribe(&mut session, "1");
        assert!(session.complete(&id).is_some());
        assert!(matches!(
            subscribe(&mut session, "1"),
            Some(Action::Subscribe { .. })
        ));
        assert!(session.error(&id, b"[]").is_some());
        assert!(matches!(
            subscribe(&mut session, "1"),
            Some(Action::Subscribe { .. })
        ));
        let complete = session.receive_text(r#"{"type":"complete","id":"1"}"#);
        assert_eq!(complete, Some(Action::Complete { id }));
        assert!(matches!(
            subscribe(&mut session, "1"),
            Some(Action::Subscribe { .. })
        ));
    }

    #[test]
    fn complete_for_an_unknown_id_is_ignored() {
        let action = acknowledged().receive_text(r#"{"type":"complete","id":"7"}"#);
        assert_eq!(action, None);
    }

    #[test]
    fn an_operation_ends_once() {
        let mut session = acknowledged();
        let id = OperationId::from("1");
        subscribe(&mut session, "1");
        session.receive_text(r#"{"type":"complete","id":"1"}"#);
        assert_eq!(session.complete(&id), None);
        assert_eq!(session.error(&id, b"[]"), None);
    }

    #[test]
    fn ping_is_answered_before_connection_init_with_its_payload() {
        let mut session = TransportWs::new();
        let plain = session.receive_text(r#"{"type":"ping"}"#);
        assert_eq!(plain, Some(Action::Send(r#"{"type":"pong"}"#.into())));
        let loaded = session.receive_text(r#"{"type":"ping","payload":{"n":1}}"#);
        let pong = r#"{"type":"pong","payload":{"n":1}}"#;
        assert_eq!(loaded, Some(Action::Send(pong.into())));
    }

    #[test]
    fn an_unrequested_pong_is_ignored() {
        let mut session = TransportWs::new();
        assert_eq!(
            session.receive_text(r#"{"type":"pong","payload":{"n":1}}"#),
            None
        );
    }

    #[test]
    fn a_binary_message_closes_with_4400() {
        let action = acknowledged().receive_binary();
        closes_with(action, 4400, "Invalid message: it is binary: send text");
    }

    #[test]
    fn after_a_close_every_message_is_ignored() {
        let mut session = acknowledged();
        session.receive_text("nonsense");
        assert_eq!(session.receive_text("nonsense"), None);
        assert_eq!(session.receive_text(r#"{"type":"ping"}"#), None);
        assert_eq!(session.receive_binary(), None);
    }
}
