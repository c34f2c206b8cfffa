//! What concerns the connections of all nodes: disconnecting, listing, and which nodes there are.
//!
//! Without an engine this process is the only node.

use std::time::Duration;

use bus::cluster::{ListedConnection, NodeHost, NodeInfo, Revocation};
use bus::engine::ControlError;
use tokio::time::{Instant, timeout};

use super::runtime::Runtime;

/// What came of disconnecting.
#[derive(Debug)]
pub struct Disconnected {
    /// Connections that were closed, on all nodes that have answered.
    pub closed: u64,
    /// The nodes.
    pub reached: Reached,
    /// Whether the revocation is kept, where one was asked for.
    pub revoked: Result<(), ControlError>,
}

/// Which nodes have done what they were asked for.
#[derive(Debug)]
pub struct Reached {
    /// Those that have answered; this one is the first.
    pub answered: Vec<NodeInfo>,
    /// Those that have not.
    pub unanswered: Vec<NodeInfo>,
    /// Whether all nodes were asked, and have answered.
    pub is_complete: bool,
}

/// The connections of all nodes that have answered.
#[derive(Debug)]
pub struct Listed {
    /// Each node with its connections, this one first.
    pub connections: Vec<(NodeInfo, Vec<ListedConnection>)>,
    /// The nodes.
    pub reached: Reached,
}

impl Runtime {
    /// This node, and then the others, the oldest first. Waits up to `limit` until they are known, where
    /// this node has just started.
    pub async fn nodes(&self, limit: Duration) -> Vec<NodeInfo> {
        let mut nodes = vec![self.own_node()];
        if let Some(cluster) = &self.state().cluster {
            timeout(limit, cluster.known()).await.ok();
            nodes.extend(cluster.nodes());
        }
        nodes
    }

    /// Closes connections on all nodes; with `revoke_for` they are refused for that time as well. The
    /// own ones are closed first, whatever becomes of the others.
    pub async fn disconnect_everywhere(
        &self,
        revocation: Revocation,
        revoke_for: Option<Duration>,
        limit: Duration,
    ) -> Disconnected {
        let until = Instant::now() + limit;
        let state = self.state();
        let mut revoked = Ok(());
        if let Some(lasts) = revoke_for {
            // First: who connects from now on finds it, and who has connected is closed.
            let now = std::time::Instant::now();
            let noted = state.revocations.add(revocation.clone(), now + lasts, now);
            revoked = noted.map_err(|_| ControlError::Full);
        }
        let Revocation { selector, closing } = revocation.clone();
        let mut closed = self.local_node().disconnect(selector, closing).await;
        let mut reached = Reached {
            answered: vec![self.own_node()],
            unanswered: Vec::new(),
            is_complete: true,
        };
        let Some(cluster) = &state.cluster else {
            return Disconnected {
                closed,
                reached,
                revoked,
            };
        };
        if let Some(lasts) = revoke_for {
            // Before the others are asked: a node that misses the request and comes back reads it.
            let half = Instant::now() + until.saturating_duration_since(Instant::now()) / 2;
            revoked = revoked.and(cluster.revoke(&revocation, lasts, half).await);
        }
        let others = cluster.disconnect(revocation, revoke_for, until).await;
        for (node, count) in others.answered {
            closed = closed.saturating_add(count);
            reached.answered.push(node);
        }
        reached.unanswered = others.unanswered;
        reached.is_complete = others.is_complete;
        Disconnected {
            closed,
            reached,
            revoked,
        }
    }

    /// Lists the connections of all nodes. A node that does not answer in time with all of its
    /// connections is listed with none.
    pub async fn connections_everywhere(&self, limit: Duration) -> Listed {
        let until = Instant::now() + limit;
        let own = (self.own_node(), self.local_node().connections().await);
        let mut listed = Listed {
            reached: Reached {
                answered: vec![own.0.clone()],
                unanswered: Vec::new(),
                is_complete: true,
            },
            connections: vec![own],
        };
        if let Some(cluster) = &self.state().cluster {
            let others = cluster.connections(until).await;
            let nodes = others.answered.iter().map(|(node, _)| node.clone());
            listed.reached.answered.extend(nodes);
            listed.reached.unanswered = others.unanswered;
            listed.reached.is_complete = others.is_complete;
            listed.connections.extend(others.answered);
        }
        listed
    }

    fn own_node(&self) -> NodeInfo {
        self.state().node.info(&self.local_node())
    }
}
