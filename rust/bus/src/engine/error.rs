//! Why a call to an engine failed.

use crate::Position;

/// Why an attempt to publish failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// It was not sent: there is no link. May be tried again.
    #[error("the engine cannot be reached: {0}")]
    NotSent(String),
    /// It was sent, and no answer came: the event may have been published. May be tried again while the
    /// engine recognizes the id ([`Capabilities::idempotency`](super::Capabilities::idempotency)).
    #[error("the engine has not answered: {0}")]
    Unknown(String),
    /// The engine cannot accept events now, and has not accepted this one. May be tried again.
    #[error("the engine accepts no events now: {0}")]
    Busy(String),
    /// The engine refuses this program, for example because a permission is missing, until the
    /// configuration of either is corrected. It has not accepted the event. May be tried again.
    #[error("the engine refuses this program: {0}")]
    Denied(String),
    /// The engine refuses the event for good. Trying again does not help.
    #[error("the engine refuses the event: {0}")]
    Refused(String),
}

/// Why events could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The engine no longer keeps an event after the position.
    #[error("the engine no longer keeps the events")]
    TooLate {
        /// The newest event of the stream.
        head: Position,
    },
    /// The stream has another epoch than the position: its offsets cannot be compared.
    #[error("the position is of another epoch")]
    OtherEpoch {
        /// The newest event of the stream.
        head: Position,
    },
    /// There was no answer. May be tried again.
    #[error("the engine cannot be reached: {0}")]
    Unavailable(String),
}
