//! Complete HTTP responses: errors of a request, and single results.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::head::Head;

/// Seconds after which a client may retry after a 503.
pub(crate) const RETRY_AFTER: &str = "1";

/// The error for a client that connects during a shutdown.
pub(crate) const SHUTTING_DOWN: &str = "the server is shutting down: try again";

/// Returns the head of the response to a request past a rate.
pub(crate) fn rate_limited_head(wait: Duration) -> Head {
    // Whole seconds, rounded up.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Head::new(429).with("retry-after", seconds.max(1).to_string())
}

/// Returns a JSON array with the error of a rate.
pub(crate) fn rate_limited_errors(message: &str) -> Vec<u8> {
    let errors = json!([{"message": message, "extensions": {"code": "RATE_LIMITED"}}]);
    errors.to_string().into_bytes()
}

/// Returns a GraphQL response with errors only.
pub(crate) fn errors_only(errors: &[u8]) -> Vec<u8> {
    [br#"{"errors":"#, errors, b"}"].concat()
}

/// A complete response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// Creates a response with one GraphQL error.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        let body = json!({"errors": [{"message": message}]}).to_string();
        Self {
            head: Head::of_type(status, "application/json; charset=utf-8"),
            body: body.into(),
        }
    }

    /// Returns the message of its first error.
    pub(crate) fn message(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let message = body.pointer("/errors/0/message")?;
        message.as_str().map(str::to_owned)
    }

    /// Creates the response to a refused document, with a JSON array of errors.
    #[must_use]
    pub fn refused(errors: &[u8]) -> Self {
        Self {
            head: Head::of_type(400, "application/json; charset=utf-8"),
            body: errors_only(errors).into(),
        }
    }

    /// Creates the response to a request that the check of its origin or host denies.
    #[must_use]
    pub fn denied(check: &str) -> Self {
        Self::error(403, &format!("this {check} may not connect"))
    }

    /// Creates a response without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self::of_head(Head::new(status))
    }

    /// Creates a response from a head, without a body.
    pub(crate) fn of_head(head: Head) -> Self {
        Self {
            head,
            body: Bytes::new(),
        }
    }

    /// Creates a response with a short text.
    #[must_use]
    pub fn text(status: u16, text: String) -> Self {
        Self {
            head: Head::of_type(status, "text/plain; charset=utf-8"),
            body: text.into(),
        }
    }

    /// Creates the response with a page for browsers; `policy` is its content security policy.
    #[must_use]
    pub fn page(html: Bytes, policy: &str) -> Self {
        Self {
            head: Head::of_type(200, "text/html; charset=utf-8")
                .with("cache-control", "no-cache")
                .with("vary", "accept")
                .with("content-security-policy", policy.to_owned())
                // For browsers that do not support `frame-ancestors`.
                .with("x-frame-options", "DENY")
                // The page's URL may contain a token.
                .with("referrer-policy", "same-origin")
                .with("cross-origin-resource-policy", "same-origin"),
            body: html,
        }
    }

    /// Creates the response to a request that may succeed later.
    #[must_use]
    pub fn unavailable(message: &str) -> Self {
        let mut response = Self::error(503, message);
        response.head = response.head.with("retry-after", RETRY_AFTER);
        response
    }

    /// Creates the response to a request past a rate, which may be repeated after `wait`.
    #[must_use]
    pub fn rate_limited(message: &str, wait: Duration) -> Self {
        Self {
            head: rate_limited_head(wait).with_type("application/json; charset=utf-8"),
            body: errors_only(&rate_limited_errors(message)).into(),
        }
    }

    /// Creates the response of a server that is shutting down.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::unavailable(SHUTTING_DOWN)
    }

    /// Creates the response to a request whose body is too large.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body may have at most {limit_bytes} bytes");
        Self::error(413, &message)
    }

    /// Creates the response to a token that no stream has.
    #[must_use]
    pub fn no_stream() -> Self {
        Self::error(404, "no event stream has this token: reserve one with PUT")
    }
}
