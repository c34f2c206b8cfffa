//! The older subprotocol `graphql-ws`: what may come when, and which ids are in use.
//!
//! Its clients send `start` without waiting for the acknowledgement, so operations that come
//! while the application decides are kept.
//! Source: PROTOCOL.md of subscriptions-transport-ws.

use std::collections::VecDeque;

use bytes::Bytes;
use hashbrown::HashSet;
use serde_json::{Map, Value, json};

use crate::close::Close;
use crate::frame;
use crate::framing::Framing;
use crate::members::{
    Fault, object, operation_id, optional_object, payload_request, required_string,
};
use crate::operation::{OperationId, Request};
use crate::session::Action;

/// Operations that wait for the acknowledgement (count). Past it the connection is closed.
const MAX_EARLY_OPERATIONS: usize = 100;

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
pub(crate) struct LegacyWs {
    phase: Phase,
    in_use: HashSet<OperationId>,
    early: VecDeque<(OperationId, Request)>,
}

impl LegacyWs {
    /// A connection whose handshake is done.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Connected,
            in_use: HashSet::new(),
            early: VecDeque::new(),
        }
    }

    /// Takes one text message.
    pub(crate) fn receive_text(&mut self, text: &str) -> Option<Action> {
        if self.phase == Phase::Closed {
            return None;
        }
        let mut message = match object(text.as_bytes()) {
            Ok(message) => message,
            Err(fault) => return Some(faulty(None, &fault)),
        };
        let id = message.get("id").cloned();
        match self.receive(&mut message) {
            Ok(action) => action,
            Err(fault) => Some(faulty(id, &fault)),
        }
    }

    fn receive(&mut self, message: &mut Map<String, Value>) -> Result<Option<Action>, Fault> {
        let kind = required_string(message, "type", "type")?;
        Ok(match kind.as_str() {
            "connection_init" => {
                let payload = optional_object(message, "payload", "payload")?;
                if self.phase != Phase::Connected {
                    return Ok(self.end(Close::too_many_initialisation_requests()));
                }
                self.phase = Phase::Initialising;
                Some(Action::Initialise { payload })
            }
            "start" => {
                let id = operation_id(message)?;
                self.start(id, payload_request(message)?)
            }
            "stop" => {
                let id = operation_id(message)?;
                self.early.retain(|(early, _)| *early != id);
                self.in_use.remove(&id).then_some(Action::Complete { id })
            }
            "connection_terminate" => self.end(Close::normal()),
            _ => return Err(Fault::UnknownType(kind)),
        })
    }

    fn start(&mut self, id: OperationId, request: Request) -> Option<Action> {
        match self.phase {
            Phase::Connected | Phase::Closed => self.end(Close::unauthorized()),
            Phase::Initialising if self.early.len() == MAX_EARLY_OPERATIONS => self.end(
                Close::bad_request("too many operations before the acknowledgement"),
            ),
            Phase::Initialising => {
                self.early.retain(|(early, _)| *early != id);
                self.early.push_back((id, request));
                None
            }
            Phase::Acknowledged => {
                // One that uses the id already ends.
                self.in_use.insert(id.clone());
                Some(Action::Subscribe { id, request })
            }
        }
    }

    /// Takes one binary message; there are none in this protocol.
    pub(crate) fn receive_binary(&mut self) -> Option<Action> {
        if self.phase == Phase::Closed {
            return None;
        }
        self.end(Close::bad_request("it is binary: send text"))
    }

    /// The application accepted the client: acknowledgement, first sign of life, and the
    /// operations that came early.
    pub(crate) fn accept(&mut self, payload: Option<&Map<String, Value>>) -> Vec<Action> {
        if self.phase != Phase::Initialising {
            return Vec::new();
        }
        self.phase = Phase::Acknowledged;
        let mut actions = vec![
            Action::Send(frame::connection("connection_ack", payload)),
            Action::Send(frame::connection("ka", None)),
        ];
        for (id, request) in std::mem::take(&mut self.early) {
            self.in_use.insert(id.clone());
            actions.push(Action::Subscribe { id, request });
        }
        actions
    }

    /// The application refused the client: what it is told before the close.
    pub(crate) fn refused(&mut self) -> Action {
        Action::Send(br#"{"type":"connection_error","payload":{"message":"Forbidden"}}"#[..].into())
    }

    /// What surrounds the results of an operation.
    pub(crate) fn framing(id: &OperationId) -> Framing {
        Framing::legacy_ws(id)
    }

    /// The sign of life of this protocol, once the client is accepted.
    pub(crate) fn keep_alive(&self) -> Option<Bytes> {
        (self.phase == Phase::Acknowledged).then(|| frame::connection("ka", None))
    }

    /// An operation failed: gives the `error` to send, with the first of the errors, and frees
    /// the id.
    pub(crate) fn error(&mut self, id: &OperationId, errors: &[u8]) -> Option<Bytes> {
        if !self.in_use.remove(id) {
            return None;
        }
        let errors: Vec<Value> = serde_json::from_slice(errors).unwrap_or_default();
        let first = errors.into_iter().next().unwrap_or(Value::Null);
        Some(frame::operation(id, "error", first.to_string().as_bytes()))
    }

    /// An operation has ended: gives the `complete` to send and frees the id.
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

    /// The connection is over.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.in_use.clear();
        self.early.clear();
    }

    fn end(&mut self, close: Close) -> Option<Action> {
        self.close();
        Some(Action::Close(close))
    }
}

/// What cannot be understood is answered, and the connection goes on.
fn faulty(id: Option<Value>, fault: &Fault) -> Action {
    let message = json!({
        "type": "error",
        "id": id.filter(Value::is_string),
        "payload": {"message": format!("Invalid message: {fault}")},
    });
    Action::Send(message.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(session: &mut LegacyWs, id: &str) -> Option<Action> {
        let message = json!({"type": "start", "id": id, "payload": {"query": "q"}});
        session.receive_text(&message.to_string())
    }

    fn acknowledged() -> LegacyWs {
        let mut session = LegacyWs::new();
        session.receive_text(r#"{"type":"connection_init"}"#);
        session.accept(None);
        session
    }

    #[test]
    fn the_acknowledgement_is_followed_by_a_sign_of_life_at_once() {
        let mut session = LegacyWs::new();
        session.receive_text(r#"{"type":"connection_init","payload":{}}"#);
        assert_eq!(session.keep_alive(), None);
        assert_eq!(
            session.accept(None),
            [
                Action::Send(r#"{"type":"connection_ack"}"#.into()),
                Action::Send(r#"{"type":"ka"}"#.into()),
            ]
        );
        assert_eq!(session.keep_alive(), Some(r#"{"type":"ka"}"#.into()));
    }

    #[test]
    fn operations_that_come_early_start_with_the_acknowledgement() {
        let mut session = LegacyWs::new();
        session.receive_text(r#"{"type":"connection_init"}"#);
        assert_eq!(start(&mut session, "1"), None);
        assert_eq!(start(&mut session, "2"), None);
        session.receive_text(r#"{"type":"stop","id":"1"}"#);
        let actions = session.accept(None);
        assert!(matches!(&actions[2..], [Action::Subscribe { id, .. }] if id.as_str() == "2"));
    }

    #[test]
    fn early_operations_are_bounded() {
        let mut session = LegacyWs::new();
        session.receive_text(r#"{"type":"connection_init"}"#);
        for n in 0..MAX_EARLY_OPERATIONS {
            assert_eq!(start(&mut session, &n.to_string()), None);
        }
        assert!(matches!(start(&mut session, "x"), Some(Action::Close(_))));
    }

    #[test]
    fn nothing_starts_without_connection_init() {
        let action = start(&mut LegacyWs::new(), "1");
        assert_eq!(action, Some(Action::Close(Close::unauthorized())));
    }

    #[test]
    fn a_used_id_starts_again() {
        let mut session = acknowledged();
        for _ in 0..2 {
            assert!(matches!(
                start(&mut session, "1"),
                Some(Action::Subscribe { .. })
            ));
        }
        assert!(session.complete(&OperationId::from("1")).is_some());
        assert_eq!(session.complete(&OperationId::from("1")), None);
    }

    #[test]
    fn an_error_has_one_object() {
        let mut session = acknowledged();
        start(&mut session, "1");
        let frame = session.error(
            &OperationId::from("1"),
            br#"[{"message":"a"},{"message":"b"}]"#,
        );
        let expected = r#"{"id":"1","type":"error","payload":{"message":"a"}}"#;
        assert_eq!(frame, Some(expected.into()));
    }

    #[test]
    fn what_cannot_be_understood_is_answered_and_the_connection_stays() {
        let mut session = acknowledged();
        for (text, id, message) in [
            ("[]", Value::Null, "it is no JSON object"),
            (
                r#"{"type":"subscribe","id":"1"}"#,
                "1".into(),
                "`type` \"subscribe\" is unknown",
            ),
            (
                r#"{"type":"start","id":"1"}"#,
                "1".into(),
                "`payload` is missing",
            ),
        ] {
            let Some(Action::Send(frame)) = session.receive_text(text) else {
                panic!("{text} is not answered");
            };
            let frame: Value = serde_json::from_slice(&frame).unwrap();
            assert_eq!(frame["type"], "error");
            assert_eq!(frame["id"], id);
            assert_eq!(
                frame["payload"]["message"],
                format!("Invalid message: {message}")
            );
        }
        assert!(matches!(
            start(&mut session, "1"),
            Some(Action::Subscribe { .. })
        ));
    }

    #[test]
    fn connection_terminate_closes_with_1000() {
        let action = acknowledged().receive_text(r#"{"type":"connection_terminate"}"#);
        assert_eq!(action, Some(Action::Close(Close::normal())));
    }
}
