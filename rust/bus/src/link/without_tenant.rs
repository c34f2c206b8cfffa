//! Watches for events that other programs publish without a tenant although tenants are isolated. They
//! arrive on streams that no subscription may read. They are counted and logged, so that their
//! publisher can be corrected.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::engine::Arrival;
use crate::{Envelope, StreamKey};

/// The watched channels, and the number of events without a tenant.
pub(super) struct WithoutTenant {
    channels: HashSet<Arc<str>>,
    /// The number of this process in envelopes. Its own events without a tenant are counted when they
    /// are published.
    node: u32,
    seen: AtomicU64,
    /// Channels that were logged; at most all watched channels.
    logged: Mutex<HashSet<Arc<str>>>,
}

impl WithoutTenant {
    pub(super) fn new(channels: Vec<Arc<str>>, node: u32) -> Self {
        Self {
            channels: channels.into_iter().collect(),
            node,
            seen: AtomicU64::new(0),
            logged: Mutex::default(),
        }
    }

    /// The stream without a tenant of each channel.
    pub(super) fn streams(&self) -> impl Iterator<Item = StreamKey> {
        let stream = |channel: &Arc<str>| StreamKey::of_channel(channel.clone());
        self.channels.iter().map(stream)
    }

    /// Whether a stream is one of [`Self::streams`].
    pub(super) fn has(&self, stream: &StreamKey) -> bool {
        stream.tenant.is_none() && self.channels.contains(&stream.channel)
    }

    /// Counts an event. Logs the first one of each channel.
    pub(super) fn note(&self, arrival: &Arrival) {
        let node = Envelope::read(&arrival.envelope, false).map_or(0, |envelope| envelope.node);
        if node == self.node {
            return;
        }
        self.seen.fetch_add(1, Relaxed);
        let channel = &arrival.stream.channel;
        if self.logged.lock().insert(channel.clone()) {
            tracing::warn!(
                name: "event.without_tenant",
                target: "fraiseql_subs",
                channel = &**channel,
                "another program publishes without a tenant, and no subscriber under TenantIsolation receives it: publish it for a tenant; further events on this channel are counted in metrics().events_without_tenant alone"
            );
        }
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }
}
