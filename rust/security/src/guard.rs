//! The conditions for every event of one subscription, compiled when the subscription opens.
//!
//! Equal guards admit the same events. So the guard is also the *security view* of a subscription:
//! it is part of the key of every group whose members share results.

use std::sync::Arc;

use indexed_json::IndexedJson;

use crate::error::Check;
use crate::federation::Federation;
use crate::rows::RowRule;

/// Decides about each event of one subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Guard {
    tenant: Option<Arc<str>>,
    federation: Option<Arc<Federation>>,
    rows: Vec<RowRule>,
}

/// The parts of an event that a guard checks.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'e> {
    /// The channel of the event.
    pub channel: &'e str,
    /// The tenant of the event.
    pub tenant_id: Option<&'e str>,
    /// Its data.
    pub data: &'e IndexedJson,
}

impl Guard {
    /// Admits only events of this tenant.
    pub fn bind_tenant(&mut self, tenant: Arc<str>) {
        self.tenant = Some(tenant);
    }

    /// Admits only events on channels of this subgraph.
    pub fn bind_federation(&mut self, federation: Arc<Federation>) {
        self.federation = Some(federation);
    }

    /// Admits only events that also satisfy this rule.
    pub fn add_rows(&mut self, rule: RowRule) {
        self.rows.push(rule);
    }

    /// Returns the tenant whose events are admitted; `None`: all tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// Decides about one event.
    ///
    /// # Errors
    ///
    /// The check that it fails.
    #[inline]
    pub fn admit(&self, event: Subject<'_>) -> Result<(), Check> {
        if let Some(tenant) = &self.tenant
            && event.tenant_id != Some(tenant)
        {
            return Err(Check::Tenant);
        }
        if let Some(federation) = &self.federation
            && !federation.owns(event.channel)
        {
            return Err(Check::Federation);
        }
        if !self.rows.iter().all(|rule| rule.admits(event.data)) {
            return Err(Check::Rows);
        }
        Ok(())
    }
}
