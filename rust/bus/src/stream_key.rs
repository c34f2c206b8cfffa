//! The name of a stream: a channel, and under tenant isolation one tenant's part of it.
//!
//! Not here: how an engine writes it into its own names (`brokers`).

use std::sync::Arc;

/// What has an order of its own: a channel; under tenant isolation one tenant's part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The tenant; `None` where tenants are not isolated.
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

    /// The part of a channel that is one tenant's.
    #[must_use]
    pub fn of_tenant(channel: impl Into<Arc<str>>, tenant: impl Into<Arc<str>>) -> Self {
        Self {
            tenant: Some(tenant.into()),
            channel: channel.into(),
        }
    }
}
