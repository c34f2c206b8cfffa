//! The event streams that clients of the single connection mode have reserved.

use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::connection_handle::{ConnectionHandle, Handoff};
use crate::client::Buckets;
use crate::places::Place;

/// The reserved event streams of a manager, by their tokens.
#[derive(Default)]
pub(crate) struct Streams(pub(super) DashMap<String, Stream>);

pub(super) struct Stream {
    /// The connection, until the stream is opened.
    pub(super) reserved: Mutex<Option<ConnectionHandle>>,
    pub(super) slot: Arc<Handoff>,
    /// The rate limits of its client.
    pub(super) account: Option<Arc<Buckets>>,
    /// The place that it shares with the requests for it.
    pub(super) place: Place,
}
