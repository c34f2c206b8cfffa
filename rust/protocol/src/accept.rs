//! Parses the `Accept` header: which GraphQL response formats a client accepts.
//!
//! Source: RFC 9110, section 12.5.1; GraphQL over HTTP, "Media Types".

use crate::transports::{Streaming, Transports};

/// Media type of responses whose status says whether the request had an error.
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// Media type for old clients: the response to each well-formed request has status 200.
const JSON: &str = "application/json";

/// The format of a single response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Single {
    /// `application/graphql-response+json`.
    GraphQLResponse,
    /// `application/json`.
    Json,
}

impl Single {
    /// The media type with its charset.
    #[must_use]
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::GraphQLResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// Status of a response to a document that was refused.
    pub(crate) fn refused_status(self) -> u16 {
        match self {
            Self::GraphQLResponse => 400,
            Self::Json => 200,
        }
    }
}

/// The formats that a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Format for queries and mutations.
    pub(crate) single: Option<Single>,
    /// Format for subscriptions.
    pub(crate) streaming: Option<Streaming>,
    /// Whether the client prefers HTML, as browsers do.
    pub(crate) html: bool,
    /// The enabled transports.
    pub(crate) offered: Transports,
}

impl Accepted {
    /// Parses the header; without one, or with an empty one, everything is accepted.
    pub(crate) fn read(header: Option<&str>, offered: Transports) -> Self {
        let header = header.filter(|header| !header.trim().is_empty());
        let ranges = ranges(header.unwrap_or("*/*"));
        let quality = |wanted: &str| quality(&ranges, wanted);
        let (response, json) = (quality(GRAPHQL_RESPONSE), quality(JSON));
        // Clients that name neither are treated as old clients.
        let single = if response > 0.0 && response >= json && names(&ranges, GRAPHQL_RESPONSE) {
            Some(Single::GraphQLResponse)
        } else {
            (json > 0.0).then_some(Single::Json)
        };
        // A wildcard does not select a stream.
        let streams = [
            (Streaming::Events, "text/event-stream"),
            (Streaming::Multipart, "multipart/mixed"),
        ];
        let streaming = streams
            .into_iter()
            .filter(|(streaming, name)| offered.offer(*streaming) && names(&ranges, name))
            .map(|(streaming, name)| (streaming, quality(name)))
            .filter(|(_, quality)| *quality > 0.0)
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(streaming, _)| streaming);
        let html = names(&ranges, "text/html") && quality("text/html") >= json.max(response);
        Self {
            single,
            streaming,
            html,
            offered,
        }
    }
}

struct Range<'a> {
    name: &'a str,
    quality: f32,
}

fn ranges(header: &str) -> Vec<Range<'_>> {
    header
        .split(',')
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?;
            let quality = parts
                .filter_map(|parameter| parameter.strip_prefix(['q', 'Q'])?.strip_prefix('='))
                .next_back()
                .map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
            Some(Range { name, quality })
        })
        .collect()
}

fn names(ranges: &[Range<'_>], wanted: &str) -> bool {
    ranges
        .iter()
        .any(|range| range.name.eq_ignore_ascii_case(wanted))
}

/// Returns the quality of the most specific range that matches `wanted`; 0 if there is none.
fn quality(ranges: &[Range<'_>], wanted: &str) -> f32 {
    let wildcard = wanted.split_once('/').map(|(kind, _)| format!("{kind}/*"));
    let specific = [Some(wanted), wildcard.as_deref(), Some("*/*")];
    specific
        .into_iter()
        .flatten()
        .find_map(|name| {
            ranges
                .iter()
                .find(|range| range.name.eq_ignore_ascii_case(name))
        })
        .map_or(0.0, |range| range.quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(header: &str) -> Option<Single> {
        Accepted::read(Some(header), Transports::default()).single
    }

    fn streaming(header: &str) -> Option<Streaming> {
        Accepted::read(Some(header), Transports::default()).streaming
    }

    #[test]
    fn a_client_that_names_neither_media_type_is_answered_with_json() {
        assert_eq!(
            Accepted::read(None, Transports::default()).single,
            Some(Single::Json)
        );
        assert_eq!(single(" "), Some(Single::Json));
        assert_eq!(single("*/*"), Some(Single::Json));
        assert_eq!(single("application/*"), Some(Single::Json));
        assert_eq!(single("text/plain"), None);
    }

    #[test]
    fn the_better_quality_wins_and_the_newer_type_at_equal_ones() {
        let both = "application/graphql-response+json, application/json";
        assert_eq!(single(both), Some(Single::GraphQLResponse));
        let old = "application/graphql-response+json;q=0.5, application/json";
        assert_eq!(single(old), Some(Single::Json));
        assert_eq!(single("application/json;q=0"), None);
        assert_eq!(single("application/json; Q=0"), None);
    }

    #[test]
    fn a_stream_is_asked_for_by_name() {
        assert_eq!(streaming("text/event-stream"), Some(Streaming::Events));
        let apollo =
            r#"multipart/mixed;boundary="graphql";subscriptionSpec="1.0", application/json"#;
        assert_eq!(streaming(apollo), Some(Streaming::Multipart));
        assert_eq!(single(apollo), Some(Single::Json));
        assert_eq!(streaming("*/*"), None);
        assert_eq!(streaming("text/event-stream;q=0"), None);
    }

    #[test]
    fn browsers_get_a_page() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert!(Accepted::read(Some(browser), Transports::default()).html);
        assert!(!Accepted::read(Some("*/*"), Transports::default()).html);
    }
}
