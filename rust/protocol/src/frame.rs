//! Encodes messages of the server to WebSocket clients.

use bytes::Bytes;

use crate::operation::OperationId;

/// Encodes a message of an operation with this JSON as payload.
pub(crate) fn operation(id: &OperationId, kind: &str, payload: &[u8]) -> Bytes {
    let mut frame = format!(r#"{{"id":{},"type":"{kind}","payload":"#, id.to_json()).into_bytes();
    frame.extend_from_slice(payload);
    frame.push(b'}');
    frame.into()
}

/// Encodes `complete`, which is equal in both subprotocols.
pub(crate) fn complete(id: &OperationId) -> Bytes {
    format!(r#"{{"id":{},"type":"complete"}}"#, id.to_json()).into()
}

/// Encodes a message of the connection with this JSON as payload; `None`: without the member.
pub(crate) fn connection(kind: &str, payload: Option<&str>) -> Bytes {
    match payload {
        Some(payload) => format!(r#"{{"type":"{kind}","payload":{payload}}}"#).into(),
        None => format!(r#"{{"type":"{kind}"}}"#).into(),
    }
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
