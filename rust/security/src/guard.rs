//! What has to hold for every event of one subscription, compiled when it is made.
//!
//! Equal guards let the same events through. So the guard is also the *security view* of a
//! subscription: part of the key of every group whose members share results.

use std::sync::Arc;

use serde_json::Value;

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

/// What a guard looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'e> {
    /// The channel of the event.
    pub channel: &'e str,
    /// Whose it is.
    pub tenant_id: Option<&'e str>,
    /// Its data.
    pub data: &'e Value,
}

impl Guard {
    /// Lets events of this tenant through only.
    pub fn bind_tenant(&mut self, tenant: Arc<str>) {
        self.tenant = Some(tenant);
    }

    /// Lets events on channels of this subgraph through only.
    pub fn bind_federation(&mut self, federation: Arc<Federation>) {
        self.federation = Some(federation);
    }

    /// Lets events through that satisfy the rule, too.
    pub fn add_rows(&mut self, rule: RowRule) {
        self.rows.push(rule);
    }

    /// The tenant whose events are let through; `None`: those of all.
    #[must_use]
    pub fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// Decides about one event.
    ///
    /// # Errors
    ///
    /// The check that it does not pass.
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
