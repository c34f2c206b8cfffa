//! The key of a stream: its channel, and under tenant isolation its tenant.
//!
//! Not here: the names that an engine derives from it (`brokers`).

use std::sync::Arc;

/// Identifies a stream: a channel; under tenant isolation, one tenant's events on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The tenant; `None`: tenants are not isolated, or the events have no tenant.
    pub tenant: Option<Arc<str>>,
    /// The channel, at least one character.
    pub channel: Arc<str>,
}

impl StreamKey {
    /// The stream of a channel that all tenants share.
    #[must_use]
    pub fn of_channel(channel: impl Into<Arc<str>>) -> Self {
        Self {
            tenant: None,
            channel: channel.into(),
        }
    }

    /// The stream of one tenant's events on a channel.
    #[must_use]
    pub fn of_tenant(channel: impl Into<Arc<str>>, tenant: impl Into<Arc<str>>) -> Self {
        Self {
            tenant: Some(tenant.into()),
            channel: channel.into(),
        }
    }
}
