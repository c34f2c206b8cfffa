//! Multipart subscriptions over HTTP, the protocol of Apollo clients and routers.
//!
//! The delimiter is sent after each part, not before the next one, because clients process a part
//! when they have received its end. Source: Apollo, "Multipart HTTP protocol for GraphQL
//! subscriptions".

use bytes::Bytes;

/// Media type of the response.
pub(crate) const CONTENT_TYPE: &str = r#"multipart/mixed;boundary="graphql";subscriptionSpec=1.0"#;

/// Opens the body, whose preamble is empty, and ends each part (RFC 2046, section 5.1.1).
pub(crate) const DELIMITER: &str = "\r\n--graphql";

/// The bytes between a delimiter and the JSON of its part.
pub(crate) const PART_HEAD: &str = "\r\ncontent-type: application/json\r\n\r\n";

/// The bytes after the last delimiter.
pub(crate) const CLOSING: &str = "--\r\n";

/// Returns the heartbeat, an empty part.
pub(crate) fn heartbeat() -> Bytes {
    format!("{PART_HEAD}{{}}{DELIMITER}").into()
}

/// Returns the part with the errors that ended the subscription, and the end of the body.
pub(crate) fn failure(errors: &[u8]) -> Bytes {
    let mut body = format!("{PART_HEAD}{{\"payload\":null,\"errors\":").into_bytes();
    body.extend_from_slice(errors);
    body.extend_from_slice(format!("}}{DELIMITER}{CLOSING}").as_bytes());
    body.into()
}
