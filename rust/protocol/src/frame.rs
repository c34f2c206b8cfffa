//! Messages of the server to WebSocket clients, encoded.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::operation::OperationId;

/// An operation message with this JSON as payload.
pub(crate) fn operation(id: &OperationId, kind: &str, payload: &[u8]) -> Bytes {
    let mut frame = format!(r#"{{"id":{},"type":"{kind}","payload":"#, id.to_json()).into_bytes();
    frame.extend_from_slice(payload);
    frame.push(b'}');
    frame.into()
}

/// `complete`, which both subprotocols know.
pub(crate) fn complete(id: &OperationId) -> Bytes {
    format!(r#"{{"id":{},"type":"complete"}}"#, id.to_json()).into()
}

/// A message of the connection; without payload the member is left out.
pub(crate) fn connection(kind: &str, payload: Option<&Map<String, Value>>) -> Bytes {
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
    fn an_absent_payload_is_left_out() {
        let ack = connection("connection_ack", None);
        assert_eq!(ack, r#"{"type":"connection_ack"}"#);
    }
}
