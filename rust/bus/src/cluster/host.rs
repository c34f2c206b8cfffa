//! The interface to the connections of this node.

use std::time::Duration;

use super::message::ListedConnection;
use super::nodes::NodeStatus;
use super::revocations::Closing;
use super::selector::Selector;
use crate::StreamKey;
use crate::engine::Pending;

/// The connections of this node. Calls return at once, and what they return delays no other task.
pub trait NodeHost: Send + Sync {
    /// Returns how much this node carries now.
    fn status(&self) -> NodeStatus;
    /// Returns its open connections.
    fn connections(&self) -> Pending<Vec<ListedConnection>>;
    /// Closes connections. Resolves to their number.
    fn disconnect(&self, selector: Selector, closing: Closing) -> Pending<u64>;
    /// Closes the connections that are revoked. Resolves to their number.
    fn close_revoked(&self) -> Pending<u64>;
    /// Tells the subscribers of one stream, or of all, that events were lost.
    fn events_lost(&self, stream: Option<&StreamKey>);
    /// Positions in the history of the engine may be from before a loss, for this time: clients that
    /// return with one are told.
    fn distrust_history(&self, lasts: Duration);
}
