//! The event streams that clients of the single-connection mode have reserved.

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
    /// Until it is opened.
    pub(super) reserved: Mutex<Option<ConnectionHandle>>,
    pub(super) slot: Arc<Handoff>,
    /// What bounds how often its client acts.
    pub(super) account: Option<Arc<Buckets>>,
    /// What it counts for, and the requests about it with it.
    pub(super) place: Place,
}
