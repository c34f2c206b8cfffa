//! Extracts `sequence` and `sentAt` from a serialised result, without parsing it.
//!
//! The order of members, white space and other bytes of the result may differ between servers.

use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The stamp of an event in a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventStamp {
    /// Number of the event.
    pub sequence: u32,
    /// When it was published (microseconds since the load began), if the result has it.
    pub sent_at: Option<u64>,
}

/// Prepared searches.
#[derive(Debug)]
pub(crate) struct ResultScanner {
    sequence: Finder<'static>,
    sent_at: Finder<'static>,
    id: Finder<'static>,
    payload: Finder<'static>,
}

impl Default for ResultScanner {
    fn default() -> Self {
        Self {
            sequence: Finder::new(b"\"sequence\""),
            sent_at: Finder::new(b"\"sentAt\""),
            id: Finder::new(b"\"id\""),
            payload: Finder::new(b"\"payload\""),
        }
    }
}

impl ResultScanner {
    /// Returns the stamp of a message, if it is a result of an event.
    #[must_use]
    pub(crate) fn stamp(&self, message: &[u8]) -> Option<EventStamp> {
        let sequence = number(&self.sequence, message)?;
        Some(EventStamp {
            sequence: u32::try_from(sequence).ok()?,
            sent_at: number(&self.sent_at, message),
        })
    }

    /// Returns the operation of a message: its `id`, a number in a string.
    #[must_use]
    pub(crate) fn operation(&self, message: &[u8]) -> Option<u32> {
        // An `id` before the payload belongs to the message. After it, only a parser can decide.
        let head = match self.payload.find(message) {
            Some(payload) => &message[..payload],
            None => message,
        };
        if let Some(id) = number(&self.id, head) {
            return u32::try_from(id).ok();
        }
        #[derive(Deserialize)]
        struct Envelope<'a> {
            id: &'a str,
            #[serde(rename = "payload")]
            _payload: Option<IgnoredAny>,
        }
        let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
        envelope.id.parse().ok()
    }
}

/// Returns the integer, as a number or in a string, of the first member that `name` finds.
fn number(name: &Finder<'_>, message: &[u8]) -> Option<u64> {
    let mut rest = message;
    loop {
        rest = &rest[name.find(rest)? + name.needle().len()..];
        // Not a member, but a string with this content.
        let Some(value) = rest.trim_ascii_start().strip_prefix(b":") else {
            continue;
        };
        let value = value.trim_ascii_start();
        let digits = value.strip_prefix(b"\"").unwrap_or(value);
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        return std::str::from_utf8(&digits[..length]).ok()?.parse().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_however_the_server_writes_its_json() {
        let expected = Some(EventStamp {
            sequence: 12,
            sent_at: Some(345),
        });
        for message in [
            r#"{"id":"1","type":"next","payload":{"data":{"feed":{"sequence":12,"sentAt":345}}}}"#,
            r#"{"type": "next", "payload": {"data": {"feed": {"sentAt" : 345, "sequence" : 12}}}}"#,
            r#"{"payload":{"data":{"feed":{"sequence":"12","sentAt":"345"}}},"type":"next"}"#,
            "{\"payload\":{\n\"note\":\"sequence\",\n\"sequence\":\n12,\"sentAt\":345.0}}",
        ] {
            assert_eq!(
                ResultScanner::default().stamp(message.as_bytes()),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn a_message_without_a_result_has_no_stamp() {
        for message in [
            r#"{"type":"connection_ack"}"#,
            r#"{"id":"1","type":"complete"}"#,
            r#"{"payload":{"data":{"feed":{"sequence":null}}}}"#,
            r#"{"payload":[{"message":"no \"sequence\": 12"}]}"#,
        ] {
            assert_eq!(
                ResultScanner::default().stamp(message.as_bytes()),
                None,
                "{message}"
            );
        }
    }

    #[test]
    fn a_result_without_a_time_has_a_stamp() {
        let stamp = ResultScanner::default().stamp(br#"{"payload":{"data":{"sequence":1}}}"#);
        assert_eq!(stamp.unwrap().sent_at, None);
    }

    #[test]
    fn the_operation_is_the_id_of_the_message_and_none_of_the_data() {
        for message in [
            r#"{"id":"7","type":"next","payload":{"data":{"feed":{"id":"3"}}}}"#,
            r#"{"type":"next","id" : "7","payload":{"data":{"feed":{"id":"3"}}}}"#,
            r#"{"type":"next","payload":{"data":{"feed":{"id":"3"}}},"id":"7"}"#,
            r#"{"type":"complete","id":"7"}"#,
        ] {
            assert_eq!(
                ResultScanner::default().operation(message.as_bytes()),
                Some(7),
                "{message}"
            );
        }
    }
}
