//! What publishers are told in the log: of channels that nothing is declared for, and of events whose
//! tenant is not what their publisher takes it for. Of each channel once.

use std::sync::Arc;

use super::Catalog;
use super::channels::{Channels, ToldChannels, Undeclared};

/// What publishers are told.
#[derive(Debug)]
pub(crate) struct PublishNotices {
    undeclared: Undeclared,
    tenants: TenantNotices,
}

impl PublishNotices {
    pub(crate) fn new(catalog: &Catalog, is_isolated: bool) -> Self {
        Self {
            undeclared: Undeclared::new(Channels::new(catalog.definitions())),
            tenants: TenantNotices::of_manager(is_isolated),
        }
    }

    /// Looks at a published event.
    pub(crate) fn look_at(&mut self, channel: &Arc<str>, has_tenant: bool) {
        self.undeclared.look_at(channel);
        self.tenants.look_at(channel, has_tenant);
    }
}

/// Tells what becomes of events without a tenant under tenant isolation, and of those with one
/// where there is no isolation: of each channel once.
#[derive(Debug)]
pub(crate) struct TenantNotices {
    is_isolated: bool,
    /// Whether no manager publishes: subscribers are in other processes.
    is_publisher: bool,
    told: ToldChannels,
}

impl TenantNotices {
    fn of_manager(is_isolated: bool) -> Self {
        Self {
            is_isolated,
            is_publisher: false,
            told: ToldChannels::default(),
        }
    }

    /// Those of a program that only publishes.
    pub(crate) fn of_publisher(is_isolated: bool) -> Self {
        Self {
            is_publisher: true,
            ..Self::of_manager(is_isolated)
        }
    }

    /// Looks at a published event.
    pub(crate) fn look_at(&mut self, channel: &Arc<str>, has_tenant: bool) {
        if has_tenant == self.is_isolated || !self.told.is_first(channel) {
            return;
        }
        let channel = &**channel;
        if self.is_publisher {
            tell_publisher(channel, self.is_isolated);
        } else if self.is_isolated {
            tracing::warn!(
                name: "event.without_tenant",
                target: "fraiseql_subs",
                channel,
                "an event without a tenant is dropped, as no subscriber under TenantIsolation may see it: publish with tenant_id=, by for_tenant(...), or with data that names the tenant at TenantIsolation.event_field; further ones on this channel are counted in metrics().events_without_tenant alone"
            );
        } else {
            tracing::warn!(
                name: "event.with_tenant",
                target: "fraiseql_subs",
                channel,
                "an event with a tenant_id reaches the subscribers of all tenants, as there is no tenant isolation: pass Security(tenant=TenantIsolation()) to the manager, or leave tenant_id out; this is logged once for each channel"
            );
        }
    }
}

fn tell_publisher(channel: &str, is_isolated: bool) {
    if is_isolated {
        tracing::warn!(
            name: "event.without_tenant",
            target: "fraiseql_subs",
            channel,
            "an event without a tenant reaches no client, as no subscriber under TenantIsolation may see it: publish with tenant_id=, or with data that names the tenant at TenantIsolation.event_field; this is told once for each channel"
        );
    } else {
        tracing::warn!(
            name: "event.with_tenant",
            target: "fraiseql_subs",
            channel,
            "an event with a tenant_id is published as if tenants were not isolated, and servers that isolate them do not receive it: pass tenant=TenantIsolation() to the publisher as to the servers, or leave tenant_id out; this is logged once for each channel"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::channels::MAX_TOLD;
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut notices = TenantNotices::of_manager(true);
        for number in 0..2 * MAX_TOLD {
            let channel = format!("channel.{number}").into();
            notices.look_at(&channel, false);
            notices.look_at(&channel, false);
        }
        assert_eq!(notices.told.len(), MAX_TOLD);
    }
}
