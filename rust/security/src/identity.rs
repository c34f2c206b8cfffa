//! The identity of an authenticated client.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::path::{Path, follow};

/// The result of authentication.
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
    /// All other data about the user.
    pub claims: Map<String, Value>,
    /// When the identity expires (seconds since the epoch).
    pub expires_at: Option<f64>,
}

impl Identity {
    /// Returns the value of `$identity.<path>`: a member, otherwise a claim. An empty id counts as
    /// absent.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<Cow<'_, Value>> {
        let text = |text: &str| (!text.is_empty()).then(|| Cow::Owned(Value::from(text)));
        let texts = |texts: &[String]| Some(Cow::Owned(Value::from(texts)));
        match path.parts() {
            [name] if **name == *"user_id" => text(&self.user_id),
            [name] if **name == *"tenant_id" => text(self.tenant_id.as_deref()?),
            [name] if **name == *"roles" => texts(&self.roles),
            [name] if **name == *"permissions" => texts(&self.permissions),
            [claims, name, rest @ ..] if **claims == *"claims" => self.claim(name, rest),
            [name, rest @ ..] => self.claim(name, rest),
            [] => None,
        }
    }

    fn claim(&self, name: &str, rest: &[Box<str>]) -> Option<Cow<'_, Value>> {
        follow(self.claims.get(name)?, rest).map(Cow::Borrowed)
    }

    /// Returns the tenant; an empty one counts as absent.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant_id
            .as_deref()
            .filter(|tenant| !tenant.is_empty())
    }

    /// Whether the identity has one of the roles.
    #[must_use]
    pub fn has_role(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }

    /// Whether the identity has expired at `now`, in seconds since the epoch.
    #[must_use]
    pub fn is_expired(&self, now: f64) -> bool {
        // NaN counts as past.
        self.expires_at
            .is_some_and(|end| end.is_nan() || end <= now)
    }
}
