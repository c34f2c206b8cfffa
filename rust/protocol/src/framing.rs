//! Frames the results of one operation: the bytes before and after each result, and the id with
//! which a client can resume after it.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::framed_message::FramedMessage;
use crate::operation::OperationId;

/// The constant bytes around each result of one operation.
///
/// A result is JSON without line breaks between its tokens, so it fits on one line of an event
/// stream.
#[derive(Debug, Clone)]
pub struct Framing {
    before: Bytes,
    after: &'static [u8],
    id_lines: IdLines,
    /// Whether ids are sent in `extensions.resume`.
    tells_ids: bool,
    /// Whether the subscription can be resumed.
    has_ids: bool,
}

/// A response that carries only extensions.
const NO_DATA: Bytes = Bytes::from_static(br#"{"data":null}"#);

/// The position of an event, as clients see it. What it shows is safe in JSON and on a line.
pub type EventId<'a> = &'a dyn fmt::Display;

/// The messages in which the protocol itself has a field for event ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdLines {
    Nowhere,
    /// Only in messages with a result.
    Results,
    /// In messages with and without a result, because the stream has only this operation.
    Anywhere,
}

impl Framing {
    /// Returns the framing for `next` of graphql-transport-ws.
    pub(crate) fn transport_ws(id: &OperationId) -> Self {
        let before = format!(r#"{{"id":{},"type":"next","payload":"#, id.to_json());
        Self::new(before, b"}", IdLines::Nowhere)
    }

    /// Returns the framing for `data` of the legacy subprotocol.
    pub(crate) fn legacy_ws(id: &OperationId) -> Self {
        let before = format!(r#"{{"type":"data","id":{},"payload":"#, id.to_json());
        Self::new(before, b"}", IdLines::Nowhere)
    }

    /// Returns an empty framing: for a whole response body, or a response in process.
    #[must_use]
    pub fn bare() -> Self {
        Self::new(String::new(), b"", IdLines::Nowhere)
    }

    /// Returns the framing for `next` of GraphQL over SSE, distinct connections mode.
    pub(crate) fn distinct_events() -> Self {
        let before = "event: next\ndata: ".to_owned();
        Self::new(before, b"\n\n", IdLines::Anywhere)
    }

    /// Returns the framing for `next` of GraphQL over SSE, single connection mode.
    pub(crate) fn shared_events(id: &OperationId) -> Self {
        let before = format!("event: next\ndata: {{\"id\":{},\"payload\":", id.to_json());
        Self::new(before, b"}\n\n", IdLines::Results)
    }

    /// Returns the framing for one part of a multipart subscription. The delimiter follows the
    /// part, because clients process a part when they have received its end.
    pub(crate) fn part() -> Self {
        let before = format!("{}{{\"payload\":", crate::multipart::PART_HEAD);
        Self::new(before, b"}\r\n--graphql", IdLines::Nowhere)
    }

    fn new(before: String, after: &'static [u8], id_lines: IdLines) -> Self {
        Self {
            before: before.into(),
            after,
            id_lines,
            tells_ids: false,
            has_ids: false,
        }
    }

    /// Adds ids to the results if the subscription `can_resume`: in the protocol's own place, and
    /// in `extensions.resume` if the client `asked`.
    #[must_use]
    pub fn with_ids(mut self, can_resume: bool, asked: bool) -> Self {
        self.has_ids = can_resume;
        self.tells_ids = asked;
        self
    }

    /// Frames this response without copying it. `id`: the id of its event, if it has one.
    #[must_use]
    pub fn frame(&self, response: &Bytes, id: Option<EventId<'_>>) -> FramedMessage {
        let id = id.filter(|_| self.has_ids);
        let extension = id
            .filter(|_| self.tells_ids)
            .map(|id| format!(r#","extensions":{{"resume":{{"id":"{id}"}}}}"#))
            .unwrap_or_default();
        self.surround(response, &extension, id)
    }

    /// Returns the message that announces the position at which a subscription starts, and whether
    /// it has missed events. It is a result if the client asked for ids or has missed events;
    /// otherwise an id alone, where the protocol has one.
    #[must_use]
    pub fn announce_position(
        &self,
        id: Option<EventId<'_>>,
        missed: bool,
    ) -> Option<FramedMessage> {
        let id = id.filter(|_| self.has_ids);
        if self.tells_ids || (missed && self.id_lines != IdLines::Nowhere) {
            let id_member = id.map(|id| format!(r#""id":"{id}","#)).unwrap_or_default();
            let extension =
                format!(r#","extensions":{{"resume":{{{id_member}"missed":{missed}}}}}"#);
            return Some(self.surround(&NO_DATA, &extension, id));
        }
        let id = id.filter(|_| self.id_lines == IdLines::Anywhere)?;
        Some(Bytes::from(format!("id: {id}\n\n")).into())
    }

    /// Frames a response. `extension`: an additional member of it.
    fn surround(
        &self,
        response: &Bytes,
        extension: &str,
        id: Option<EventId<'_>>,
    ) -> FramedMessage {
        let head = match id.filter(|_| self.id_lines != IdLines::Nowhere) {
            Some(id) => Bytes::from([format!("id: {id}\n").as_bytes(), &self.before].concat()),
            None => self.before.clone(),
        };
        if extension.is_empty() {
            let tail = Bytes::from_static(self.after);
            return FramedMessage::new(head, response.clone(), tail);
        }
        let end = response.len() - usize::from(response.ends_with(b"}"));
        let mut tail = BytesMut::new();
        tail.put_slice(extension.as_bytes());
        tail.put_slice(&response[end..]);
        tail.put_slice(self.after);
        FramedMessage::new(head, response.slice(..end), tail.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_response_is_not_copied() {
        let id = OperationId::from("1");
        let response = Bytes::from_static(br#"{"data":{"n":1}}"#);
        for framing in [
            Framing::transport_ws(&id),
            Framing::distinct_events().with_ids(true, true),
        ] {
            let message = framing.frame(&response, SEVENTH);
            assert_eq!(message.pieces()[1].as_ptr(), response.as_ptr());
        }
    }

    #[test]
    fn ids_are_escaped() {
        let id = OperationId::from("a\"\u{1}\n");
        for framing in [Framing::transport_ws(&id), Framing::legacy_ws(&id)] {
            let frame = framing.frame(&NO_DATA, SEVENTH).into_bytes();
            let value: Value = serde_json::from_slice(&frame).unwrap();
            assert_eq!(value["id"], "a\"\u{1}\n");
            assert_eq!(value["payload"]["data"], Value::Null);
        }
    }

    const EMPTY: Bytes = Bytes::from_static(b"{}");

    const SEVENTH: Option<EventId<'static>> = Some(&"run-7");

    #[test]
    fn an_event_of_a_stream_has_its_id() {
        let framing = Framing::distinct_events().with_ids(true, false);
        let frame = framing.frame(&EMPTY, SEVENTH).into_bytes();
        assert_eq!(frame, "id: run-7\nevent: next\ndata: {}\n\n");
        let frame = framing.frame(&EMPTY, None).into_bytes();
        assert_eq!(frame, "event: next\ndata: {}\n\n");
        let frame = Framing::distinct_events()
            .frame(&EMPTY, SEVENTH)
            .into_bytes();
        assert_eq!(frame, "event: next\ndata: {}\n\n");
    }

    #[test]
    fn who_asked_is_told_the_id_beside_the_data() {
        let id = OperationId::from("1");
        let response = &Bytes::from_static(br#"{"data":{"n":{}}}"#);
        let plain = Framing::transport_ws(&id).with_ids(true, false);
        let expected = r#"{"id":"1","type":"next","payload":{"data":{"n":{}}}}"#;
        assert_eq!(plain.frame(response, SEVENTH).into_bytes(), expected);
        let asked = Framing::transport_ws(&id).with_ids(true, true);
        let expected = r#"{"id":"1","type":"next","payload":{"data":{"n":{}},"extensions":{"resume":{"id":"run-7"}}}}"#;
        assert_eq!(asked.frame(response, SEVENTH).into_bytes(), expected);
        let without_history = Framing::transport_ws(&id).with_ids(false, true);
        let expected = r#"{"id":"1","type":"next","payload":{"data":{"n":{}}}}"#;
        assert_eq!(
            without_history.frame(response, SEVENTH).into_bytes(),
            expected
        );
    }

    #[test]
    fn a_beginning_is_told_to_who_asked_or_has_missed_something() {
        let id = OperationId::from("1");
        let socket = |asked| Framing::transport_ws(&id).with_ids(true, asked);
        let expected = r#"{"id":"1","type":"next","payload":{"data":null,"extensions":{"resume":{"id":"run-7","missed":false}}}}"#;
        assert_eq!(
            socket(true)
                .announce_position(SEVENTH, false)
                .unwrap()
                .into_bytes(),
            expected
        );
        assert_eq!(socket(false).announce_position(SEVENTH, true), None);
        let events = Framing::distinct_events().with_ids(true, false);
        assert_eq!(
            events
                .announce_position(SEVENTH, false)
                .unwrap()
                .into_bytes(),
            "id: run-7\n\n"
        );
        let expected = "id: run-7\nevent: next\ndata: {\"data\":null,\"extensions\":{\"resume\":{\"id\":\"run-7\",\"missed\":true}}}\n\n";
        assert_eq!(
            events
                .announce_position(SEVENTH, true)
                .unwrap()
                .into_bytes(),
            expected
        );
        let expected =
            "event: next\ndata: {\"data\":null,\"extensions\":{\"resume\":{\"missed\":true}}}\n\n";
        assert_eq!(
            events.announce_position(None, true).unwrap().into_bytes(),
            expected
        );
        let shared = Framing::shared_events(&id).with_ids(true, false);
        assert_eq!(shared.announce_position(SEVENTH, false), None);
    }

    #[test]
    fn an_id_with_a_line_break_stays_on_its_line() {
        let frame = Framing::shared_events(&OperationId::from("a\nb"))
            .frame(&EMPTY, None)
            .into_bytes();
        assert_eq!(
            frame,
            "event: next\ndata: {\"id\":\"a\\nb\",\"payload\":{}}\n\n"
        );
    }

    #[test]
    fn a_part_ends_with_the_delimiter_of_the_next() {
        let frame = Framing::part().frame(&EMPTY, SEVENTH).into_bytes();
        let expected = "\r\ncontent-type: application/json\r\n\r\n{\"payload\":{}}\r\n--graphql";
        assert_eq!(frame, expected);
    }
}
