//! Warnings about events whose tenant is not what their publisher takes it for.

use bus::Event;

use crate::catalog::channels::ToldChannels;

/// Tells what becomes of events without a tenant under tenant isolation, and of those with one
/// where there is no isolation: of each channel once.
#[derive(Debug)]
pub(crate) struct TenantNotices {
    is_isolated: bool,
    told: ToldChannels,
}

impl TenantNotices {
    pub(crate) fn new(is_isolated: bool) -> Self {
        Self {
            is_isolated,
            told: ToldChannels::default(),
        }
    }

    /// Looks at an event.
    pub(crate) fn look_at(&mut self, event: &Event) {
        let is_expected = event.tenant_id.is_some() == self.is_isolated;
        if is_expected || !self.told.is_first(&event.channel) {
            return;
        }
        let channel = &*event.channel;
        if self.is_isolated {
            tracing::warn!(
                target: "fraiseql_subs",
                channel,
                "an event without a tenant is dropped, as no subscriber under TenantIsolation may see it: publish with tenant_id=, by for_tenant(...), or with data that names the tenant at TenantIsolation.event_field; further ones on this channel are counted in metrics().events_without_tenant alone"
            );
        } else {
            tracing::warn!(
                target: "fraiseql_subs",
                channel,
                "an event with a tenant_id reaches the subscribers of all tenants, as there is no tenant isolation: give the manager Security(tenant=TenantIsolation()), or leave tenant_id out; this is told once for each channel"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::channels::MAX_TOLD;

    #[test]
    fn what_is_remembered_is_bounded() {
        let streams = bus::Streams::new([1; 16], false);
        let mut notices = TenantNotices::new(true);
        for number in 0..2 * MAX_TOLD {
            let channel: Arc<str> = format!("channel.{number}").into();
            let draft = bus::Draft {
                channel: channel.clone(),
                event_type: None,
                tenant_id: None,
                id: None,
                data: serde_json::Value::Null,
            };
            let event = Event::new(
                draft,
                streams.of(&channel, None),
                bus::LocalPosition::default(),
            );
            notices.look_at(&event);
            notices.look_at(&event);
        }
        assert_eq!(notices.told.len(), MAX_TOLD);
    }
}
