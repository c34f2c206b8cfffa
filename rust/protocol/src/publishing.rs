//! Requests to publish events over HTTP, and their responses.
//!
//! A body is one event, or a list of events: `{"channel", "data", "event_type"?, "tenant_id"?,
//! "event_id"?}`. All of it is checked before an event is published. Not here: keys (`security`),
//! publishing (`runtime`).

use std::fmt::Display;

use indexed_json::IndexedJson;
use serde_json::{Value, json};

use crate::head::Head;
use crate::http_request::HttpRequest;
use crate::json::{JsonSlice, Reader, Unreadable};
use crate::members::{self, Fault};
use crate::posted::{bad_request, json_text};
use crate::response::{RETRY_AFTER, Response};

/// Events that one request may publish (count).
pub const MAX_EVENTS: usize = 1_000;

/// The members of an event.
const MEMBERS: [&str; 5] = ["channel", "data", "event_type", "tenant_id", "event_id"];
const CHANNEL: usize = 0;
const DATA: usize = 1;
const EVENT_TYPE: usize = 2;
const TENANT_ID: usize = 3;
const EVENT_ID: usize = 4;

/// Letters of an unknown member that an error shows (count).
const SHOWN: usize = 40;

const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// An event that a client wants to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedEvent {
    /// Routing key, at least one character.
    pub channel: String,
    /// What `event_types` of subscriptions select by.
    pub event_type: Option<String>,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// The publisher's own id.
    pub event_id: Option<String>,
    /// The published data.
    pub data: IndexedJson,
}

/// The body of a request to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct PostedEvents {
    /// The events, in their order.
    pub events: Vec<PostedEvent>,
    /// Whether the body is a list; the response is a list then.
    pub is_list: bool,
}

/// What has become of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventAnswer {
    /// It was published.
    Published {
        /// The publisher's id, or one that the bus created.
        event_id: String,
        /// Its number in its stream, counted from 1; 0: it is queued.
        offset: u64,
        /// Its position, `<epoch>-<offset>`; `None`: it is queued, and has none yet.
        position: Option<String>,
    },
    /// It was not published, or that is not known.
    Failed {
        /// What went wrong.
        message: String,
        /// Whether publishing it again may succeed.
        is_retryable: bool,
        /// Whether it may have been published.
        is_unknown: bool,
    },
}

impl EventAnswer {
    fn to_json(&self) -> Value {
        match self {
            Self::Published {
                event_id,
                offset,
                position,
            } => json!({"event_id": event_id, "offset": offset, "position": position}),
            Self::Failed {
                message,
                is_retryable,
                is_unknown,
            } => failure(message, *is_retryable, *is_unknown),
        }
    }
}

fn failure(message: &str, is_retryable: bool, is_unknown: bool) -> Value {
    let outcome = if is_unknown { "unknown" } else { "not_sent" };
    json!({"error": message, "retryable": is_retryable, "outcome": outcome})
}

/// Creates the response to events that were checked. Its status is that of the worst of them: 200
/// published, 202 some are queued, 503 some may be published again, 502 some cannot be published.
#[must_use]
pub fn answer(answers: &[EventAnswer], is_list: bool) -> Response {
    let status = answers.iter().map(status_of).max_by_key(|status| {
        // One that must not be repeated as it is counts more than one that may.
        [200, 202, 503, 502]
            .iter()
            .position(|known| known == status)
    });
    let mut head = Head::of_type(status.unwrap_or(200), CONTENT_TYPE);
    if answers.iter().any(|answer| status_of(answer) == 503) {
        head = head.with("retry-after", RETRY_AFTER);
    }
    let body = match answers {
        [answer] if !is_list => answer.to_json(),
        answers => answers.iter().map(EventAnswer::to_json).collect(),
    };
    Response {
        head,
        body: body.to_string().into(),
    }
}

fn status_of(answer: &EventAnswer) -> u16 {
    match answer {
        EventAnswer::Published {
            position: Some(_), ..
        } => 200,
        EventAnswer::Published { position: None, .. } => 202,
        EventAnswer::Failed {
            is_retryable: true, ..
        } => 503,
        EventAnswer::Failed { .. } => 502,
    }
}

/// Creates the response to a request of which nothing was published, and never will be as it is.
#[must_use]
pub fn refusal(status: u16, message: &str) -> Response {
    Response {
        head: Head::of_type(status, CONTENT_TYPE),
        body: failure(message, false, false).to_string().into(),
    }
}

/// Writes a refusal of a request in the form of this endpoint.
#[must_use]
pub fn refused(refusal: &Response) -> Response {
    let message = refusal.message().unwrap_or_default();
    let is_retryable = matches!(refusal.head.status, 408 | 429 | 503);
    Response {
        head: refusal.head.clone(),
        body: failure(&message, is_retryable, false).to_string().into(),
    }
}

/// Names an event of a request in error texts.
#[must_use]
pub fn place(index: usize, is_list: bool) -> String {
    match is_list {
        true => format!("events[{index}]"),
        false => "the event".to_owned(),
    }
}

/// Reads a request. `max_bytes`: what its values may take in memory (bytes).
///
/// # Errors
///
/// The response to an invalid request, which names the event and the member.
pub fn read(request: HttpRequest<'_>, max_bytes: usize) -> Result<PostedEvents, Response> {
    read_events(request, max_bytes).map_err(|response| refused(&response))
}

fn read_events(request: HttpRequest<'_>, max_bytes: usize) -> Result<PostedEvents, Response> {
    let text = json_text(request)?;
    let is_list = text.trim_start().starts_with('[');
    let (mut listed, mut count) = (Vec::new(), 0_usize);
    let whole = members::read(text, |reader| {
        let mut event = None;
        let whole = if is_list {
            reader.list(|reader| {
                count += 1;
                if count > MAX_EVENTS {
                    return reader.pass();
                }
                listed.push(EventMembers::read(reader)?);
                Ok(())
            })?
        } else {
            let members = EventMembers::read(reader)?;
            let whole = members.whole;
            event = Some(members);
            whole
        };
        listed.extend(event);
        Ok(whole)
    });
    let invalid = |index, problem: &dyn Display| {
        let place = place(index, is_list);
        Response::error(400, &format!("Invalid request: {place}: {problem}"))
    };
    let whole = whole.map_err(|fault| match fault {
        // It is the last event that was begun.
        Fault::Unreadable(_) => invalid(count.saturating_sub(1), &fault),
        fault => bad_request(fault),
    })?;
    if count > MAX_EVENTS {
        let problem = format!("a request may have at most {MAX_EVENTS} events: send several");
        return Err(Response::error(413, &problem));
    }
    if whole.footprint.tree > max_bytes {
        let problem = "the events take too much memory: send fewer values at once";
        return Err(Response::error(413, problem));
    }
    let events = listed.iter().enumerate().map(|(index, members)| {
        let event = members.event();
        event.map_err(|problem| invalid(index, &problem))
    });
    Ok(PostedEvents {
        events: events.collect::<Result<_, _>>()?,
        is_list,
    })
}

/// The members of an event, not decoded.
struct EventMembers<'t> {
    whole: JsonSlice<'t>,
    values: [Option<JsonSlice<'t>>; MEMBERS.len()],
    /// A member that is given twice: another reader might take the other one.
    repeated: Option<&'static str>,
    /// A member that no event has.
    unknown: Option<String>,
}

impl<'t> EventMembers<'t> {
    fn read(reader: &mut Reader<'t>) -> Result<Self, Unreadable> {
        let mut values = [None; MEMBERS.len()];
        let (mut repeated, mut unknown) = (None, None);
        let whole = reader.object(|reader, name| {
            match MEMBERS.iter().position(|known| *known == name) {
                Some(member) => {
                    let value = reader.value()?;
                    if values[member].replace(value).is_some() {
                        repeated = Some(MEMBERS[member]);
                    }
                }
                None => {
                    unknown.get_or_insert_with(|| name.chars().take(SHOWN).collect::<String>());
                    reader.pass()?;
                }
            }
            Ok(())
        })?;
        Ok(Self {
            whole,
            values,
            repeated,
            unknown,
        })
    }

    /// Decodes the event, or says what is wrong with it.
    fn event(&self) -> Result<PostedEvent, String> {
        if !self.whole.is_object() {
            return Err("it is no JSON object with `channel` and `data`".to_owned());
        }
        if let Some(name) = self.repeated {
            return Err(format!("`{name}` is given twice"));
        }
        if let Some(name) = &self.unknown {
            let known = MEMBERS.map(|name| format!("`{name}`")).join(", ");
            return Err(format!(
                "{name:?} is no member of an event, which has {known}"
            ));
        }
        let missing = |member: usize| format!("`{}` is missing", MEMBERS[member]);
        let channel = self.text(CHANNEL)?.ok_or_else(|| missing(CHANNEL))?;
        if channel.is_empty() {
            return Err("`channel` is empty: name one, such as `orders`".to_owned());
        }
        let data = self.values[DATA].ok_or_else(|| missing(DATA))?;
        let unreadable =
            |error: indexed_json::Unreadable| format!("`data` cannot be read: {error}");
        Ok(PostedEvent {
            channel,
            event_type: self.text(EVENT_TYPE)?,
            tenant_id: self.text(TENANT_ID)?,
            event_id: self.text(EVENT_ID)?,
            data: IndexedJson::read(data.text).map_err(unreadable)?,
        })
    }

    /// Returns a member that is a string; `null` counts as absent.
    fn text(&self, member: usize) -> Result<Option<String>, String> {
        let Some(value) = self.values[member].and_then(JsonSlice::given) else {
            return Ok(None);
        };
        let text = value.string();
        text.map(Some)
            .ok_or_else(|| format!("`{}` must be a string", MEMBERS[member]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(body: &str) -> Result<PostedEvents, Response> {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let request = HttpRequest {
            method: "POST",
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        read(request, 1 << 20)
    }

    fn error_of(body: &str) -> (u16, String) {
        let response = asked(body).unwrap_err();
        let told: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(told["outcome"], "not_sent");
        let message = told["error"].as_str().unwrap().to_owned();
        (response.head.status, message)
    }

    #[test]
    fn a_body_is_one_event_or_a_list() {
        let one = asked(r#" {"channel":"orders","data":{"id":7}} "#).unwrap();
        assert!(!one.is_list);
        assert_eq!(one.events[0].channel, "orders");
        assert_eq!(one.events[0].data, json!({"id": 7}));
        assert_eq!(one.events[0].event_id, None);
        let list = asked(
            r#" [{"channel":"a","data":null,"event_type":"t","tenant_id":"x","event_id":"i"},
                {"channel":"b","data":[1],"event_type":null}]"#,
        )
        .unwrap();
        assert!(list.is_list);
        assert_eq!(list.events.len(), 2);
        assert_eq!(list.events[0].data, Value::Null);
        assert_eq!(list.events[0].event_type.as_deref(), Some("t"));
        assert_eq!(list.events[0].tenant_id.as_deref(), Some("x"));
        assert_eq!(list.events[0].event_id.as_deref(), Some("i"));
        assert_eq!(list.events[1].event_type, None);
        assert!(asked("[]").unwrap().events.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let deep = format!(
            r#"{{"channel":"a","data":{}{}}}"#,
            "[".repeat(127),
            "]".repeat(127)
        );
        for (body, part) in [
            ("", "it is not JSON"),
            ("{", "it is not JSON"),
            ("7", "the event: it is no JSON object"),
            ("null", "the event: it is no JSON object"),
            ("[7]", "events[0]: it is no JSON object"),
            ("[[]]", "events[0]: it is no JSON object"),
            ("{}", "the event: `channel` is missing"),
            (r#"{"channel":"a"}"#, "`data` is missing"),
            (r#"{"channel":null,"data":1}"#, "`channel` is missing"),
            (r#"{"channel":7,"data":1}"#, "`channel` must be a string"),
            (r#"{"channel":"","data":1}"#, "`channel` is empty"),
            (
                r#"[{"channel":"a","data":1},{"channel":"a","data":1,"event_id":7}]"#,
                "events[1]: `event_id` must be a string",
            ),
            (
                r#"{"channel":"a","channel":"b","data":1}"#,
                "`channel` is given twice",
            ),
            (
                r#"{"channel":"a","data":1,"d\u0061ta":2}"#,
                "`data` is given twice",
            ),
            (
                r#"{"channel":"a","data":1,"type":"t"}"#,
                "\"type\" is no member",
            ),
            (r#"{"channel":"a","data":"\ud800"}"#, "a lone surrogate"),
            (r#"{"channel":"\udc00","data":1}"#, "a lone surrogate"),
            (r#"{"channel":"a","data":1e999}"#, "a number out of range"),
            (&deep, "the event: it cannot be read (more than 127 levels)"),
            (
                r#"[{"channel":"a","data":1},{"channel":"a","data":"\ud800"}]"#,
                "events[1]: it cannot be read (a lone surrogate)",
            ),
        ] {
            let (status, message) = error_of(body);
            assert_eq!(status, 400, "{body}");
            assert!(message.contains(part), "{body}: {message}");
        }
    }

    #[test]
    fn number_and_memory_of_events_are_bounded() {
        let event = r#"{"channel":"a","data":1}"#;
        let list = |count: usize| format!("[{}]", vec![event; count].join(","));
        assert_eq!(asked(&list(MAX_EVENTS)).unwrap().events.len(), MAX_EVENTS);
        assert_eq!(error_of(&list(MAX_EVENTS + 1)).0, 413);
        let small = format!(r#"{{"channel":"a","data":[{}0]}}"#, "{},".repeat(50_000));
        assert_eq!(error_of(&small).0, 413);
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written(
            channel in "\\PC{1,20}",
            texts in prop::array::uniform3(prop::option::of("\\PC{0,20}")),
            data in "\\PC{0,20}",
        ) {
            let [event_type, tenant_id, event_id] = texts;
            let body = json!({
                "event_id": event_id, "channel": channel, "tenant_id": tenant_id,
                "data": [data, {"n": 1}], "event_type": event_type,
            });
            let event = PostedEvent { channel, event_type, tenant_id, event_id, data: json!([data, {"n": 1}]).into() };
            let list = json!([body, body]).to_string();
            prop_assert_eq!(&asked(&body.to_string()).unwrap().events, std::slice::from_ref(&event));
            prop_assert_eq!(asked(&list).unwrap().events, vec![event.clone(), event]);
        }

        #[test]
        fn any_text_is_read_or_refused_with_words(body in "[\\[\\]{},:\"0-9a-z ]{0,40}") {
            if let Err(refusal) = asked(&body) {
                let told: Value = serde_json::from_slice(&refusal.body).unwrap();
                prop_assert!(!told["error"].as_str().unwrap().is_empty());
            }
        }
    }

    #[test]
    fn other_media_types_are_refused() {
        let headers = [("content-type".to_owned(), "text/plain".to_owned())];
        let request = HttpRequest {
            method: "POST",
            query: "",
            headers: &headers,
            body: b"{}",
        };
        assert_eq!(read(request, 1).unwrap_err().head.status, 415);
    }

    #[test]
    fn the_status_is_that_of_the_worst_event() {
        let published = |position: Option<&str>| EventAnswer::Published {
            event_id: "i".to_owned(),
            offset: 1,
            position: position.map(str::to_owned),
        };
        let failed = |is_retryable| EventAnswer::Failed {
            message: "away".to_owned(),
            is_retryable,
            is_unknown: true,
        };
        for (expected, answers) in [
            (200, vec![]),
            (200, vec![published(Some("e-1"))]),
            (202, vec![published(None), published(Some("e-1"))]),
            (503, vec![published(None), failed(true)]),
            (502, vec![failed(true), failed(false), published(None)]),
        ] {
            let response = answer(&answers, true);
            assert_eq!(response.head.status, expected);
            let body: Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(body.as_array().unwrap().len(), answers.len());
        }
        let one = answer(&[failed(true)], false);
        let body: Value = serde_json::from_slice(&one.body).unwrap();
        let expected = json!({"error": "away", "retryable": true, "outcome": "unknown"});
        assert_eq!(body, expected);
        let is_told = |(name, _): &(_, _)| name == "retry-after";
        assert!(one.head.headers.iter().any(is_told));
    }
}
