//! GraphQL over SSE: its events, and the state of a stream for several operations (single
//! connection mode).
//!
//! Source: PROTOCOL.md of graphql-sse; WHATWG HTML, "Server-sent events".

use std::time::Duration;

use bytes::Bytes;

use crate::action::Action;
use crate::close::Close;
use crate::framing::Framing;
use crate::head::Head;
use crate::operation::OperationId;
use crate::operation_map::OperationMap;
use crate::response::{RETRY_AFTER, Response, errors_only};

/// Media type of the response.
pub(crate) const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// A comment: clients ignore it, but it keeps the connection through proxies open.
pub(crate) const HEARTBEAT: &str = ":\n\n";

/// `complete` of the distinct connections mode. Browsers ignore an event without a data line.
pub(crate) const COMPLETE: &str = "event: complete\ndata:\n\n";

/// Returns the `next` with the errors that ended an operation of the distinct connections mode.
pub(crate) fn failure(errors: &[u8]) -> Bytes {
    let response = errors_only(errors).into();
    let message = Framing::distinct_events().frame(&response, None);
    message.into_bytes()
}

/// The server side of one reserved stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    is_reserved: bool,
    is_open: bool,
    is_closed: bool,
    in_use: OperationMap<()>,
    /// The errors for a refused client, a JSON array.
    refusal: Option<Bytes>,
}

impl EventStream {
    /// Creates the state of a reserved stream.
    pub(crate) fn new() -> Self {
        Self {
            is_reserved: false,
            is_open: false,
            is_closed: false,
            in_use: OperationMap::default(),
            refusal: None,
        }
    }

    /// Handles that the application accepted the client: sends the token.
    pub(crate) fn accept(&mut self) -> Vec<Action> {
        self.is_reserved = true;
        vec![Action::Respond(Head::new(201))]
    }

    /// Whether its token was sent and the client has not opened it yet.
    pub(crate) fn is_unread(&self) -> bool {
        self.is_reserved && !self.is_open
    }

    /// Records that the client has opened the stream.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// Adds an operation; false if its id is in use.
    pub(crate) fn start(&mut self, id: &OperationId) -> bool {
        !self.is_closed && self.in_use.insert(id.clone(), ()).is_none()
    }

    /// Ends an operation for the client; `None` for an unknown id, which may have ended already.
    pub(crate) fn stop(&mut self, id: OperationId) -> Option<Action> {
        self.in_use.remove(&id).map(|()| Action::Complete { id })
    }

    /// Returns the framing of an operation's results.
    pub(crate) fn framing(id: &OperationId) -> Framing {
        Framing::shared_events(id)
    }

    /// Returns the messages for a failed operation: its errors, and its end.
    pub(crate) fn error(&mut self, id: &OperationId, errors: &[u8]) -> Vec<Action> {
        let Some(complete) = self.complete(id) else {
            return Vec::new();
        };
        let errors = Self::framing(id).frame(&errors_only(errors).into(), None);
        vec![Action::Send(errors.into_bytes()), Action::Send(complete)]
    }

    /// Returns the message for the end of an operation.
    pub(crate) fn complete(&mut self, id: &OperationId) -> Option<Bytes> {
        let data = format!("event: complete\ndata: {{\"id\":{}}}\n\n", id.to_json());
        self.in_use.remove(id).map(|()| data.into())
    }

    /// Handles that the time until the client is accepted, or opens the stream, is over.
    pub(crate) fn initialisation_timed_out(&mut self) -> Option<Action> {
        let close = match (self.is_reserved, self.is_open) {
            (_, true) => return None,
            (true, false) => Close::initialisation_timeout(),
            (false, false) => Close::authentication_timeout(),
        };
        Some(Action::Close(close))
    }

    /// Returns the heartbeat.
    pub(crate) fn heartbeat(&self) -> Option<Bytes> {
        self.is_open.then(|| HEARTBEAT.into())
    }

    /// Returns the final actions for a stream that was refused, or is closed before it was opened.
    pub(crate) fn closing_actions(&mut self, close: &Close) -> Vec<Action> {
        if self.is_open {
            return Vec::new();
        }
        let status = close.http_status();
        match self.refusal.take() {
            Some(errors) => vec![
                Action::Respond(Head::of_type(status, "application/json; charset=utf-8")),
                Action::Send(errors_only(&errors).into()),
            ],
            None if status == 503 => vec![Action::Respond(
                Head::new(status).with("retry-after", RETRY_AFTER),
            )],
            None => vec![Action::Respond(Head::new(status))],
        }
    }

    /// Refuses a client that reserves streams too often.
    pub(crate) fn rate_limited(message: &str, wait: Duration) -> Vec<Action> {
        let Response { head, body } = Response::rate_limited(message, wait);
        vec![
            Action::Respond(head),
            Action::Send(body),
            Action::Close(Close::normal()),
        ]
    }

    /// Stores the errors with which the application refuses the client.
    pub(crate) fn refuse(&mut self, errors: Bytes) {
        self.refusal = Some(errors);
    }

    /// Ends the stream.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.in_use = OperationMap::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> OperationId {
        OperationId::from("1")
    }

    #[test]
    fn an_id_in_use_starts_nothing() {
        let mut stream = EventStream::new();
        assert!(stream.start(&id()));
        assert!(!stream.start(&id()));
        assert!(stream.complete(&id()).is_some());
        assert!(stream.start(&id()));
    }

    #[test]
    fn a_failed_operation_has_its_errors_and_its_end() {
        let mut stream = EventStream::new();
        stream.start(&id());
        let errors = "event: next\ndata: {\"id\":\"1\",\"payload\":{\"errors\":[]}}\n\n";
        let complete = "event: complete\ndata: {\"id\":\"1\"}\n\n";
        assert_eq!(
            stream.error(&id(), b"[]"),
            [Action::Send(errors.into()), Action::Send(complete.into())]
        );
        assert_eq!(stream.error(&id(), b"[]"), []);
    }

    #[test]
    fn a_stream_that_is_not_opened_in_time_is_closed() {
        let mut stream = EventStream::new();
        let close = |close| Some(Action::Close(close));
        let too_late = stream.initialisation_timed_out();
        assert_eq!(too_late, close(Close::authentication_timeout()));
        stream.accept();
        let too_late = stream.initialisation_timed_out();
        assert_eq!(too_late, close(Close::initialisation_timeout()));
        stream.open();
        assert_eq!(stream.initialisation_timed_out(), None);
    }
}
