//! Whose connection it is, for those who select connections.

use bus::cluster::Owner;
use security::Identity;

/// Returns whose connection it is.
pub(crate) fn owner<'a>(connection_id: &'a str, identity: Option<&'a Identity>) -> Owner<'a> {
    Owner {
        user_id: identity.map(|identity| identity.user_id.as_str()),
        tenant_id: identity.and_then(|identity| identity.tenant_id.as_deref()),
        connection_id,
    }
}
