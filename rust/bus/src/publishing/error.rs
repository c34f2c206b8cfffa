//! Why an event was not published, and whether it may have been.

/// Whether an event that failed may have been published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was not published, and will not be.
    NotSent,
    /// It was sent, and no answer came: it may have been published, or may be published later.
    Unknown,
}

/// Why an event was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// An envelope is larger than the engine accepts. Returned at the call: no event of the batch was
    /// sent.
    #[error(
        "the event has {bytes} bytes, and the engine accepts at most {limit}: publish less data, or a reference to it"
    )]
    TooLarge {
        /// The index of the event in the batch, from 0.
        index: usize,
        /// The size of its envelope (bytes).
        bytes: usize,
        /// The limit of the engine (bytes).
        limit: usize,
    },
    /// The engine delivers events only. Returned at the call.
    #[error("the engine only delivers events: nothing can be published to it")]
    ReadOnly,
    /// The publisher is closed. Returned at the call.
    #[error("the bus is closed")]
    Closed,
    /// The engine has refused the event, or has not answered in time.
    #[error("{message}")]
    Failed {
        /// Whether the event may have been published.
        outcome: Outcome,
        /// Whether publishing it again with the same id may succeed and cannot duplicate it.
        is_retryable: bool,
        /// The cause, for a log.
        message: String,
    },
}

impl PublishError {
    /// Whether the event may have been published.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Failed { outcome, .. } => *outcome,
            Self::TooLarge { .. } | Self::ReadOnly | Self::Closed => Outcome::NotSent,
        }
    }

    /// Whether publishing the event again with the same id may succeed and cannot duplicate it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Failed {
                is_retryable: true,
                ..
            }
        )
    }
}
