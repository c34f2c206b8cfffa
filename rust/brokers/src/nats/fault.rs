//! Why something failed, and what follows from it.
//!
//! Texts come from the server or from the settings. They contain no secret.

use async_nats::jetstream::ErrorCode;
use async_nats::{ConnectError, ConnectErrorKind, PublishErrorKind, RequestErrorKind};
use bus::engine::{AttemptError, ControlError, ReadError};
use serde::Deserialize;

/// What follows from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// There is no link.
    Away,
    /// There was no answer in time. The link may be well.
    Late,
    /// The server cannot do it now.
    Busy,
    /// A setting of this program or of the server must be changed.
    Configuration,
    /// The server will never accept this event.
    Refused,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) reason: String,
}

/// What JetStream answers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer<T> {
    Err { error: JetStreamError },
    Ok(T),
}

/// An error of JetStream.
#[derive(Debug, Deserialize)]
pub(super) struct JetStreamError {
    code: u16,
    #[serde(default, rename = "err_code")]
    pub(super) detail: ErrorCode,
    #[serde(default)]
    description: String,
}

/// No message has the requested subject or sequence.
pub(super) const NO_MESSAGE: ErrorCode = ErrorCode::NO_MESSAGE_FOUND;
/// The newest message of the JetStream stream is not the one that was expected.
pub(super) const NOT_LAST: ErrorCode = ErrorCode::STREAM_WRONG_LAST_MESSAGE_ID;
/// The newest message of a subject is not the one that was expected.
pub(super) const NOT_LAST_OF_SUBJECT: ErrorCode = ErrorCode::STREAM_WRONG_LAST_SEQUENCE;
/// The JetStream stream does not exist.
pub(super) const NO_STORE: ErrorCode = ErrorCode::STREAM_NOT_FOUND;

impl Fault {
    fn new(kind: FaultKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }

    pub(super) fn away(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Away, reason)
    }

    pub(super) fn busy(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Busy, reason)
    }

    pub(super) fn configuration(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Configuration, reason)
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::new(FaultKind::Refused, reason)
    }

    /// Whether a store cannot answer now, although the link may be well.
    pub(super) fn is_of_store(&self) -> bool {
        matches!(self.kind, FaultKind::Busy | FaultKind::Late)
    }

    pub(super) fn is_configuration(&self) -> bool {
        self.kind == FaultKind::Configuration
    }

    /// Why a connection was not made.
    pub(super) fn of_connection(error: &ConnectError, address: &str) -> Self {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let cause = cause.unwrap_or_default();
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation => Self::configuration(format!(
                "NATS refuses the login: {address}: check the user, password, token, nkey or \
                 credentials"
            )),
            ConnectErrorKind::Authentication => Self::configuration(
                "the nkey or the credentials cannot be used: check the file".to_owned(),
            ),
            ConnectErrorKind::Tls => Self::configuration(format!("TLS with {address}: {cause}")),
            ConnectErrorKind::ServerParse => {
                Self::configuration(format!("{address} is no address: {cause}"))
            }
            ConnectErrorKind::TimedOut => Self::away(format!("{address} has not answered in time")),
            _ => {
                let fault = Self::of_server(&cause);
                // An error of TLS arrives as one of the socket.
                let is_tls = cause.contains("certificate") || cause.contains("tls");
                let kind = if is_tls {
                    FaultKind::Configuration
                } else {
                    fault.kind
                };
                Self::new(kind, format!("{address}: {}", fault.reason))
            }
        }
    }

    /// The error that a server has sent before it closed the connection.
    pub(super) fn of_server(text: &str) -> Self {
        let lower = text.to_lowercase();
        let is_login = [
            "authorization",
            "authentication",
            "permissions violation",
            "credentials",
        ]
        .iter()
        .any(|word| lower.contains(word));
        let kind = if is_login {
            FaultKind::Configuration
        } else {
            FaultKind::Away
        };
        Self::new(kind, text.trim_start_matches("nats: "))
    }

    /// A permission is missing.
    pub(super) fn denied(text: &str) -> Self {
        Self::configuration(format!(
            "NATS denies it: {text}: allow the subjects of the bus to this user"
        ))
    }

    /// What JetStream has answered.
    pub(super) fn of_jetstream(error: &JetStreamError) -> Self {
        let text = format!("JetStream: {}", error.description);
        match error.detail {
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Self::refused(text),
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                no_jetstream()
            }
            ErrorCode::STREAM_SUBJECT_OVERLAP => Self::configuration(format!(
                "{text}: another stream has the subjects of this bus. Use the same number of \
                 partitions in all programs, or another prefix"
            )),
            ErrorCode::STREAM_NOT_MATCH => Self::configuration(text),
            _ => match error.code {
                // Such as a stream of another kind, or a number of replicas that the server lacks.
                400 => Self::configuration(text),
                _ => Self::busy(text),
            },
        }
    }

    pub(super) fn of_request(kind: RequestErrorKind) -> Self {
        match kind {
            RequestErrorKind::TimedOut => {
                Self::new(FaultKind::Late, "NATS has not answered in time")
            }
            RequestErrorKind::NoResponders => Self::busy("nothing answers this request"),
            RequestErrorKind::MaxPayloadExceeded => Self::too_large(),
            RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
                Self::away("the link to NATS has ended")
            }
        }
    }

    /// Why a message was not sent.
    pub(super) fn of_publishing(kind: PublishErrorKind) -> Self {
        match kind {
            PublishErrorKind::MaxPayloadExceeded => Self::too_large(),
            _ => Self::away("the link to NATS has ended"),
        }
    }

    fn too_large() -> Self {
        Self::refused("it is larger than max_payload of the server")
    }

    /// The error of an attempt to publish. `was_sent`: whether the event may have been published.
    pub(super) fn of_attempt(self, was_sent: bool) -> AttemptError {
        match self.kind {
            FaultKind::Away | FaultKind::Late if was_sent => AttemptError::Unknown(self.reason),
            FaultKind::Away | FaultKind::Late => AttemptError::NotSent(self.reason),
            FaultKind::Busy => AttemptError::Busy(self.reason),
            FaultKind::Configuration => AttemptError::Denied(self.reason),
            FaultKind::Refused => AttemptError::Refused(self.reason),
        }
    }
}

/// The account has no JetStream.
pub(super) fn no_jetstream() -> Fault {
    Fault::configuration(
        "the server has no JetStream for this account: start it with JetStream, or write history=off \
         for live events alone",
    )
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.reason)
    }
}

impl From<Fault> for ControlError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Away | FaultKind::Late | FaultKind::Busy => Self::Unavailable(fault.reason),
            FaultKind::Configuration | FaultKind::Refused => Self::Refused(fault.reason),
        }
    }
}
