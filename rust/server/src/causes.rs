//! Error texts for clients about errors that libraries report.

use actix_http::ws::HandshakeError;
use protocol::Close;
use protocol::http::Response;

/// For a handshake without a key, or with an invalid one (RFC 6455).
pub(crate) const BAD_KEY: &str = "the header `sec-websocket-key` must be 16 bytes in base64";

/// Returns the response to an invalid WebSocket handshake (RFC 6455, section 4.2.1).
pub(crate) fn handshake(error: HandshakeError) -> Response {
    let (status, text) = match error {
        HandshakeError::GetMethodRequired => (405, "a WebSocket begins with a GET"),
        HandshakeError::NoWebsocketUpgrade => (400, "the header `upgrade` must be `websocket`"),
        HandshakeError::NoConnectionUpgrade => (400, "the header `connection` must be `upgrade`"),
        HandshakeError::NoVersionHeader | HandshakeError::UnsupportedVersion => {
            (426, "WebSockets are spoken in version 13 only")
        }
        HandshakeError::BadWebsocketKey => (400, BAD_KEY),
    };
    let mut response = Response::error(status, text);
    if status == 405 {
        response.head = response.head.with("allow", "GET");
    }
    if status == 426 {
        response.head = response.head.with("sec-websocket-version", "13");
    }
    response
}

/// Returns the rule that the payload of a close breaks (RFC 6455, sections 5.5.1, 7.4).
pub(crate) fn close(payload: &[u8]) -> Option<Close> {
    let [high, low, reason @ ..] = payload else {
        let is_cut = !payload.is_empty();
        return is_cut.then(|| Close::new(1002, "A close needs a code of two bytes, or none"));
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !is_sendable(code) {
        return Some(Close::new(
            1002,
            format!("The close code {code} must not be sent"),
        ));
    }
    match std::str::from_utf8(reason) {
        Ok(_) => None,
        Err(_) => Some(Close::new(1007, "The reason of a close must be UTF-8")),
    }
}

/// Whether a close code may be sent: RFC 6455, section 7.4.2, and the registry of IANA.
fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
