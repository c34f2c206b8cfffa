//! Messages of the server, encoded.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::operation::OperationId;

/// The constant front of all `next` messages of one operation.
#[derive(Debug, Clone)]
pub struct NextHead(Box<[u8]>);

impl NextHead {
    /// Encodes what comes before the payload.
    #[must_use]
    pub fn new(id: &OperationId) -> Self {
        Self(operation_head(id, "next").into_bytes().into())
    }

    /// The `next` message with this response, which is JSON already.
    #[must_use]
    pub fn frame(&self, response: &[u8]) -> Bytes {
        let mut frame = Vec::with_capacity(self.0.len() + response.len() + 1);
        frame.extend_from_slice(&self.0);
        frame.extend_from_slice(response);
        frame.push(b'}');
        frame.into()
    }
}

/// `error` with a JSON array of errors.
pub(crate) fn error(id: &OperationId, errors: &[u8]) -> Bytes {
    let mut frame = operation_head(id, "error").into_bytes();
    frame.extend_from_slice(errors);
    frame.push(b'}');
    frame.into()
}

/// `complete`.
pub(crate) fn complete(id: &OperationId) -> Bytes {
    format!(r#"{{"id":{},"type":"complete"}}"#, json_string(id)).into()
}

/// `connection_ack`; without payload the member is left out.
pub(crate) fn connection_ack(payload: Option<&Map<String, Value>>) -> Bytes {
    with_payload("connection_ack", payload)
}

/// `pong`; gives back what came with the ping.
pub(crate) fn pong(payload: Option<&Map<String, Value>>) -> Bytes {
    with_payload("pong", payload)
}

fn operation_head(id: &OperationId, kind: &str) -> String {
    format!(r#"{{"id":{},"type":"{kind}","payload":"#, json_string(id))
}

fn json_string(id: &OperationId) -> Value {
    Value::from(id.as_str())
}

fn with_payload(kind: &str, payload: Option<&Map<String, Value>>) -> Bytes {
    let mut message = Map::from_iter([("type".to_owned(), Value::from(kind))]);
    if let Some(payload) = payload {
        message.insert("payload".to_owned(), Value::Object(payload.clone()));
    }
    Value::Object(message).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped() {
        let head = NextHead::new(&OperationId::from("a\"\u{1}"));
        let frame = head.frame(br#"{"data":null}"#);
        let value: Value = serde_json::from_slice(&frame).unwrap();
        assert_eq!(value["id"], "a\"\u{1}");
        assert_eq!(value["payload"]["data"], Value::Null);
    }

    #[test]
    fn an_absent_payload_is_left_out() {
        assert_eq!(connection_ack(None), r#"{"type":"connection_ack"}"#);
        assert_eq!(pong(None), r#"{"type":"pong"}"#);
    }
}
