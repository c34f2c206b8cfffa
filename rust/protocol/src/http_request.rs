//! A request over HTTP as it was received: its headers and parameters.

use std::borrow::Cow;

use crate::fields;

/// Header with the token of a reserved event stream.
pub(crate) const TOKEN_HEADER: &str = "x-graphql-event-stream-token";

/// Parameter that may have it as well, for clients that cannot set headers.
const TOKEN_PARAMETER: &str = "token";

/// Parameters of which one is there when a GET asks for something to be run.
const DOCUMENT_PARAMETERS: [&str; 3] = ["query", "documentId", "extensions"];

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
        fields::value(self.headers, name)
    }

    /// All headers of this name as the one list that they are; `None` without any.
    pub(crate) fn list(&self, name: &str) -> Option<String> {
        let fields = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = fields.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The parameter of this name, unless it is empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).find(|value| !value.is_empty())
    }

    pub(crate) fn parameters(&self, name: &str) -> impl Iterator<Item = String> {
        parameters(self.query)
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The token of the event stream that it is about. The header is for nothing else. The
    /// parameter may as well be a credential of the application, unless it names a stream.
    pub fn stream(&self, is_reserved: impl Fn(&str) -> bool) -> Option<String> {
        let header = self.header(TOKEN_HEADER).map(str::to_owned);
        let mut parameters = self.parameters(TOKEN_PARAMETER);
        header.or_else(|| parameters.find(|token| is_reserved(token)))
    }

    /// Whether it has a token that names no stream, if [`Self::stream`] finds none.
    pub(crate) fn has_token(&self) -> bool {
        self.parameter(TOKEN_PARAMETER).is_some()
    }

    /// Whether a GET asks for something to be run.
    pub(crate) fn asks(&self) -> bool {
        let is_there = |name: &&str| self.parameter(name).is_some();
        DOCUMENT_PARAMETERS.iter().any(is_there)
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// The parameters of a target, decoded: names and values.
pub fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}
