//! Status and headers of an HTTP response.

use std::borrow::Cow;

/// Has browsers take a body for what its type says, and nothing else.
pub const NOSNIFF: (&str, &str) = ("x-content-type-options", "nosniff");

/// What precedes a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Whether the body goes on, so that its length is not known.
    pub goes_on: bool,
}

/// What an application wants the head of its answer to be like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amendment {
    /// Status code in place of the usual one.
    pub status: Option<u16>,
    /// Further headers: names in lower case, and values. Both are those of RFC 9110.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// A head without headers.
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

    /// Does as the application wants.
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

    /// A body of this media type follows.
    #[must_use]
    pub fn of_type(status: u16, media_type: &'static str) -> Self {
        Self::new(status).with_type(media_type)
    }

    /// Adds that a body of this media type follows.
    #[must_use]
    pub(crate) fn with_type(self, media_type: &'static str) -> Self {
        let (name, value) = NOSNIFF;
        self.with("content-type", media_type).with(name, value)
    }

    /// A body follows that goes on: nothing may keep it back on its way.
    pub(crate) fn stream(media_type: &'static str) -> Self {
        let head = Self::of_type(200, media_type);
        Self {
            goes_on: true,
            ..head
        }
        .with("cache-control", "no-cache, no-transform")
        // nginx and what follows its example collect a response otherwise.
        .with("x-accel-buffering", "no")
    }
}
