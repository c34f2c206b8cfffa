//! Status and headers of an HTTP response.

use std::borrow::Cow;

/// Forbids browsers to guess another media type than the declared one.
pub const NOSNIFF: (&str, &str) = ("x-content-type-options", "nosniff");

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Whether the body is a stream of unknown length.
    pub goes_on: bool,
}

/// The application's changes of a response's head.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amendment {
    /// Status code that replaces the default.
    pub status: Option<u16>,
    /// Additional headers: names in lower case, and values, valid by RFC 9110.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Creates a head without headers.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            goes_on: false,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Applies the application's changes.
    #[must_use]
    pub fn amended(mut self, amendment: Option<Amendment>) -> Self {
        let Some(amendment) = amendment else {
            return self;
        };
        self.status = amendment.status.unwrap_or(self.status);
        let headers = amendment.headers.into_iter();
        self.headers
            .extend(headers.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Creates a head for a body of this media type.
    #[must_use]
    pub fn of_type(status: u16, media_type: &'static str) -> Self {
        Self::new(status).with_type(media_type)
    }

    /// Adds the media type of the body.
    #[must_use]
    pub(crate) fn with_type(self, media_type: &'static str) -> Self {
        let (name, value) = NOSNIFF;
        self.with("content-type", media_type).with(name, value)
    }

    /// Creates the head of a stream, which proxies must not buffer.
    pub(crate) fn stream(media_type: &'static str) -> Self {
        let head = Self::of_type(200, media_type);
        Self {
            goes_on: true,
            ..head
        }
        .with("cache-control", "no-cache, no-transform")
        // Otherwise nginx, and proxies with the same behaviour, buffer the response.
        .with("x-accel-buffering", "no")
    }
}
