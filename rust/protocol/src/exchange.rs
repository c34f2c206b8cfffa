//! One operation over HTTP: the form of its response, by its kind and the accepted formats.
//!
//! Source: GraphQL over HTTP; PROTOCOL.md of graphql-sse, distinct connections mode.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::accept::{Accepted, Single};
use crate::action::Action;
use crate::close::Close;
use crate::event_stream;
use crate::framing::Framing;
use crate::head::{Amendment, Head};
use crate::multipart;
use crate::operation::{OperationId, OperationKind, Request};
use crate::response::{
    RETRY_AFTER, SHUTTING_DOWN, errors_only, rate_limited_errors, rate_limited_head,
};
use crate::transports::Streaming;

/// The form of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Single(Single),
    Streaming(Streaming),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExchangePhase {
    /// Nothing was sent yet.
    Silent,
    /// The head was sent.
    Answering,
    /// Nothing more may be sent.
    Ended,
}

/// The server side of one request.
#[derive(Debug)]
pub struct Exchange {
    request: Option<Request>,
    accepted: Accepted,
    /// Whether the method is GET or HEAD, which must not run mutations.
    is_get: bool,
    /// Whether the method is HEAD.
    is_head: bool,
    form: Form,
    phase: ExchangePhase,
    amendment: Option<Amendment>,
    /// The errors for a refused client, a JSON array.
    refusal: Option<Bytes>,
}

impl Exchange {
    /// Creates the exchange for a parsed request.
    pub(crate) fn new(request: Request, accepted: Accepted) -> Self {
        // Provisional, until the kind of the operation is known.
        let form = match (accepted.single, accepted.streaming) {
            (Some(single), _) => Form::Single(single),
            (None, Some(streaming)) => Form::Streaming(streaming),
            (None, None) => Form::Single(Single::Json),
        };
        Self {
            request: Some(request),
            accepted,
            is_get: false,
            is_head: false,
            form,
            phase: ExchangePhase::Silent,
            amendment: None,
            refusal: None,
        }
    }

    /// Marks the request as a GET, or a HEAD.
    pub(crate) fn by_get(self, is_head: bool) -> Self {
        Self {
            is_get: true,
            is_head,
            ..self
        }
    }

    /// Handles that the application accepted the client: starts the operation.
    pub(crate) fn accept(&mut self) -> Vec<Action> {
        let subscribe = self.request.take().map(|request| Action::Subscribe {
            id: OperationId::from("1"),
            request,
        });
        subscribe.into_iter().collect()
    }

    /// Handles that the time until the client is accepted is over.
    pub(crate) fn initialisation_timed_out(&mut self) -> Option<Action> {
        self.request.take()?;
        Some(Action::Close(Close::authentication_timeout()))
    }

    /// Handles the start of an operation of this kind. `Err`: actions instead of starting it.
    pub(crate) fn starting(
        &mut self,
        kind: Option<OperationKind>,
    ) -> Result<Vec<Action>, Vec<Action>> {
        match kind {
            Some(OperationKind::Mutation) if self.is_get => {
                let head = Head::new(405).with("allow", "POST");
                return Err(self.fail(head, "mutations are not run by GET: send them by POST"));
            }
            Some(OperationKind::Subscription) => {
                let Some(streaming) = self.accepted.streaming else {
                    return Err(
                        self.fail(Head::new(406), &self.accepted.offered.streaming_advice())
                    );
                };
                self.form = Form::Streaming(streaming);
            }
            Some(_) | None => {}
        }
        let Form::Streaming(streaming) = self.form else {
            return Ok(Vec::new());
        };
        self.phase = ExchangePhase::Answering;
        let (media_type, first_bytes) = match streaming {
            Streaming::Events => (event_stream::CONTENT_TYPE, event_stream::HEARTBEAT),
            Streaming::Multipart => (multipart::CONTENT_TYPE, multipart::DELIMITER),
        };
        let head = Action::Respond(Head::stream(media_type));
        if self.is_head {
            // The client of a HEAD reads no results.
            return Err(self.end(vec![head]));
        }
        // The first bytes of the body show at once that the subscription runs.
        Ok(vec![head, Action::Send(first_bytes.into())])
    }

    /// Returns the framing of the results.
    pub(crate) fn framing(&self) -> Framing {
        match self.form {
            Form::Single(_) => Framing::bare(),
            Form::Streaming(Streaming::Events) => Framing::distinct_events(),
            Form::Streaming(Streaming::Multipart) => Framing::part(),
        }
    }

    /// Returns the head of a single response: execution has begun, so its status is 200.
    pub(crate) fn first_result(&mut self) -> Option<Head> {
        match self.form {
            Form::Single(single) if self.phase == ExchangePhase::Silent => {
                self.phase = ExchangePhase::Answering;
                let head = Head::of_type(200, single.content_type());
                Some(head.amended(self.amendment.take()))
            }
            _ => None,
        }
    }

    /// Stores the application's changes of the head; they have no effect once it was sent.
    pub(crate) fn amend(&mut self, amendment: Amendment) {
        self.amendment = Some(amendment);
    }

    /// Stores the errors with which the application refuses the client.
    pub(crate) fn refuse(&mut self, errors: Bytes) {
        self.refusal = Some(errors);
    }

    /// Refuses a request past a rate; nothing was sent yet.
    pub(crate) fn rate_limited(&mut self, message: &str, wait: Duration) -> Vec<Action> {
        self.fail_with(rate_limited_head(wait), &rate_limited_errors(message))
    }

    /// Handles that the operation failed before it had a result, or cannot continue.
    pub(crate) fn error(&mut self, errors: &[u8]) -> Vec<Action> {
        if self.phase == ExchangePhase::Ended {
            return Vec::new();
        }
        let mut actions = Vec::with_capacity(3);
        match self.form {
            Form::Single(single) => {
                if self.phase == ExchangePhase::Silent {
                    let head = Head::of_type(single.refused_status(), single.content_type());
                    let head = head.amended(self.amendment.take());
                    actions.push(Action::Respond(head));
                    actions.push(Action::Send(errors_only(errors).into()));
                }
            }
            Form::Streaming(Streaming::Events) => {
                actions.push(Action::Send(event_stream::failure(errors)));
                actions.push(Action::Send(event_stream::COMPLETE.into()));
            }
            Form::Streaming(Streaming::Multipart) => {
                actions.push(Action::Send(multipart::failure(errors)));
            }
        }
        self.end(actions)
    }

    /// Handles the end of the operation.
    pub(crate) fn complete(&mut self) -> Vec<Action> {
        match (self.phase, self.form) {
            (ExchangePhase::Ended, _) => Vec::new(),
            (ExchangePhase::Silent, Form::Single(_)) => self.fail(Head::new(503), SHUTTING_DOWN),
            (_, Form::Single(_)) => self.end(Vec::new()),
            (_, Form::Streaming(streaming)) => {
                let last = match streaming {
                    Streaming::Events => event_stream::COMPLETE,
                    Streaming::Multipart => multipart::CLOSING,
                };
                self.end(vec![Action::Send(last.into())])
            }
        }
    }

    /// Returns the heartbeat of a stream.
    pub(crate) fn heartbeat(&self) -> Option<Bytes> {
        match (self.phase, self.form) {
            (ExchangePhase::Answering, Form::Streaming(Streaming::Events)) => {
                Some(event_stream::HEARTBEAT.into())
            }
            (ExchangePhase::Answering, Form::Streaming(Streaming::Multipart)) => {
                Some(multipart::heartbeat())
            }
            _ => None,
        }
    }

    /// Returns the final actions for a connection that is closed before its operation has ended.
    pub(crate) fn closing_actions(&mut self, close: &Close) -> Vec<Action> {
        match (self.phase, self.form) {
            (ExchangePhase::Silent, _) if close.is_going_away() => {
                self.fail(Head::new(503), SHUTTING_DOWN)
            }
            (ExchangePhase::Silent, _) => {
                let head = Head::new(close.http_status());
                match self.refusal.take() {
                    Some(errors) => self.fail_with(head, &errors),
                    None => self.fail(head, &close.reason),
                }
            }
            (ExchangePhase::Answering, Form::Streaming(Streaming::Multipart))
                if !close.is_going_away() =>
            {
                self.phase = ExchangePhase::Ended;
                let errors = json!([{ "message": close.reason }]).to_string();
                vec![Action::Send(multipart::failure(errors.as_bytes()))]
            }
            // Without `complete`, the client knows that it should open the stream again.
            _ => Vec::new(),
        }
    }

    fn fail(&mut self, head: Head, message: &str) -> Vec<Action> {
        self.fail_with(head, json!([{"message": message}]).to_string().as_bytes())
    }

    /// Returns a response with a JSON array of errors.
    fn fail_with(&mut self, mut head: Head, errors: &[u8]) -> Vec<Action> {
        if head.status == 503 {
            head = head.with("retry-after", RETRY_AFTER);
        }
        let media = self.accepted.single.unwrap_or(Single::Json);
        let body = errors_only(errors);
        let head = head.with_type(media.content_type());
        self.end(vec![Action::Respond(head), Action::Send(body.into())])
    }

    fn end(&mut self, mut actions: Vec<Action>) -> Vec<Action> {
        self.phase = ExchangePhase::Ended;
        actions.push(Action::Close(Close::normal()));
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transports::Transports;

    fn exchange(accept: &str, is_get: bool) -> Exchange {
        let accepted = Accepted::read(Some(accept), Transports::default());
        let exchange = Exchange::new(Request::default(), accepted);
        if is_get {
            exchange.by_get(false)
        } else {
            exchange
        }
    }

    fn status(actions: &[Action]) -> u16 {
        match &actions[0] {
            Action::Respond(head) => head.status,
            other => panic!("{other:?} is no head"),
        }
    }

    #[test]
    fn the_media_type_decides_the_status_of_a_refused_document() {
        for (accept, expected) in [
            ("application/json", 200),
            ("application/graphql-response+json", 400),
        ] {
            let mut exchange = exchange(accept, false);
            assert_eq!(exchange.starting(None), Ok(vec![]));
            assert_eq!(status(&exchange.error(b"[]")), expected, "{accept}");
            assert_eq!(exchange.complete(), []);
        }
    }

    #[test]
    fn a_result_is_a_200_and_its_end_ends_the_body() {
        let mut exchange = exchange("application/json", true);
        assert_eq!(exchange.starting(Some(OperationKind::Query)), Ok(vec![]));
        assert_eq!(exchange.first_result().unwrap().status, 200);
        assert_eq!(exchange.first_result(), None);
        assert_eq!(exchange.complete(), [Action::Close(Close::normal())]);
    }

    #[test]
    fn get_never_runs_a_mutation() {
        let refused = exchange("*/*", true).starting(Some(OperationKind::Mutation));
        assert_eq!(status(&refused.unwrap_err()), 405);
        let allowed = exchange("*/*", false).starting(Some(OperationKind::Mutation));
        assert_eq!(allowed, Ok(vec![]));
    }

    #[test]
    fn a_subscription_needs_a_response_that_goes_on() {
        let refused = exchange("application/json", false);
        let refused = { refused }.starting(Some(OperationKind::Subscription));
        assert_eq!(status(&refused.unwrap_err()), 406);
        for accept in ["text/event-stream", "multipart/mixed, application/json"] {
            let mut exchange = exchange(accept, false);
            assert!(exchange.heartbeat().is_none());
            let head = exchange.starting(Some(OperationKind::Subscription));
            assert!(
                matches!(&head.unwrap()[..], [Action::Respond(_), Action::Send(_)]),
                "{accept}"
            );
            assert!(exchange.heartbeat().is_some());
        }
    }

    #[test]
    fn a_query_is_answered_whole_where_that_is_accepted() {
        let mut both = exchange(
            "multipart/mixed;deferSpec=20220824, application/json",
            false,
        );
        assert_eq!(both.starting(Some(OperationKind::Query)), Ok(vec![]));
        let mut events = exchange("text/event-stream", false);
        assert!(matches!(
            events.starting(Some(OperationKind::Query)),
            Ok(actions) if !actions.is_empty()
        ));
    }

    #[test]
    fn a_server_that_goes_away_leaves_no_last_word_but_a_503() {
        let close = Close::going_away();
        let silent = exchange("*/*", false).closing_actions(&close);
        assert_eq!(status(&silent), 503);
        let Action::Respond(head) = &silent[0] else {
            panic!("no head");
        };
        assert!(head.headers.iter().any(|(name, _)| *name == "retry-after"));
        for accept in ["text/event-stream", "multipart/mixed"] {
            let mut stream = exchange(accept, false);
            stream.starting(Some(OperationKind::Subscription)).unwrap();
            assert_eq!(stream.closing_actions(&close), [], "{accept}");
        }
    }

    #[test]
    fn a_close_is_told_by_a_status_or_by_the_last_part() {
        let close = Close::forbidden();
        assert_eq!(status(&exchange("*/*", false).closing_actions(&close)), 403);
        let mut parts = exchange("multipart/mixed", false);
        parts.starting(Some(OperationKind::Subscription)).unwrap();
        let [Action::Send(part)] = &parts.closing_actions(&close)[..] else {
            panic!("no part");
        };
        let part = String::from_utf8_lossy(part);
        assert!(part.contains(r#"{"payload":null,"errors":[{"message":"Forbidden"}]}"#));
        assert!(part.ends_with("--graphql--\r\n"));
    }

    #[test]
    fn a_head_is_that_of_the_response_to_a_get_and_runs_no_subscription() {
        let head = |accept| exchange(accept, true).by_get(true);
        let mut query = head("application/json");
        assert_eq!(query.starting(Some(OperationKind::Query)), Ok(vec![]));
        let refused = head("*/*").starting(Some(OperationKind::Mutation));
        assert_eq!(status(&refused.unwrap_err()), 405);
        let ended = head("text/event-stream").starting(Some(OperationKind::Subscription));
        let ended = ended.unwrap_err();
        assert_eq!(status(&ended), 200);
        assert_eq!(ended[1..], [Action::Close(Close::normal())]);
    }

    #[test]
    fn what_is_tried_again_later_says_when() {
        let actions = exchange("*/*", false).closing_actions(&Close::going_away());
        let [Action::Respond(head), ..] = &actions[..] else {
            panic!("no head");
        };
        assert_eq!(head.status, 503);
        assert!(head.headers.contains(&("retry-after".into(), "1".into())));
    }
}
