//! Selects connections by their clients.

use security::Identity;

/// Selects connections; every member that is set has to match.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// User id of the identity.
    pub user_id: Option<String>,
    /// Tenant of the identity.
    pub tenant_id: Option<String>,
    /// Id of the connection.
    pub connection_id: Option<String>,
}

impl Selector {
    /// Whether a connection is selected. A connection without identity has no user and no tenant.
    #[must_use]
    pub fn selects(&self, connection_id: &str, identity: Option<&Identity>) -> bool {
        let matches = |wanted: &Option<String>, actual: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == actual
        };
        matches(&self.user_id, identity.map(|i| i.user_id.as_str()))
            && matches(
                &self.tenant_id,
                identity.and_then(|i| i.tenant_id.as_deref()),
            )
            && matches(&self.connection_id, Some(connection_id))
    }
}
