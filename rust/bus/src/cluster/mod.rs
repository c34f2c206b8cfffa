//! The nodes that share an engine: a table of them, requests to them, and revocations.
//!
//! `member` sends and answers; `nodes`, `requests`, `message` and `revocations` have no I/O and read no
//! clock. Everything that other nodes send is bounded, and messages that cannot be read are counted.
//! Not here: how messages are carried (`engine`), and how connections are closed (`runtime`).
//!
//! # Layout
//!
//! - `member`: this node: its announcements, its requests and its answers;
//! - `host`: the interface to the connections of this node;
//! - `incoming`: receives the messages of other nodes;
//! - `losses`: events that were lost before they reached the engine;
//! - `message`: messages and revocations as JSON;
//! - `nodes`: the table of the other nodes;
//! - `requests`: requests that wait for answers;
//! - `revocations`: the revocations that this node knows;
//! - `selector`: selects connections.

mod host;
mod incoming;
mod losses;
mod member;
mod message;
mod nodes;
mod requests;
mod revocations;
mod selector;
#[cfg(test)]
mod tests;

pub use host::NodeHost;
pub use member::{Cluster, ClusterAnswers, MAX_REVOKE_FOR, NodeIdentity};
pub use message::{ListedConnection, MAX_NAME_BYTES};
pub use nodes::{NodeId, NodeInfo, NodeStatus};
pub use revocations::{Closing, NoRoom, Revocation, Revocations};
pub use selector::{Owner, Selector};
