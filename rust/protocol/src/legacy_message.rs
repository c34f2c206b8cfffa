//! Decodes and encodes the messages of the older subprotocol `graphql-ws` that differ from those of
//! graphql-transport-ws.
//!
//! Source: PROTOCOL.md of subscriptions-transport-ws.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::frame;
use crate::members::{Envelope, Fault, Message, operation_id, required_string};
use crate::message::ClientMessage;
use crate::operation::OperationId;

/// An invalid message. It is answered, and the connection stays open.
#[derive(Debug)]
pub(crate) struct Misunderstood {
    /// The operation that it names.
    id: Option<OperationId>,
    fault: Fault,
}

impl Misunderstood {
    /// Returns the answer: `error` if the message names an operation, otherwise `connection_error`.
    pub(crate) fn answer(&self) -> Bytes {
        match &self.id {
            Some(id) => {
                let payload = json!({"message": self.text()}).to_string();
                frame::operation(id, "error", payload.as_bytes())
            }
            None => self.connection_error(),
        }
    }

    /// Returns the answer for a connection that cannot have operations yet.
    pub(crate) fn connection_error(&self) -> Bytes {
        connection_error(&self.text())
    }

    fn text(&self) -> String {
        format!("Invalid message: {}", self.fault)
    }
}

/// Decodes one text message.
///
/// # Errors
///
/// [`Misunderstood`] contains the answer.
pub(crate) fn decode(text: &str) -> Result<ClientMessage, Misunderstood> {
    let message = match Message::read(text) {
        Ok(message) => message,
        Err(fault @ Fault::Unreadable(_)) => return recognise(text, fault),
        Err(fault) => return Err(Misunderstood { id: None, fault }),
    };
    read(&message).map_err(|fault| Misunderstood {
        id: operation_id(message.id).ok(),
        fault,
    })
}

/// Recognises the type of a message with this fault, if possible.
fn recognise(text: &str, fault: Fault) -> Result<ClientMessage, Misunderstood> {
    let envelope = Envelope::of(text);
    let id = envelope.as_ref().and_then(Envelope::operation_id);
    match (envelope, id) {
        (Some(envelope), Some(id)) if envelope.kind == "stop" => Ok(ClientMessage::Complete { id }),
        (_, id) => Err(Misunderstood { id, fault }),
    }
}

fn read(message: &Message<'_>) -> Result<ClientMessage, Fault> {
    let kind = required_string(message.kind, "type")?;
    Ok(match kind.as_str() {
        "connection_init" => ClientMessage::ConnectionInit {
            payload: message.payload()?,
        },
        "start" => ClientMessage::Subscribe {
            id: operation_id(message.id)?,
            request: message.request()?,
        },
        "stop" => ClientMessage::Complete {
            id: operation_id(message.id)?,
        },
        "connection_terminate" => ClientMessage::Terminate,
        _ => return Err(Fault::UnknownType(kind)),
    })
}

/// Encodes an error of the connection.
pub(crate) fn connection_error(message: &str) -> Bytes {
    let payload = json!({"message": message}).to_string();
    frame::connection("connection_error", Some(&payload))
}

/// Encodes `ka`, the keepalive of this protocol.
pub(crate) fn keep_alive() -> Bytes {
    frame::connection("ka", None)
}

/// Encodes `error`, with the first of a JSON array of errors.
pub(crate) fn error(id: &OperationId, errors: &[u8]) -> Bytes {
    let errors: Vec<Value> = serde_json::from_slice(errors).unwrap_or_default();
    let first = errors.into_iter().next().unwrap_or(Value::Null);
    frame::operation(id, "error", first.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_messages_are_errors_of_their_operation_or_the_connection() {
        for (text, id, message) in [
            ("[]", None, "it is no JSON object"),
            ("{}", None, "`type` is missing"),
            (
                r#"{"type":"subscribe","id":"1"}"#,
                Some("1"),
                "`type` \"subscribe\" is unknown",
            ),
            (
                r#"{"type":"start","id":"1"}"#,
                Some("1"),
                "`payload` is missing",
            ),
            (r#"{"type":"start","id":7}"#, None, "`id` must be a string"),
            (r#"{"type":"stop","id":""}"#, None, "`id` is empty"),
        ] {
            let frame: Value = serde_json::from_slice(&decode(text).unwrap_err().answer()).unwrap();
            let payload = json!({"message": format!("Invalid message: {message}")});
            let expected = match id {
                Some(id) => json!({"type": "error", "id": id, "payload": payload}),
                None => json!({"type": "connection_error", "payload": payload}),
            };
            assert_eq!(frame, expected, "{text}");
        }
    }

    #[test]
    fn an_error_has_one_object() {
        let frame = error(&"1".into(), br#"[{"message":"a"},{"message":"b"}]"#);
        assert_eq!(
            frame,
            r#"{"id":"1","type":"error","payload":{"message":"a"}}"#
        );
    }
}
