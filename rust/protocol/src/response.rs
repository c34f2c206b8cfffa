//! Whole responses over HTTP: what is wrong with a request, or all that there is to say.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::head::Head;

/// Seconds after which a client that was sent 503 may ask again.
pub(crate) const RETRY_AFTER: &str = "1";

/// What a client is sent that comes too late.
pub(crate) const SHUTTING_DOWN: &str = "the server is shutting down: try again";

/// The head of a response to a client that has done something too often.
pub(crate) fn rate_limited_head(wait: Duration) -> Head {
    // Whole seconds, and none of them too early.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Head::new(429).with("retry-after", seconds.max(1).to_string())
}

/// A JSON array of the one error.
pub(crate) fn rate_limited_errors(message: &str) -> Vec<u8> {
    let errors = json!([{"message": message, "extensions": {"code": "RATE_LIMITED"}}]);
    errors.to_string().into_bytes()
}

/// A response that has errors only.
pub(crate) fn errors_only(errors: &[u8]) -> Vec<u8> {
    [br#"{"errors":"#, errors, b"}"].concat()
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A response that says in GraphQL's form what is wrong.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        let body = json!({"errors": [{"message": message}]}).to_string();
        Self {
            head: Head::of_type(status, "application/json; charset=utf-8"),
            body: body.into(),
        }
    }

    /// A response to a document that is refused, with a JSON array of errors.
    #[must_use]
    pub fn refused(errors: &[u8]) -> Self {
        Self {
            head: Head::of_type(400, "application/json; charset=utf-8"),
            body: errors_only(errors).into(),
        }
    }

    /// A response to a client that a check of where it comes from does not let in.
    #[must_use]
    pub fn denied(check: &str) -> Self {
        Self::error(403, &format!("this {check} may not connect"))
    }

    /// A response without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self::of_head(Head::new(status))
    }

    /// A head that no body follows.
    pub(crate) fn of_head(head: Head) -> Self {
        Self {
            head,
            body: Bytes::new(),
        }
    }

    /// A short text.
    #[must_use]
    pub fn text(status: u16, text: String) -> Self {
        Self {
            head: Head::of_type(status, "text/plain; charset=utf-8"),
            body: text.into(),
        }
    }

    /// A page for browsers, whose content policy is `policy`.
    #[must_use]
    pub fn page(html: Bytes, policy: &str) -> Self {
        Self {
            head: Head::of_type(200, "text/html; charset=utf-8")
                .with("cache-control", "no-cache")
                .with("vary", "accept")
                .with("content-security-policy", policy.to_owned())
                // For browsers that do not know `frame-ancestors`.
                .with("x-frame-options", "DENY")
                // Its address may have a token.
                .with("referrer-policy", "same-origin")
                .with("cross-origin-resource-policy", "same-origin"),
            body: html,
        }
    }

    /// What cannot be done now, but may be soon.
    #[must_use]
    pub fn unavailable(message: &str) -> Self {
        let mut response = Self::error(503, message);
        response.head = response.head.with("retry-after", RETRY_AFTER);
        response
    }

    /// What a client may do again after `wait`.
    #[must_use]
    pub fn rate_limited(message: &str, wait: Duration) -> Self {
        Self {
            head: rate_limited_head(wait).with_type("application/json; charset=utf-8"),
            body: errors_only(&rate_limited_errors(message)).into(),
        }
    }

    /// A response of a server that takes no further request.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::unavailable(SHUTTING_DOWN)
    }

    /// A request for more than the server takes.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body may have at most {limit_bytes} bytes");
        Self::error(413, &message)
    }

    /// No stream has this token.
    #[must_use]
    pub fn no_stream() -> Self {
        Self::error(404, "no event stream has this token: reserve one with PUT")
    }
}
