//! How the results of one operation are put on the wire: what stands before and after each.

use bytes::Bytes;

use crate::operation::OperationId;

/// The constant surroundings of all results of one operation.
///
/// A result is JSON without line breaks between its tokens, which is what makes it one line of an
/// event stream.
#[derive(Debug, Clone)]
pub struct Framing {
    before: Box<[u8]>,
    after: &'static [u8],
    has_event_ids: bool,
}

impl Framing {
    /// `next` of graphql-transport-ws.
    pub(crate) fn transport_ws(id: &OperationId) -> Self {
        let before = format!(r#"{{"id":{},"type":"next","payload":"#, id.to_json());
        Self::new(before, b"}")
    }

    /// `data` of the legacy subprotocol.
    pub(crate) fn legacy_ws(id: &OperationId) -> Self {
        let before = format!(r#"{{"type":"data","id":{},"payload":"#, id.to_json());
        Self::new(before, b"}")
    }

    /// A whole response body.
    pub(crate) fn bare() -> Self {
        Self::new(String::new(), b"")
    }

    /// `next` of GraphQL over SSE, distinct connections mode.
    pub(crate) fn distinct_events() -> Self {
        let mut framing = Self::new("event: next\ndata: ".to_owned(), b"\n\n");
        framing.has_event_ids = true;
        framing
    }

    /// `next` of GraphQL over SSE, single connection mode.
    pub(crate) fn shared_events(id: &OperationId) -> Self {
        let before = format!("event: next\ndata: {{\"id\":{},\"payload\":", id.to_json());
        let mut framing = Self::new(before, b"}\n\n");
        framing.has_event_ids = true;
        framing
    }

    /// One part of a multipart subscription. The delimiter stands behind it, because clients take
    /// a part when they have seen its end.
    pub(crate) fn part() -> Self {
        let before = format!("{}{{\"payload\":", crate::multipart::PART_HEAD);
        Self::new(before, b"}\r\n--graphql")
    }

    fn new(before: String, after: &'static [u8]) -> Self {
        Self {
            before: before.into_bytes().into(),
            after,
            has_event_ids: false,
        }
    }

    /// Puts this response on the wire. `offset`: position of its event, if it has one; protocols
    /// with event ids tell it.
    #[must_use]
    pub fn frame(&self, response: &[u8], offset: Option<u64>) -> Bytes {
        let event_id = offset
            .filter(|_| self.has_event_ids)
            .map(|offset| format!("id: {offset}\n"))
            .unwrap_or_default();
        let length = event_id.len() + self.before.len() + response.len() + self.after.len();
        let mut frame = Vec::with_capacity(length);
        frame.extend_from_slice(event_id.as_bytes());
        frame.extend_from_slice(&self.before);
        frame.extend_from_slice(response);
        frame.extend_from_slice(self.after);
        frame.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn ids_are_escaped() {
        let id = OperationId::from("a\"\u{1}\n");
        for framing in [Framing::transport_ws(&id), Framing::legacy_ws(&id)] {
            let frame = framing.frame(br#"{"data":null}"#, Some(1));
            let value: Value = serde_json::from_slice(&frame).unwrap();
            assert_eq!(value["id"], "a\"\u{1}\n");
            assert_eq!(value["payload"]["data"], Value::Null);
        }
    }

    #[test]
    fn an_event_of_a_stream_has_its_offset_as_id() {
        let frame = Framing::distinct_events().frame(b"{}", Some(7));
        assert_eq!(frame, "id: 7\nevent: next\ndata: {}\n\n");
        let frame = Framing::distinct_events().frame(b"{}", None);
        assert_eq!(frame, "event: next\ndata: {}\n\n");
    }

    #[test]
    fn an_id_with_a_line_break_stays_on_its_line() {
        let frame = Framing::shared_events(&OperationId::from("a\nb")).frame(b"{}", None);
        assert_eq!(
            frame,
            "event: next\ndata: {\"id\":\"a\\nb\",\"payload\":{}}\n\n"
        );
    }

    #[test]
    fn a_part_ends_with_the_delimiter_of_the_next() {
        let frame = Framing::part().frame(b"{}", Some(7));
        let expected = "\r\ncontent-type: application/json\r\n\r\n{\"payload\":{}}\r\n--graphql";
        assert_eq!(frame, expected);
    }
}
