//! GraphQL over SSE: its events, and the state of a stream that carries many operations (single
//! connection mode).
//!
//! Source: PROTOCOL.md of graphql-sse; WHATWG HTML, "Server-sent events".

use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashSet;

use crate::action::Action;
use crate::close::Close;
use crate::framing::Framing;
use crate::head::Head;
use crate::operation::OperationId;
use crate::response::{RETRY_AFTER, Response, errors_only};

/// Media type of the response.
pub(crate) const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// A comment, which clients ignore and proxies do not.
pub(crate) const HEARTBEAT: &str = ":\n\n";

/// `complete` of the distinct connections mode. Without its data line browsers drop the event.
pub(crate) const COMPLETE: &str = "event: complete\ndata:\n\n";

/// `next` with the errors that ended an operation of the distinct connections mode.
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
    in_use: HashSet<OperationId>,
    /// What a client that is refused reads: a JSON array of errors.
    refusal: Option<Bytes>,
}

impl EventStream {
    /// A stream that was reserved.
    pub(crate) fn new() -> Self {
        Self {
            is_reserved: false,
            is_open: false,
            is_closed: false,
            in_use: HashSet::new(),
            refusal: None,
        }
    }

    /// The application accepted the client: its token may be sent.
    pub(crate) fn accept(&mut self) -> Vec<Action> {
        self.is_reserved = true;
        vec![Action::Respond(Head::new(201))]
    }

    /// Whether its token was sent and it is not read yet.
    pub(crate) fn is_unread(&self) -> bool {
        self.is_reserved && !self.is_open
    }

    /// The client reads from now on.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// One more operation; false when its id is in use.
    pub(crate) fn start(&mut self, id: &OperationId) -> bool {
        !self.is_closed && self.in_use.insert(id.clone())
    }

    /// The client ends an operation; an unknown id may have ended by itself.
    pub(crate) fn stop(&mut self, id: OperationId) -> Option<Action> {
        self.in_use.remove(&id).then_some(Action::Complete { id })
    }

    /// What surrounds the results of an operation.
    pub(crate) fn framing(id: &OperationId) -> Framing {
        Framing::shared_events(id)
    }

    /// An operation failed: its errors, and its end.
    pub(crate) fn error(&mut self, id: &OperationId, errors: &[u8]) -> Vec<Action> {
        let Some(complete) = self.complete(id) else {
            return Vec::new();
        };
        let errors = Self::framing(id).frame(&errors_only(errors).into(), None);
        vec![Action::Send(errors.into_bytes()), Action::Send(complete)]
    }

    /// An operation has ended.
    pub(crate) fn complete(&mut self, id: &OperationId) -> Option<Bytes> {
        let data = format!("event: complete\ndata: {{\"id\":{}}}\n\n", id.to_json());
        self.in_use.remove(id).then(|| data.into())
    }

    /// The time in which the client should have been accepted, or have opened it, is over.
    pub(crate) fn initialisation_timed_out(&mut self) -> Option<Action> {
        let close = match (self.is_reserved, self.is_open) {
            (_, true) => return None,
            (true, false) => Close::initialisation_timeout(),
            (false, false) => Close::authentication_timeout(),
        };
        Some(Action::Close(close))
    }

    /// A sign of life.
    pub(crate) fn heartbeat(&self) -> Option<Bytes> {
        self.is_open.then(|| HEARTBEAT.into())
    }

    /// A stream that is not read was refused, or is abandoned.
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

    /// The client asks too often for streams, and is given none.
    pub(crate) fn rate_limited(message: &str, wait: Duration) -> Vec<Action> {
        let Response { head, body } = Response::rate_limited(message, wait);
        vec![
            Action::Respond(head),
            Action::Send(body),
            Action::Close(Close::normal()),
        ]
    }

    /// The application refuses the client with these errors.
    pub(crate) fn refuse(&mut self, errors: Bytes) {
        self.refusal = Some(errors);
    }

    /// The stream is over.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.in_use.clear();
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
