//! Header fields: their values, and the fields that may appear only once.
//!
//! Source: RFC 9110, section 5.3: a field that is not a list must not be repeated. A proxy might
//! use the first one and the server the last one, and decide differently.

/// Names, in lower case, of fields that are not lists and that influence decisions.
const SINGLE: [&str; 13] = [
    "host",
    "origin",
    "authorization",
    "content-type",
    "content-length",
    "last-event-id",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-websocket-key",
    "sec-websocket-version",
    "access-control-request-method",
    "x-graphql-event-stream-token",
    "x-subgraph",
];

/// Returns a field that is repeated although it must not be.
#[must_use]
pub fn repeated(headers: &[(String, String)]) -> Option<&'static str> {
    SINGLE
        .into_iter()
        .find(|single| headers.iter().filter(|(name, _)| name == single).count() > 1)
}

/// Returns the first value of a field; `name` is in lower case.
#[must_use]
pub fn value<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let field = headers.iter().find(|(known, _)| known == name);
    field.map(|(_, value)| value.as_str())
}

/// Whether a text is a list of field names.
#[must_use]
pub fn are_names(list: &str) -> bool {
    let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    list.split(',')
        .map(str::trim)
        .all(|name| name.bytes().all(is_of_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_is_no_list_may_be_there_once() {
        let twice = |name| repeated(&headers(&[(name, "a"), ("x", "b"), (name, "a")]));
        assert_eq!(twice("host"), Some("host"));
        assert_eq!(twice("authorization"), Some("authorization"));
        assert_eq!(twice("accept"), None);
        assert_eq!(repeated(&headers(&[("host", "a"), ("origin", "b")])), None);
    }

    #[test]
    fn names_of_fields_are_told_from_other_texts() {
        assert!(are_names("content-type, X-Mine") && are_names(""));
        assert!(!are_names("a b") && !are_names("a\u{e9}") && !are_names("a: b"));
    }
}
