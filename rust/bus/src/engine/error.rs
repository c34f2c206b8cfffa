//! Why an engine did not do what it was asked for.

use crate::Position;

/// Why one attempt to publish has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// It was not sent: there is no link. It can be tried again.
    #[error("the engine cannot be reached: {0}")]
    NotSent(String),
    /// It was sent, and there was no answer: the event may have been published. It can be tried
    /// again within the time in which an id counts once.
    #[error("the engine has not answered: {0}")]
    Unknown(String),
    /// The engine cannot take events now, and has not taken this one. It can be tried again.
    #[error("the engine takes no events now: {0}")]
    Busy(String),
    /// The engine refuses this program until a configuration is corrected, here or there, such as
    /// for want of a permission. It has not taken the event. It can be tried again.
    #[error("the engine refuses this program: {0}")]
    Denied(String),
    /// The engine refuses the event for good. Trying again is of no use.
    #[error("the engine refuses the event: {0}")]
    Refused(String),
}

/// Why events could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// An event after the position is not kept any more.
    #[error("the events are not kept any more")]
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
    /// There was no answer. It can be tried again.
    #[error("the engine cannot be reached: {0}")]
    Unavailable(String),
}
