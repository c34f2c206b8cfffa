//! Messages of WebSocket clients. Decodes those of graphql-transport-ws.

use crate::json::JsonObject;
use crate::members::{Envelope, Fault, Message, operation_id, required_string};
use crate::operation::{OperationId, Request};

/// One message of a client, in either subprotocol.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClientMessage {
    ConnectionInit {
        payload: Option<JsonObject>,
    },
    Ping {
        payload: Option<JsonObject>,
    },
    Pong,
    Subscribe {
        id: OperationId,
        request: Request,
    },
    /// A request with an undecodable part.
    Unreadable {
        id: OperationId,
        fault: Fault,
    },
    Complete {
        id: OperationId,
    },
    Terminate,
}

/// Decodes one text message.
pub(crate) fn decode(text: &str) -> Result<ClientMessage, Fault> {
    let message = match Message::read(text) {
        Ok(message) => message,
        Err(fault @ Fault::Unreadable(_)) => return recognise(text, fault),
        Err(fault) => return Err(fault),
    };
    let kind = required_string(message.kind, "type")?;
    Ok(match kind.as_str() {
        "connection_init" => ClientMessage::ConnectionInit {
            payload: message.payload()?,
        },
        "ping" => ClientMessage::Ping {
            payload: message.payload()?,
        },
        "pong" => {
            message.payload()?;
            ClientMessage::Pong
        }
        "subscribe" => ClientMessage::Subscribe {
            id: operation_id(message.id)?,
            request: message.request()?,
        },
        "complete" => ClientMessage::Complete {
            id: operation_id(message.id)?,
        },
        _ => return Err(Fault::UnknownType(kind)),
    })
}

/// Recognises the type of a message with this fault, if possible.
fn recognise(text: &str, fault: Fault) -> Result<ClientMessage, Fault> {
    let Some(envelope) = Envelope::of(text) else {
        return Err(fault);
    };
    match (envelope.kind.as_str(), envelope.operation_id()) {
        ("subscribe", Some(id)) => Ok(ClientMessage::Unreadable { id, fault }),
        ("complete", Some(id)) => Ok(ClientMessage::Complete { id }),
        // A pong need not repeat the payload.
        ("ping", _) => Ok(ClientMessage::Ping { payload: None }),
        ("pong", _) => Ok(ClientMessage::Pong),
        _ => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        decode(text).unwrap_err().to_string()
    }

    #[test]
    fn a_fault_names_the_member_and_what_it_should_be() {
        for (text, expected) in [
            ("[]", "it is no JSON object"),
            ("{}", "`type` is missing"),
            (r#"{"type":7}"#, "`type` must be a string"),
            (r#"{"type":"start"}"#, "`type` \"start\" is unknown"),
            (
                r#"{"type":"ping","payload":1}"#,
                "`payload` must be an object",
            ),
            (
                r#"{"type":"connection_init","payload":"x"}"#,
                "`payload` must be an object",
            ),
            (r#"{"type":"subscribe"}"#, "`id` is missing"),
            (r#"{"type":"subscribe","id":1}"#, "`id` must be a string"),
            (r#"{"type":"subscribe","id":""}"#, "`id` is empty"),
            (r#"{"type":"subscribe","id":"1"}"#, "`payload` is missing"),
            (
                r#"{"type":"subscribe","id":"1","payload":{}}"#,
                "`payload.query` is missing",
            ),
            (
                r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
                "`payload.query` must be a string",
            ),
            (
                r#"{"type":"subscribe","id":"1","payload":{"query":"q","variables":[]}}"#,
                "`payload.variables` must be an object",
            ),
            (
                r#"{"type":"subscribe","id":"1","payload":{"query":"q","operationName":1}}"#,
                "`payload.operationName` must be a string",
            ),
            (r#"{"type":"complete"}"#, "`id` is missing"),
        ] {
            assert_eq!(fault(text), expected, "{text}");
        }
        assert!(fault("{").starts_with("it is not JSON (EOF"));
    }

    #[test]
    fn a_document_may_be_referred_to_in_place_of_its_text() {
        for payload in [
            r#"{"documentId":"orders"}"#,
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}"#,
        ] {
            let text = format!(r#"{{"type":"subscribe","id":"1","payload":{payload}}}"#);
            assert!(decode(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn null_members_are_as_if_left_out() {
        let text = r#"{"type":"subscribe","id":"1","payload":{"query":"q","operationName":null,"variables":null,"extensions":null}}"#;
        let request = Request {
            query: Some("q".into()),
            ..Request::default()
        };
        let id = OperationId::from("1");
        assert_eq!(decode(text), Ok(ClientMessage::Subscribe { id, request }));
        let init = ClientMessage::ConnectionInit { payload: None };
        assert_eq!(
            decode(r#"{"type":"connection_init","payload":null}"#),
            Ok(init)
        );
    }
}
