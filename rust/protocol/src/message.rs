//! Messages of a client, decoded. A fault names the member and what it should be.

use serde_json::{Map, Value};

use crate::operation::{OperationId, Request};

/// One message of a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClientMessage {
    ConnectionInit { payload: Option<Map<String, Value>> },
    Ping { payload: Option<Map<String, Value>> },
    Pong,
    Subscribe { id: OperationId, request: Request },
    Complete { id: OperationId },
}

/// Why a message cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("it is not JSON ({0})")]
    Json(String),
    #[error("it is no JSON object")]
    NoObject,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{member}` must be {expected}")]
    WrongType {
        member: &'static str,
        expected: &'static str,
    },
    #[error("`id` is empty")]
    EmptyId,
    #[error("`type` \"{0}\" is unknown")]
    UnknownType(String),
}

/// Reads one text message.
pub(crate) fn decode(text: &str) -> Result<ClientMessage, Fault> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| Fault::Json(error.to_string()))?;
    let Value::Object(mut message) = value else {
        return Err(Fault::NoObject);
    };
    let kind = required_string(&mut message, "type", "type")?;
    Ok(match kind.as_str() {
        "connection_init" => ClientMessage::ConnectionInit {
            payload: optional_object(&mut message, "payload", "payload")?,
        },
        "ping" => ClientMessage::Ping {
            payload: optional_object(&mut message, "payload", "payload")?,
        },
        "pong" => {
            optional_object(&mut message, "payload", "payload")?;
            ClientMessage::Pong
        }
        "subscribe" => ClientMessage::Subscribe {
            id: operation_id(&mut message)?,
            request: request(&mut message)?,
        },
        "complete" => ClientMessage::Complete {
            id: operation_id(&mut message)?,
        },
        _ => return Err(Fault::UnknownType(kind)),
    })
}

fn operation_id(message: &mut Map<String, Value>) -> Result<OperationId, Fault> {
    let id = required_string(message, "id", "id")?;
    if id.is_empty() {
        return Err(Fault::EmptyId);
    }
    Ok(OperationId::from(id.as_str()))
}

fn request(message: &mut Map<String, Value>) -> Result<Request, Fault> {
    let mut payload =
        optional_object(message, "payload", "payload")?.ok_or(Fault::Missing("payload"))?;
    let request = Request {
        query: optional_string(&mut payload, "query", "payload.query")?,
        document_id: optional_string(&mut payload, "documentId", "payload.documentId")?,
        operation_name: optional_string(&mut payload, "operationName", "payload.operationName")?,
        variables: optional_object(&mut payload, "variables", "payload.variables")?
            .unwrap_or_default(),
        extensions: optional_object(&mut payload, "extensions", "payload.extensions")?
            .unwrap_or_default(),
    };
    if request.query.is_none() && request.document_id.is_none() && request.sha256().is_none() {
        return Err(Fault::Missing("payload.query"));
    }
    Ok(request)
}

/// Takes a member; `null` is as if it were left out.
fn take(object: &mut Map<String, Value>, key: &str) -> Option<Value> {
    object.remove(key).filter(|value| !value.is_null())
}

fn optional_string(
    object: &mut Map<String, Value>,
    key: &str,
    member: &'static str,
) -> Result<Option<String>, Fault> {
    match take(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::WrongType {
            member,
            expected: "a string",
        }),
    }
}

fn required_string(
    object: &mut Map<String, Value>,
    key: &str,
    member: &'static str,
) -> Result<String, Fault> {
    optional_string(object, key, member)?.ok_or(Fault::Missing(member))
}

fn optional_object(
    object: &mut Map<String, Value>,
    key: &str,
    member: &'static str,
) -> Result<Option<Map<String, Value>>, Fault> {
    match take(object, key) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(Fault::WrongType {
            member,
            expected: "an object",
        }),
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
