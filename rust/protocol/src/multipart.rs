//! Multipart subscriptions over HTTP, as Apollo clients and routers speak them.
//!
//! The delimiter stands behind each part rather than before it: clients take a part when they
//! have seen its end. Source: Apollo, "Multipart HTTP protocol for GraphQL subscriptions".

use bytes::Bytes;

/// Media type of the response.
pub(crate) const CONTENT_TYPE: &str = r#"multipart/mixed;boundary="graphql";subscriptionSpec=1.0"#;

/// Opens the body, whose preamble is empty, and ends each part (RFC 2046, section 5.1.1).
pub(crate) const DELIMITER: &str = "\r\n--graphql";

/// What stands between a delimiter and the JSON of its part.
pub(crate) const PART_HEAD: &str = "\r\ncontent-type: application/json\r\n\r\n";

/// What follows the last delimiter.
pub(crate) const CLOSING: &str = "--\r\n";

/// A part that says nothing.
pub(crate) fn heartbeat() -> Bytes {
    format!("{PART_HEAD}{{}}{DELIMITER}").into()
}

/// The part with a JSON array of errors that ended the subscription, and the end of the body.
pub(crate) fn failure(errors: &[u8]) -> Bytes {
    let mut body = format!("{PART_HEAD}{{\"payload\":null,\"errors\":").into_bytes();
    body.extend_from_slice(errors);
    body.extend_from_slice(format!("}}{DELIMITER}{CLOSING}").as_bytes());
    body.into()
}
