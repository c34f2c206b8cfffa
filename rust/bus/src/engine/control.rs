//! Messages and revocations that nodes share through an engine.
//!
//! Both are bytes here. Not here: how they are written, and what follows from them (`cluster`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Pending;

/// The largest number of revocations that an engine, and each node, keeps.
pub const MAX_REVOCATIONS: usize = 10_000;

/// The part of an engine that carries messages between nodes. As with [`Engine`](super::Engine) all
/// methods return at once, and none calls [`ControlArrivals`] before it returns.
pub trait Control: Send + Sync {
    /// Delivers the messages to all nodes and to this node. Called once, before
    /// [`Engine::start`](super::Engine::start); a program that only publishes does not call it.
    /// `node` has only letters and digits.
    fn join(&self, node: &str, arrivals: Arc<dyn ControlArrivals>);

    /// Sends a message to one node, or to all nodes, this node included. Makes one attempt; a message
    /// that was sent may be lost. Returns the number of nodes it was sent to, if the engine knows it.
    ///
    /// # Errors
    ///
    /// [`ControlError::Unavailable`], [`ControlError::Refused`].
    fn send(&self, to: Option<&str>, message: Bytes) -> Pending<Result<Option<u64>, ControlError>>;

    /// Stores an entry for a time that the engine measures. All nodes can read it, also nodes that
    /// start later. An entry that is already stored stays for the longer of both times.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; [`ControlError::Full`] past [`MAX_REVOCATIONS`].
    fn revoke(&self, entry: Bytes, lasts: Duration) -> Pending<Result<(), ControlError>>;

    /// Returns all entries, each with its remaining time.
    ///
    /// # Errors
    ///
    /// [`ControlError::Unavailable`], [`ControlError::Refused`].
    fn revocations(&self) -> Pending<Result<Vec<(Bytes, Duration)>, ControlError>>;
}

/// Receives the messages of nodes. Calls return at once, and may come from any thread.
pub trait ControlArrivals: Send + Sync {
    /// Messages that are sent from now on arrive. Called again after a link was lost; messages that
    /// were sent in between are lost.
    fn joined(&self);
    /// A message. Every user of the engine can send one, so it is not trusted.
    fn message(&self, message: Bytes);
}

/// Why an engine did not do what a node asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no link, or no answer. It can be tried again.
    #[error("the engine cannot be reached: {0}")]
    Unavailable(String),
    /// The limit of revocations is reached.
    #[error("{MAX_REVOCATIONS} revocations are kept already")]
    Full,
    /// The engine refuses it, such as for want of a permission.
    #[error("the engine refuses it: {0}")]
    Refused(String),
}
