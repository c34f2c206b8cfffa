//! Reads bodies of requests: checks coding, media type and charset, then parses the JSON object.
//!
//! Source: RFC 9110, sections 8.3, 8.4 and 15.5.16; GraphQL over HTTP, "Encoding".

use crate::http_request::HttpRequest;
use crate::members::{self, Fault, Members};
use crate::response::Response;

/// Returns the response to an invalid request.
pub(crate) fn bad_request(fault: Fault) -> Response {
    Response::error(400, &format!("Invalid request: {fault}"))
}

/// Returns the members of a posted request.
pub(crate) fn posted(request: HttpRequest<'_>) -> Result<Members<'_>, Response> {
    let members = members::read(json_text(request)?, Members::read).map_err(bad_request)?;
    if !members.whole.is_object() {
        return Err(bad_request(Fault::NoObject));
    }
    Ok(members)
}

/// Returns the body of a request as text, if its head says that it is JSON.
pub(crate) fn json_text(request: HttpRequest<'_>) -> Result<&str, Response> {
    let codings = request.list("content-encoding").unwrap_or_default();
    if !codings.split(',').all(is_identity) {
        let mut refusal = Response::error(415, "send the body as it is, without content-encoding");
        refusal.head = refusal.head.with("accept-encoding", "identity");
        return Err(refusal);
    }
    if !is_json(request.header("content-type").unwrap_or_default()) {
        return Err(Response::error(
            415,
            "send the request as `content-type: application/json`, in UTF-8",
        ));
    }
    let text = std::str::from_utf8(request.body);
    text.map_err(|error| bad_request(Fault::Json(error.to_string())))
}

fn is_identity(coding: &str) -> bool {
    let coding = coding.trim();
    coding.is_empty() || coding.eq_ignore_ascii_case("identity")
}

/// Whether a `content-type` is JSON in UTF-8, the default charset.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let mut charsets = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, charset)| charset.trim().trim_matches(['"', '\'']));
    // "utf8" is not a registered name, but many clients write it.
    let is_utf_8 = |charset: &str| {
        let names = ["", "utf-8", "utf8"];
        names.iter().any(|name| charset.eq_ignore_ascii_case(name))
    };
    is_json && charsets.all(is_utf_8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_utf_8_in_any_spelling() {
        for charset in [
            "",
            "; charset=utf-8",
            ";charset=UTF-8",
            "; charset=utf8",
            "; charset=UTF8",
            "; Charset=\"utf8\"",
            "; charset=\"UTF-8\"",
            "; charset='utf-8'",
            "; charset = utf-8",
            "; charset=",
            "; boundary=x; charset=utf8",
            ";",
        ] {
            assert!(is_json(&format!("application/json{charset}")), "{charset}");
        }
        for other in [
            "latin-1",
            "utf-16",
            "utf-7",
            "iso-8859-1",
            "utf_8x",
            "8",
            "utf-8; charset=utf-16",
        ] {
            assert!(!is_json(&format!("application/json; charset={other}")));
        }
    }

    #[test]
    fn a_coding_other_than_identity_is_refused_with_what_is_accepted() {
        let status = |codings: &[&str]| {
            let coding = |coding: &&str| ("content-encoding".to_owned(), (*coding).to_owned());
            let mut headers: Vec<_> = codings.iter().map(coding).collect();
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            let request = HttpRequest {
                method: "POST",
                query: "",
                headers: &headers,
                body: b"{}",
            };
            posted(request).map_or_else(|response| response.head.status, |_| 200)
        };
        for accepted in [&[][..], &[""], &["identity"], &["Identity, identity"]] {
            assert_eq!(status(accepted), 200, "{accepted:?}");
        }
        for refused in [
            &["gzip"][..],
            &["br"],
            &["identity, gzip"],
            &["identity", "x"],
            &["identity;q=1"],
            &["\u{e9}"],
        ] {
            assert_eq!(status(refused), 415, "{refused:?}");
        }
    }
}
