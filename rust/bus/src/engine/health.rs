//! The state of the links to an engine.

use std::time::Instant;

/// The state of the links to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The first link is being made.
    Starting,
    /// Events are published and delivered.
    Live,
    /// There is a link, and the proof that events come through it has not come back.
    Silent {
        /// Since when.
        since: Instant,
    },
    /// There is no link.
    Away {
        /// Since when.
        since: Instant,
        /// Why, in words for the log: without addresses' secrets.
        reason: String,
        /// Whether only a change of the configuration helps, such as a refused password.
        is_configuration: bool,
    },
    /// The engine was closed.
    Closed,
}

impl Health {
    /// Whether events are published and delivered.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}
