//! Heads of requests: their size, and the client that they describe.

use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderValue};
use runtime::{Client, Headers, opaque_id};
use security::is_same_host;

/// Fields of one head (count). HTTP/1.1 allows at most 96; over HTTP/2 browsers send each cookie in
/// a separate field.
const MAX_FIELDS: usize = 256;

/// Overhead of each field in addition to its name and value (RFC 9113, section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// Returns the size of a head: its target, and the names and values of its fields with their
/// overhead (bytes).
pub(crate) fn head_bytes(head: &RequestHead) -> usize {
    let target = head.uri.path_and_query().map_or(0, |t| t.as_str().len());
    let authority = head.uri.authority().map_or(0, |a| a.as_str().len());
    let fields = head.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    target + authority + fields.sum::<usize>()
}

/// Whether a head is past the limit (bytes), or has too many fields.
pub(crate) fn is_too_large(head: &RequestHead, limit_bytes: usize) -> bool {
    head.headers.len() > MAX_FIELDS || head_bytes(head) > limit_bytes
}

/// Returns why a head is invalid for any request: it has two different server names.
pub(crate) fn fault_of(head: &RequestHead) -> Option<&'static str> {
    let authority = head.uri.authority()?.as_str();
    if authority.contains('@') {
        return Some("the target has credentials: leave them out");
    }
    let scheme = head.uri.scheme_str();
    let is_other = |host: &HeaderValue| !is_same_host(&text_of(host), authority, scheme);
    let mut hosts = head.headers.get_all(header::HOST);
    hosts
        .any(is_other)
        .then_some("the target and `host` name different servers")
}

/// Returns a value as text. Bytes outside ASCII are decoded as Latin-1, as in Python servers; if
/// the header were dropped, it would look as if it had not been sent.
fn text_of(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

/// Returns the wanted headers of a request, names in lower case, values as text.
pub(crate) fn headers_of(head: &RequestHead, is_wanted: impl Fn(&str) -> bool) -> Headers {
    let mut headers: Vec<(String, String)> = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let name = name.as_str();
        if !is_wanted(name) {
            continue;
        }
        let value = text_of(value);
        // HTTP/2 may send each cookie in a separate field; they are one header (RFC 9113, section
        // 8.2.3).
        let cookies = headers.iter_mut().find(|(known, _)| known == "cookie");
        match cookies.filter(|_| name == "cookie") {
            Some((_, cookies)) => {
                cookies.push_str("; ");
                cookies.push_str(&value);
            }
            None => headers.push((name.to_owned(), value)),
        }
    }
    // `:authority` of HTTP/2.
    if let Some(authority) = head.uri.authority()
        && !head.headers.contains_key(header::HOST)
    {
        headers.push(("host".to_owned(), authority.to_string()));
    }
    headers.into()
}

/// Returns the address of the peer; behind trusted proxies, of its client.
pub(crate) fn peer_of(head: &RequestHead) -> Option<String> {
    head.peer_addr.map(|peer| peer.to_string())
}

/// Returns the client of a request; `kind` is the prefix of the connection's id.
pub(crate) fn client_of(head: &RequestHead, kind: &str) -> Client {
    Client {
        connection_id: opaque_id(kind),
        headers: headers_of(head, |_| true),
        query: head.uri.query().unwrap_or_default().to_owned(),
        peer: peer_of(head),
        ..Client::default()
    }
}
