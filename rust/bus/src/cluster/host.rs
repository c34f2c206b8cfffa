//! The interface to the connections of this node.

use super::message::ListedConnection;
use super::nodes::NodeStatus;
use super::revocations::Closing;
use super::selector::Selector;
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
}
