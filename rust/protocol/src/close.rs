//! Close codes and close reasons.

/// RFC 6455 limits a control frame to 125 bytes, two of which are the close code.
const REASON_MAX_BYTES: usize = 123;

/// The code and reason with which a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Close code: RFC 6455, section 7.4; 4400 to 4499 are defined by graphql-transport-ws.
    pub code: u16,
    /// Close reason, at most 123 bytes of UTF-8.
    pub reason: String,
}

impl Close {
    /// Creates a close with any code; cuts the reason to 123 bytes at a character boundary.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(REASON_MAX_BYTES));
        Self { code, reason }
    }

    /// Returns the status for an HTTP response that is closed before its head was sent.
    pub(crate) fn http_status(&self) -> u16 {
        match self.code {
            4400 => 400,
            4401 => 401,
            4403 => 403,
            4408 => 408,
            4429 => 429,
            1001 | 1013 => 503,
            // An application has chosen it in `disconnect()`.
            1000 | 3000..4500 => 403,
            _ => 500,
        }
    }

    /// Whether this is the close of a server that shuts down.
    pub(crate) fn is_going_away(&self) -> bool {
        self.code == 1001
    }

    /// 1000: the connection is complete.
    #[must_use]
    pub fn normal() -> Self {
        Self::new(1000, "")
    }

    /// 1001: the server shuts down.
    #[must_use]
    pub fn going_away() -> Self {
        Self::new(1001, "Going away")
    }

    /// 1007: a text message was not UTF-8.
    #[must_use]
    pub fn invalid_text() -> Self {
        Self::new(1007, "Text messages must be UTF-8")
    }

    /// 1007: a compressed message was not DEFLATE.
    #[must_use]
    pub fn invalid_compression() -> Self {
        Self::new(1007, "Compressed messages must be DEFLATE")
    }

    /// 1008: the client sent small messages that became large by decompression.
    #[must_use]
    pub fn too_much_inflated() -> Self {
        Self::new(1008, "Too much of few compressed bytes")
    }

    /// 1008: the client sent more pings, pongs and small fragments than allowed.
    #[must_use]
    pub fn too_many_frames() -> Self {
        Self::new(1008, "Too many pings, pongs or small fragments")
    }

    /// 1009: a message was larger than the limit.
    #[must_use]
    pub fn message_too_big(limit_bytes: usize) -> Self {
        Self::new(
            1009,
            format!("Messages may have at most {limit_bytes} bytes"),
        )
    }

    /// 1013: the client read results more slowly than they were sent.
    #[must_use]
    pub fn slow_consumer() -> Self {
        Self::new(1013, "Results were taken too slowly")
    }

    /// 1013: the client answered no ping and read nothing. Clients reconnect after this code.
    #[must_use]
    pub fn no_answer() -> Self {
        Self::new(1013, "Pings were not answered")
    }

    /// 4400: the message is invalid; `fault` says why.
    #[must_use]
    pub fn bad_request(fault: impl AsRef<str>) -> Self {
        Self::new(4400, format!("Invalid message: {}", fault.as_ref()))
    }

    /// 4401: `subscribe` before the connection was acknowledged.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(4401, "Unauthorized")
    }

    /// 4403: the application refused the client.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(4403, "Forbidden")
    }

    /// 4406: no subprotocol in common.
    #[must_use]
    pub fn subprotocol_not_acceptable() -> Self {
        Self::new(4406, "Subprotocol not acceptable")
    }

    /// 4408: no `connection_init` in time.
    #[must_use]
    pub fn initialisation_timeout() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    /// 1013: the application did not authenticate the client in time.
    #[must_use]
    pub fn authentication_timeout() -> Self {
        Self::try_again_later("Authentication took too long")
    }

    /// 4409: the id is in use.
    #[must_use]
    pub fn subscriber_exists(id: &str) -> Self {
        // Cuts the id, not the text around it, which clients may match.
        let room = REASON_MAX_BYTES - "Subscriber for  already exists".len();
        let id = &id[..id.floor_char_boundary(room)];
        Self::new(4409, format!("Subscriber for {id} already exists"))
    }

    /// 4429: a second `connection_init`.
    #[must_use]
    pub fn too_many_initialisation_requests() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }

    /// 4429: the client sent messages faster than the allowed rate.
    #[must_use]
    pub fn too_many_messages() -> Self {
        Self::new(4429, "Too many messages")
    }

    /// Whether the server closes for its own reasons, so that the client should reconnect.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.code, 1001 | 1013)
    }

    /// 1013: the server cannot serve the client now.
    #[must_use]
    pub fn try_again_later(reason: &str) -> Self {
        Self::new(1013, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_a_character_border() {
        let close = Close::bad_request("é".repeat(100));
        assert!(close.reason.len() <= 123 && close.reason.len() > 120);
        assert!(close.reason.ends_with('é'));
    }

    #[test]
    fn a_long_id_leaves_the_words_around_it_whole() {
        let close = Close::subscriber_exists(&"é".repeat(100));
        assert!(close.reason.len() <= 123);
        assert!(close.reason.starts_with("Subscriber for é"));
        assert!(close.reason.ends_with("é already exists"));
    }
}
