//! A received HTTP request: its headers and parameters.

use std::borrow::Cow;

use crate::fields;

/// Header with the token of a reserved event stream.
pub(crate) const TOKEN_HEADER: &str = "x-graphql-event-stream-token";

/// Parameter that may also have the token, for clients that cannot set headers.
const TOKEN_PARAMETER: &str = "token";

/// Parameters of which a GET that runs an operation has at least one.
const DOCUMENT_PARAMETERS: [&str; 3] = ["query", "documentId", "extensions"];

/// A received request.
#[derive(Debug, Clone, Copy)]
pub struct HttpRequest<'a> {
    /// Method, in capitals.
    pub method: &'a str,
    /// The part of the target after the `?`, undecoded.
    pub query: &'a str,
    /// Headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

impl HttpRequest<'_> {
    /// Returns the first header of this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        fields::value(self.headers, name)
    }

    /// Returns all headers of this name joined to one list; `None` without any.
    pub(crate) fn list(&self, name: &str) -> Option<String> {
        let fields = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = fields.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Returns the parameter of this name, unless it is empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).find(|value| !value.is_empty())
    }

    pub(crate) fn parameters(&self, name: &str) -> impl Iterator<Item = String> {
        parameters(self.query)
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Returns the token of the event stream that the request is for. The header has no other use.
    /// The parameter may instead be a credential of the application, unless it is the token of a
    /// stream.
    pub fn stream(&self, is_reserved: impl Fn(&str) -> bool) -> Option<String> {
        let header = self.header(TOKEN_HEADER).map(str::to_owned);
        let mut parameters = self.parameters(TOKEN_PARAMETER);
        header.or_else(|| parameters.find(|token| is_reserved(token)))
    }

    /// Whether it has a token without a stream, if [`Self::stream`] finds none.
    pub(crate) fn has_token(&self) -> bool {
        self.parameter(TOKEN_PARAMETER).is_some()
    }

    /// Whether a GET runs an operation.
    pub(crate) fn asks(&self) -> bool {
        let is_there = |name: &&str| self.parameter(name).is_some();
        DOCUMENT_PARAMETERS.iter().any(is_there)
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// Returns the decoded parameters of a target: names and values.
pub fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}
