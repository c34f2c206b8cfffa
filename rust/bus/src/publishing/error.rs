//! Why an event was not published, and what is known of it.

/// What is known of an event whose publishing has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was not published, and will not be.
    NotSent,
    /// It was sent, and there was no answer: it may have been published, or may still be.
    Unknown,
}

/// Why an event was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// An envelope is larger than the engine takes. At the call: nothing of the batch was sent.
    #[error(
        "the event has {bytes} bytes, and the engine takes {limit}: publish less, or a reference to it"
    )]
    TooLarge {
        /// Which event of the batch, counted from 0.
        index: usize,
        /// The size of its envelope (bytes).
        bytes: usize,
        /// The limit of the engine (bytes).
        limit: usize,
    },
    /// The engine only delivers events. At the call.
    #[error("the engine is a source: nothing can be published to it")]
    ReadOnly,
    /// Publishing has ended. At the call.
    #[error("the bus is closed")]
    Closed,
    /// The engine has refused the event, or has not answered in time.
    #[error("{message}")]
    Failed {
        /// What is known of the event.
        outcome: Outcome,
        /// Whether publishing it again, with the same id, may succeed and cannot duplicate it.
        is_retryable: bool,
        /// What has happened, for a log.
        message: String,
    },
}

impl PublishError {
    /// What is known of the event.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Failed { outcome, .. } => *outcome,
            Self::TooLarge { .. } | Self::ReadOnly | Self::Closed => Outcome::NotSent,
        }
    }

    /// Whether publishing the event again, with the same id, may succeed and cannot duplicate it.
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
