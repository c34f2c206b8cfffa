//! Status and headers of an HTTP response.

use std::borrow::Cow;

/// What precedes a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Whether the body goes on, so that its length is not known.
    pub goes_on: bool,
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
        self.headers.push((name, value.into()));
        self
    }

    /// A body of this media type follows.
    #[must_use]
    pub fn of_type(status: u16, media_type: &'static str) -> Self {
        Self::new(status).with("content-type", media_type)
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
