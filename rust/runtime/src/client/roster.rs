//! The list of open connections, readable from any thread.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dashmap::DashMap;

use super::Client;
use crate::clock::epoch_seconds;

/// Snapshot of a connection, readable from any thread.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Id of the connection.
    pub id: String,
    /// Address of the peer.
    pub peer: Option<String>,
    /// Name of the protocol.
    pub protocol: &'static str,
    /// When it was opened (seconds since the epoch).
    pub since: f64,
    /// The same on the monotonic clock.
    pub(crate) opened: Instant,
    client: OnceLock<Arc<Client>>,
    operations: AtomicUsize,
}

impl ConnectionInfo {
    pub(crate) fn new(client: &Client, protocol: &'static str) -> Self {
        Self {
            id: client.connection_id.clone(),
            peer: client.peer.clone(),
            protocol,
            since: epoch_seconds(),
            opened: Instant::now(),
            client: OnceLock::new(),
            operations: AtomicUsize::new(0),
        }
    }

    /// Returns the client, once it is accepted.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.client.get()
    }

    /// Returns the number of running operations.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.load(Relaxed)
    }

    pub(crate) fn set_client(&self, client: Arc<Client>) {
        // A client is accepted once.
        self.client.set(client).ok();
    }

    pub(crate) fn set_operations(&self, count: usize) {
        self.operations.store(count, Relaxed);
    }
}

/// The connections of a manager.
#[derive(Debug, Default)]
pub struct Roster(DashMap<u64, Arc<ConnectionInfo>>);

impl Roster {
    /// Returns the open connections, in the order in which they were opened.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<ConnectionInfo>> {
        let mut listed: Vec<_> = self
            .0
            .iter()
            .map(|entry| (*entry.key(), entry.value().clone()))
            .collect();
        listed.sort_by_key(|(key, _)| *key);
        listed.into_iter().map(|(_, connected)| connected).collect()
    }

    pub(crate) fn add(&self, key: u64, connected: Arc<ConnectionInfo>) {
        self.0.insert(key, connected);
    }

    pub(crate) fn remove(&self, key: u64) -> Option<Arc<ConnectionInfo>> {
        self.0.remove(&key).map(|(_, connected)| connected)
    }
}
