//! A source: one node of a cluster reads the log, and publishes it by the engine that all nodes share.
//!
//! Every node has the source. The node that holds an advisory lock reads. The lock belongs to the
//! connection that reads the log, so lock and link end together. What was committed is kept by a slot
//! that lasts, and is confirmed when the engine has accepted it.
//!
//! # Layout
//!
//! - `election`: which node reads;
//! - `lasting`: the slot that lasts;
//! - `reader`: the work of the node that reads;
//! - `events`: what the log has, as events to publish;
//! - `flight`: events that are published, and how far all are accepted;
//! - `lease`: whether this node may still publish;
//! - `known_tables`: how the tables were when a reader looked last;
//! - `watch`: the slot and the reader, as all nodes see them;
//! - `state`: what the tasks share, and what metrics show.
//!
//! Not here: an engine over the log, in which each node reads (`subscriber`).

mod election;
mod events;
mod flight;
mod known_tables;
mod lasting;
mod lease;
mod reader;
mod state;
mod watch;

use std::sync::Arc;

use bus::engine::Pending;
use bus::source::{Source, SourceStatus, SourceTarget};

use self::state::State;
use super::config::{Config, ConfigError};

/// The slot of a source that names none.
pub const DEFAULT_SLOT: &str = "fraiseql_subs";

/// The log of a PostgreSQL as a source.
pub struct LogSource {
    state: Arc<State>,
}

impl LogSource {
    /// Creates a source that is not connected. `slot`: the name of its slot, the same on all nodes of one
    /// cluster, and another one for each cluster that reads the database.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is wrong.
    pub fn new(config: Config, slot: &str) -> Result<Self, ConfigError> {
        config.check()?;
        Self::check_slot(slot)?;
        Ok(Self {
            state: Arc::new(State::new(config, slot)),
        })
    }

    /// Checks the name of a slot.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says what to write.
    pub fn check_slot(slot: &str) -> Result<(), ConfigError> {
        let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if slot.is_empty() || slot.len() > 48 || !slot.bytes().all(is_letter) {
            return Err(ConfigError(format!(
                "the slot {slot:?} is wrong: write 1 to 48 of a to z, 0 to 9 and _"
            )));
        }
        Ok(())
    }
}

impl Source for LogSource {
    fn run(&self, target: SourceTarget) -> Pending<()> {
        let state = self.state.clone();
        Box::pin(async move {
            state.config.warn_of_plain_text();
            match election::run(&state, &target).await {}
        })
    }

    fn status(&self) -> SourceStatus {
        self.state.status()
    }
}
