//! The connections of this process, for other nodes and for the manager itself.

use std::sync::Arc;
use std::time::Duration;

use bus::StreamKey;
use bus::cluster::{Closing, ListedConnection, NodeHost, NodeStatus, Selector};
use bus::engine::Pending;
use protocol::Close;

use super::broadcaster::ShardList;
use crate::client::ConnectionInfo;
use crate::state::RuntimeState;
use crate::worker::{CloseConnections, CloseRevoked};

/// The connections of this process.
#[derive(Clone)]
pub(super) struct LocalNode {
    pub(super) state: Arc<RuntimeState>,
    pub(super) shards: Arc<ShardList>,
}

impl LocalNode {
    /// Closes the selected connections of all workers. Returns how many.
    pub(super) fn close(
        &self,
        selector: Selector,
        close: Close,
    ) -> impl Future<Output = usize> + Send + use<> {
        let shards = self.shards.live();
        async move {
            let mut count = 0;
            for shard in shards {
                let command = CloseConnections {
                    selector: selector.clone(),
                    close: close.clone(),
                };
                // An error means that the worker, and with it its connections, has ended.
                count += shard.send(command).await.unwrap_or(0);
            }
            count
        }
    }
}

fn listed_as(connected: &ConnectionInfo) -> ListedConnection {
    let client = connected.client();
    let identity = client.and_then(|client| client.identity.as_deref());
    ListedConnection {
        id: connected.id.clone(),
        user_id: identity.map(|identity| identity.user_id.clone()),
        tenant_id: identity.and_then(|identity| identity.tenant_id.clone()),
        peer: connected.peer.clone(),
        protocol: connected.protocol.to_owned(),
        operations: connected.operations() as u64,
        since: connected.since,
    }
}

impl NodeHost for LocalNode {
    fn status(&self) -> NodeStatus {
        let (state, metrics) = (&self.state, &self.state.metrics);
        let broadcast = metrics.events_published.get();
        NodeStatus {
            connections: metrics.connections.get(),
            subscriptions: metrics.subscriptions.get(),
            lag: state.intake.accepted().saturating_sub(broadcast),
            is_live: state.bus_away_for().is_none(),
        }
    }

    /// There may be very many, so the list is built on a thread that may be busy.
    fn connections(&self) -> Pending<Vec<ListedConnection>> {
        let state = self.state.clone();
        let listing = tokio::task::spawn_blocking(move || {
            let listed = state.roster.list();
            listed
                .iter()
                .map(|connected| listed_as(connected))
                .collect()
        });
        // An error means that the thread, and with it the node, ends.
        Box::pin(async move { listing.await.unwrap_or_default() })
    }

    fn disconnect(&self, selector: Selector, closing: Closing) -> Pending<u64> {
        let closing = self.close(selector, Close::new(closing.code, &*closing.reason));
        Box::pin(async move { closing.await as u64 })
    }

    fn close_revoked(&self) -> Pending<u64> {
        let shards = self.shards.live();
        Box::pin(async move {
            let mut count = 0;
            for shard in shards {
                count += shard.send(CloseRevoked).await.unwrap_or(0);
            }
            count as u64
        })
    }

    fn events_lost(&self, stream: Option<&StreamKey>) {
        if let Some(link) = &self.state.link {
            link.report_loss(stream);
        }
    }

    fn distrust_history(&self, lasts: Duration) {
        if let Some(link) = &self.state.link {
            link.distrust_history(lasts);
        }
    }
}
