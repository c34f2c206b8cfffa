//! HTTP requests, read: what a client asks for, or the response that says what is wrong.
//!
//! Source: GraphQL over HTTP; PROTOCOL.md of graphql-sse.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::accept::Accepted;
use crate::event_stream;
use crate::exchange::Exchange;
use crate::head::Head;
use crate::members::{self, Fault};
use crate::operation::{OperationId, Request};

/// Header with the token of a reserved event stream.
const TOKEN_HEADER: &str = "x-graphql-event-stream-token";

/// Methods with a meaning here.
const ALLOW: &str = "GET, POST, PUT, DELETE, OPTIONS";

/// A request as it was received.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// Method, in capitals.
    pub method: &'a str,
    /// What follows the `?` of the target, undecoded.
    pub query: &'a str,
    /// Headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

impl HttpRequest<'_> {
    /// The first header of this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All headers of this name as the one list that they are; `None` without any.
    fn list(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = found.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The token of the event stream that it is about.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let header = self.header(TOKEN_HEADER).map(str::to_owned);
        header.or_else(|| self.parameter("token"))
    }
}

/// What a request asks for.
#[derive(Debug)]
pub enum Asked {
    /// Run one operation and answer.
    Run(Exchange),
    /// Reserve an event stream.
    Reserve,
    /// Read the reserved event stream.
    Open {
        /// Names the stream.
        token: String,
    },
    /// Run an operation whose results go to the event stream.
    Start {
        /// Names the stream.
        token: String,
        /// Names the operation.
        id: OperationId,
        /// What it asks for.
        request: Request,
    },
    /// End an operation of an event stream.
    Stop {
        /// Names the stream.
        token: String,
        /// Names the operation.
        id: OperationId,
    },
    /// Show the page for browsers.
    Page,
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A response that says in GraphQL's form what is wrong.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        let body = json!({"errors": [{"message": message}]}).to_string();
        Self {
            head: Head::of_type(status, "application/json; charset=utf-8"),
            body: body.into(),
        }
    }

    /// A response to a document that is refused, with a JSON array of errors.
    #[must_use]
    pub fn refused(errors: &[u8]) -> Self {
        Self {
            head: Head::of_type(400, "application/json; charset=utf-8"),
            body: event_stream::errors_only(errors).into(),
        }
    }

    /// A response without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            head: Head::new(status),
            body: Bytes::new(),
        }
    }

    /// A short text.
    #[must_use]
    pub fn text(status: u16, text: String) -> Self {
        Self {
            head: Head::of_type(status, "text/plain; charset=utf-8"),
            body: text.into(),
        }
    }

    /// A page for browsers.
    #[must_use]
    pub fn page(html: Bytes) -> Self {
        Self {
            head: Head::of_type(200, "text/html; charset=utf-8")
                .with("cache-control", "no-cache")
                .with("vary", "accept"),
            body: html,
        }
    }

    /// A request for more than the server takes.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body may have at most {limit_bytes} bytes");
        Self::error(413, &message)
    }

    /// Tells the methods that have a meaning.
    fn allowing(mut self) -> Self {
        self.head = self.head.with("allow", ALLOW);
        self
    }

    /// No stream has this token.
    #[must_use]
    pub fn no_stream() -> Self {
        Self::error(404, "no event stream has this token: reserve one with PUT")
    }
}

/// The head of the response that opens a reserved event stream.
#[must_use]
pub fn stream_head() -> Head {
    Head::stream(event_stream::CONTENT_TYPE)
}

/// Reads a request.
///
/// # Errors
///
/// The response to one that asks for nothing: it says what is wrong, or what may be asked.
pub fn read(request: HttpRequest<'_>) -> Result<Asked, Response> {
    let accepted = Accepted::read(request.list("accept").as_deref());
    let token = request.token();
    match (request.method, token) {
        ("PUT", _) => Ok(Asked::Reserve),
        ("GET", Some(token)) => Ok(Asked::Open { token }),
        ("POST", Some(token)) => {
            let mut members = posted(request)?;
            let request = graphql_request(request, &mut members)?;
            let id = request
                .extensions
                .get("operationId")
                .and_then(Value::as_str);
            let Some(id) = id.filter(|id| !id.is_empty()).map(OperationId::from) else {
                return Err(Response::error(400, "`extensions.operationId` is missing"));
            };
            Ok(Asked::Start { token, id, request })
        }
        ("DELETE", Some(token)) => match request.parameter("operationId") {
            Some(id) => Ok(Asked::Stop {
                token,
                id: OperationId::from(id.as_str()),
            }),
            None => Err(Response::error(
                400,
                "the parameter `operationId` is missing",
            )),
        },
        ("DELETE", None) => Err(Response::no_stream()),
        ("GET", None) if accepted.html && request.parameter("query").is_none() => Ok(Asked::Page),
        ("GET", None) => run(request, parameters(request.query)?, accepted),
        ("POST", None) => run(request, posted(request)?, accepted),
        ("OPTIONS", _) => Err(Response::empty(204).allowing()),
        _ => Err(Response::error(405, "send GET or POST").allowing()),
    }
}

fn run(
    http: HttpRequest<'_>,
    mut members: Map<String, Value>,
    accepted: Accepted,
) -> Result<Asked, Response> {
    if accepted.single.is_none() && accepted.streaming.is_none() {
        return Err(Response::error(
            406,
            "accept application/graphql-response+json, application/json, text/event-stream or multipart/mixed",
        ));
    }
    let request = graphql_request(http, &mut members)?;
    Ok(Asked::Run(Exchange::new(
        request,
        accepted,
        http.method == "GET",
    )))
}

fn graphql_request(
    http: HttpRequest<'_>,
    members: &mut Map<String, Value>,
) -> Result<Request, Response> {
    let mut request = members::request(members, &members::PLAIN).map_err(bad_request)?;
    request.last_event_id = http.header("last-event-id").map(Into::into);
    Ok(request)
}

/// The members of a posted JSON object.
fn posted(request: HttpRequest<'_>) -> Result<Map<String, Value>, Response> {
    let content_type = request.header("content-type").unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let charset = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map_or("utf-8", |(_, charset)| charset.trim().trim_matches('"'));
    if !is_json || !charset.eq_ignore_ascii_case("utf-8") {
        return Err(Response::error(
            415,
            "send the request as `content-type: application/json`, in UTF-8",
        ));
    }
    members::object(request.body).map_err(bad_request)
}

/// The members that a GET has as parameters of its target.
fn parameters(query: &str) -> Result<Map<String, Value>, Response> {
    let mut members = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value: Cow<'_, str> = value;
        let value = match &*name {
            "query" | "operationName" | "documentId" => Value::from(&*value),
            "variables" | "extensions" if value.is_empty() => Value::Null,
            "variables" | "extensions" => serde_json::from_str(&value).map_err(|error| {
                Response::error(
                    400,
                    &format!("the parameter `{name}` is not JSON ({error})"),
                )
            })?,
            _ => continue,
        };
        members.insert(name.into_owned(), value);
    }
    Ok(members)
}

fn bad_request(fault: Fault) -> Response {
    Response::error(400, &format!("Invalid request: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn status(method: &str, query: &str, pairs: &[(&str, &str)], body: &str) -> u16 {
        let headers = headers(pairs);
        let request = HttpRequest {
            method,
            query,
            headers: &headers,
            body: body.as_bytes(),
        };
        read(request).map_or_else(|response| response.head.status, |_| 200)
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    #[test]
    fn what_is_wrong_with_a_request_has_its_status() {
        let body = r#"{"query":"{ a }"}"#;
        for (expected, method, query, pairs, body) in [
            (200, "POST", "", &[JSON][..], body),
            (400, "POST", "", &[JSON], "{"),
            (400, "POST", "", &[JSON], "[]"),
            (400, "POST", "", &[JSON], "{}"),
            (400, "POST", "", &[JSON], r#"{"query":1}"#),
            (400, "POST", "", &[JSON], r#"{"query":"","variables":[]}"#),
            (415, "POST", "", &[], body),
            (415, "POST", "", &[("content-type", "text/plain")], body),
            (
                415,
                "POST",
                "",
                &[("content-type", "application/json;charset=latin-1")],
                body,
            ),
            (406, "POST", "", &[JSON, ("accept", "image/png")], body),
            (200, "GET", "query=%7Ba%7D&variables=%7B%7D", &[], ""),
            (400, "GET", "query=%7Ba%7D&variables=1%7D", &[], ""),
            (400, "GET", "", &[], ""),
            (405, "PATCH", "", &[], ""),
            (204, "OPTIONS", "", &[], ""),
            (
                406,
                "GET",
                "query=%7Ba%7D",
                &[("accept", "image/png"), ("accept", "image/gif")],
                "",
            ),
            (
                200,
                "GET",
                "query=%7Ba%7D",
                &[("accept", "image/png"), ("accept", "application/json")],
                "",
            ),
            (200, "PUT", "", &[], ""),
            (200, "GET", "token=t", &[], ""),
            (400, "POST", "token=t", &[JSON], body),
            (400, "DELETE", "token=t", &[], ""),
            (404, "DELETE", "", &[], ""),
        ] {
            let found = status(method, query, pairs, body);
            assert_eq!(found, expected, "{method} ?{query} {pairs:?} {body}");
        }
    }

    #[test]
    fn the_last_event_id_is_where_a_client_resumes() {
        let headers = headers(&[("last-event-id", "7")]);
        let request = HttpRequest {
            method: "GET",
            query: "query=%7Ba%7D",
            headers: &headers,
            body: b"",
        };
        let Ok(Asked::Run(mut exchange)) = read(request) else {
            panic!("not read");
        };
        let actions = exchange.accept();
        let [crate::Action::Subscribe { request, .. }] = &actions[..] else {
            panic!("nothing to run");
        };
        let after = request.resume().unwrap().after;
        assert_eq!(after.as_deref(), Some("7"));
    }
}
