//! Reads HTTP requests: returns the task that a client requests, or an error response.
//!
//! Source: GraphQL over HTTP; PROTOCOL.md of graphql-sse.

use crate::accept::Accepted;
use crate::event_stream;
use crate::exchange::Exchange;
use crate::extensions::{ExtensionMembers, Extensions};
use crate::head::Head;
pub use crate::http_request::{HttpRequest, parameters};
use crate::json::{JsonObject, Reader, Unreadable};
use crate::members;
use crate::operation::{OperationId, Request};
use crate::posted::{bad_request, posted};
pub use crate::response::Response;
use crate::transports::Transports;

/// The task that a request asks for.
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
        /// The GraphQL request.
        request: Request,
    },
    /// End an operation of an event stream.
    Stop {
        /// Names the stream.
        token: String,
        /// Names the operation.
        id: OperationId,
    },
    /// Send GraphiQL, the page for browsers.
    Page,
}

/// Returns the head of the response that opens a reserved event stream.
#[must_use]
pub fn stream_head() -> Head {
    Head::stream(event_stream::CONTENT_TYPE)
}

/// Reads a request. `is_reserved`: whether a token names a reserved event stream.
///
/// # Errors
///
/// The response to an invalid request: it says what is wrong, or which requests are possible.
pub fn read(
    request: HttpRequest<'_>,
    transports: Transports,
    is_reserved: impl Fn(&str) -> bool,
) -> Result<Asked, Response> {
    let accepted = Accepted::read(request.list("accept").as_deref(), transports);
    let stream = request.stream(is_reserved).filter(|_| transports.sse);
    match (request.method, stream) {
        ("PUT", _) if transports.sse => Ok(Asked::Reserve),
        ("GET", Some(token)) => Ok(Asked::Open { token }),
        // A stream can be opened only once, by GET; a HEAD must not open it.
        ("HEAD", Some(_)) => Err(Response::of_head(stream_head())),
        ("GET" | "HEAD", None) if !request.asks() && accepted.html => Ok(Asked::Page),
        ("GET" | "HEAD", None) if !request.asks() && transports.sse && request.has_token() => {
            Err(Response::no_stream())
        }
        ("GET" | "HEAD", None) if transports.get => {
            run(request, || asked_by_get(request), accepted)
        }
        ("POST", Some(token)) => {
            let request = asked_by_post(request)?;
            let Some(id) = request.extensions.operation_id().cloned() else {
                return Err(Response::error(400, "`extensions.operationId` is missing"));
            };
            Ok(Asked::Start { token, id, request })
        }
        ("POST", None) if transports.post => run(request, || asked_by_post(request), accepted),
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
        ("DELETE", None) if transports.sse => Err(Response::no_stream()),
        ("OPTIONS", _) => Err(allowing(Response::empty(204), transports)),
        _ => {
            let refusal = Response::error(405, transports.method_advice());
            Err(allowing(refusal, transports))
        }
    }
}

/// Adds the `allow` header with the supported methods.
fn allowing(mut response: Response, transports: Transports) -> Response {
    response.head = response.head.with("allow", transports.methods());
    response
}

fn run(
    http: HttpRequest<'_>,
    read: impl FnOnce() -> Result<Request, Response>,
    accepted: Accepted,
) -> Result<Asked, Response> {
    if accepted.single.is_none() && accepted.streaming.is_none() {
        let types = accepted.offered.media_types();
        return Err(Response::error(406, &format!("accept one of {types}")));
    }
    let may_be_for_stream = accepted.offered.sse && http.method == "POST" && http.has_token();
    let request = read()?;
    if may_be_for_stream && request.extensions.operation_id().is_some() {
        // The request is for a stream, perhaps of another process.
        return Err(Response::no_stream());
    }
    let exchange = Exchange::new(request, accepted);
    Ok(Asked::Run(match http.method {
        "POST" => exchange,
        _ => exchange.by_get(http.is_head()),
    }))
}

fn asked_by_post(http: HttpRequest<'_>) -> Result<Request, Response> {
    let mut request = posted(http)?
        .request(&members::PLAIN)
        .map_err(bad_request)?;
    request.last_event_id = http.header("last-event-id").map(Into::into);
    Ok(request)
}

/// Reads a GET, whose parameters are the members of the request. Empty ones count as absent.
fn asked_by_get(http: HttpRequest<'_>) -> Result<Request, Response> {
    let mut request = Request {
        last_event_id: http.header("last-event-id").map(Into::into),
        ..Request::default()
    };
    for (name, value) in parameters(http.query).filter(|(_, value)| !value.is_empty()) {
        match &*name {
            "query" => request.query = Some(value.into_owned()),
            "operationName" => request.operation_name = Some(value.into_owned()),
            "documentId" => request.document_id = Some(value.into_owned()),
            "variables" => request.variables = variables(&value)?,
            "extensions" => request.extensions = extensions(&value)?,
            _ => {}
        }
    }
    request.checked(&members::PLAIN).map_err(bad_request)
}

fn variables(text: &str) -> Result<JsonObject, Response> {
    let name = "variables";
    let value = parameter(name, text, Reader::value)?.given();
    let object = members::optional_object(value, name).map_err(bad_request)?;
    Ok(object.unwrap_or_default())
}

fn extensions(text: &str) -> Result<Extensions, Response> {
    let name = "extensions";
    let extensions = parameter(name, text, ExtensionMembers::read)?;
    match extensions.whole.given() {
        None => Ok(Extensions::default()),
        Some(_) => members::checked_extensions(&extensions, name).map_err(bad_request),
    }
}

/// Parses a parameter that is JSON.
fn parameter<'t, T>(
    name: &str,
    text: &'t str,
    read: impl FnOnce(&mut Reader<'t>) -> Result<T, Unreadable>,
) -> Result<T, Response> {
    members::read(text, read).map_err(|fault| {
        Response::error(400, &format!("the parameter `{name}` is invalid: {fault}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_request::TOKEN_HEADER;

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
        read(request, Transports::default(), |token| token == "reserved")
            .map_or_else(|response| response.head.status, |_| 200)
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
            (200, "GET", "token=reserved", &[], ""),
            (200, "HEAD", "token=reserved", &[], ""),
            (400, "POST", "token=reserved", &[JSON], body),
            (400, "DELETE", "token=reserved", &[], ""),
            (404, "DELETE", "", &[], ""),
            (404, "DELETE", "token=t&operationId=1", &[], ""),
        ] {
            let actual = status(method, query, pairs, body);
            assert_eq!(actual, expected, "{method} ?{query} {pairs:?} {body}");
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
        let Ok(Asked::Run(mut exchange)) = read(request, Transports::default(), |_| false) else {
            panic!("not read");
        };
        let actions = exchange.accept();
        let [crate::Action::Subscribe { request, .. }] = &actions[..] else {
            panic!("nothing to run");
        };
        let after = request.resume().unwrap().after;
        assert_eq!(after.as_deref(), Some("7"));
    }

    const STREAM: &str = r#"{"query":"{ a }","extensions":{"operationId":"1"}}"#;

    #[test]
    fn a_token_that_names_no_stream_is_none() {
        let header = |token| [JSON, (TOKEN_HEADER, token)];
        for (expected, method, query, pairs, body) in [
            (200, "GET", "token=t&query=%7Ba%7D", &[][..], ""),
            (200, "HEAD", "token=t&query=%7Ba%7D", &[], ""),
            (200, "POST", "token=t", &[JSON], r#"{"query":"{ a }"}"#),
            (200, "GET", "token=t&token=reserved", &[], ""),
            (200, "GET", "token=t", &[("accept", "text/html")], ""),
            // The request can only be meant for a stream.
            (
                404,
                "GET",
                "token=t",
                &[("accept", "text/event-stream")],
                "",
            ),
            (404, "POST", "token=t", &[JSON], STREAM),
            // The header has no other use.
            (200, "GET", "", &[(TOKEN_HEADER, "t")], ""),
            (200, "POST", "token=t", &header("reserved"), STREAM),
            (400, "POST", "", &header("t"), r#"{"query":"{ a }"}"#),
            (400, "GET", "token=", &[], ""),
        ] {
            let actual = status(method, query, pairs, body);
            assert_eq!(actual, expected, "{method} ?{query} {pairs:?} {body}");
        }
    }

    #[test]
    fn empty_parameters_are_as_if_left_out() {
        for (expected, query) in [
            (200, "query=%7Ba%7D&operationName=&variables=&extensions="),
            (200, "query=%7Ba%7D&documentId="),
            (200, "query=&documentId=a"),
            (400, "query="),
            (400, "query=&operationName=a"),
            (400, "query=%7Ba%7D&variables=%22"),
        ] {
            assert_eq!(status("GET", query, &[], ""), expected, "{query}");
        }
    }

    #[test]
    fn what_is_no_unicode_is_a_400_wherever_it_stands() {
        let query = "query=%7Ba%7D&variables=%7B%22a%22%3A%22%5Cud800%22%7D";
        assert_eq!(status("GET", query, &[], ""), 400);
        for body in [
            r#"{"query":"{ a(b: \"\ud800\") }"}"#,
            r#"{"query":"{ a }","operationName":"\udc00"}"#,
            r#"{"query":"{ a }","variables":{"\ud800":1}}"#,
            r#"{"query":"{ a }","extensions":{"a":["\ud800\ud800"]}}"#,
        ] {
            assert_eq!(status("POST", "", &[JSON], body), 400, "{body}");
        }
    }
}
