//! All rules of one manager.

use std::sync::Arc;

use crate::federation::Federation;
use crate::origin::{Hosts, Origins};
use crate::rate::Rates;
use crate::rbac::Rbac;
use crate::rows::RowFilter;
use crate::scope::Scope;
use crate::tenant::TenantIsolation;

/// What clients have to pass; a check that is absent asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Pages that may connect.
    pub origins: Option<Origins>,
    /// Names under which the server may be reached.
    pub hosts: Option<Hosts>,
    /// Arguments that must equal the identity's.
    pub scope: Option<Scope>,
    /// Permissions.
    pub rbac: Option<Rbac>,
    /// Tenant isolation.
    pub tenant: Option<TenantIsolation>,
    /// Row filters; all that apply have to hold.
    pub rows: Vec<RowFilter>,
    /// The subgraph that is served.
    pub federation: Option<Arc<Federation>>,
    /// Rates.
    pub rates: Option<Rates>,
}
