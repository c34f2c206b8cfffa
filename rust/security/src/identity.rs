//! Who an authenticated client is.

use serde_json::{Map, Value};

/// What authentication found out about a client.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// The user, as the application knows it.
    pub user_id: String,
    /// The tenant the user belongs to.
    pub tenant_id: Option<String>,
    /// Roles, such as `admin`.
    pub roles: Vec<String>,
    /// Permissions, such as `orders:read`.
    pub permissions: Vec<String>,
    /// Whatever else is known.
    pub claims: Map<String, Value>,
    /// Seconds since the epoch at which the identity ends.
    pub expires_at: Option<f64>,
}
