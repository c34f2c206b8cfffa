//! Tenant isolation: determines the tenant of an event.

use std::sync::Arc;

use graphql::spell;
use indexed_json::IndexedJson;
use serde_json::Value;

use crate::error::{Check, Denied};
use crate::identity::Identity;
use crate::path::Path;

/// Events reach only subscribers of their own tenant.
#[derive(Debug, Clone)]
pub struct TenantIsolation {
    /// Path of the tenant in the event's data; `None`: only the publisher sets the tenant.
    pub event_field: Option<Path>,
}

/// The publisher and the data of an event name different tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantConflict {
    /// The tenant that the publisher set.
    pub stamped: String,
    /// The tenant in the data.
    pub found: String,
}

impl TenantIsolation {
    /// Returns the tenant whose events a client may see.
    ///
    /// # Errors
    ///
    /// [`Denied`] if the client has no tenant.
    pub fn tenant_of(&self, identity: Option<&Identity>) -> Result<Arc<str>, Denied> {
        let identity = identity.ok_or(Denied::Anonymous(Check::Tenant))?;
        identity.tenant().map(Arc::from).ok_or(Denied::NoTenant)
    }

    /// Returns the tenant of an event: the one that its publisher set, otherwise the one in its
    /// data, otherwise none.
    ///
    /// # Errors
    ///
    /// [`TenantConflict`] if both are present and differ.
    pub fn stamp(
        &self,
        said: Option<&str>,
        data: &IndexedJson,
    ) -> Result<Option<Arc<str>>, TenantConflict> {
        let said = said.filter(|tenant| !tenant.is_empty());
        let place = self.event_field.as_ref();
        let Some(value) = place.and_then(|path| path.find_in(data)) else {
            return Ok(said.map(Arc::from));
        };
        let decide = |found: &str| match said {
            Some(said) if said != found => Err(TenantConflict {
                stamped: said.to_owned(),
                found: found.to_owned(),
            }),
            _ => Ok((!found.is_empty()).then(|| Arc::from(found))),
        };
        match &value.to_value() {
            Value::String(text) => decide(text),
            Value::Number(number) => spell(number, decide),
            Value::Null => Ok(said.map(Arc::from)),
            // A list or an object is not a tenant, so it contradicts any tenant.
            other => decide_unreadable(said, other),
        }
    }
}

fn decide_unreadable(
    said: Option<&str>,
    found: &Value,
) -> Result<Option<Arc<str>>, TenantConflict> {
    match said {
        Some(said) => Err(TenantConflict {
            stamped: said.to_owned(),
            found: found.to_string(),
        }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stamp(said: Option<&str>, data: Value) -> Result<Option<Arc<str>>, TenantConflict> {
        let isolation = TenantIsolation {
            event_field: Some(Path::parse("org.tenant").unwrap()),
        };
        isolation.stamp(said, &data.into())
    }

    #[test]
    fn the_publisher_or_the_data_says_whose_an_event_is() {
        let of = |tenant| json!({"org": {"tenant": tenant}});
        assert_eq!(stamp(Some("a"), json!({})), Ok(Some("a".into())));
        assert_eq!(stamp(None, of(json!("a"))), Ok(Some("a".into())));
        assert_eq!(stamp(None, of(json!(7))), Ok(Some("7".into())));
        assert_eq!(stamp(Some("7"), of(json!(7))), Ok(Some("7".into())));
        assert_eq!(stamp(Some("a"), of(json!(null))), Ok(Some("a".into())));
    }

    #[test]
    fn an_event_without_a_readable_tenant_has_none() {
        for data in [
            json!({}),
            json!(1),
            json!({"org": {"tenant": null}}),
            json!({"org": {"tenant": ""}}),
            json!({"org": {"tenant": ["a"]}}),
        ] {
            assert_eq!(stamp(None, data.clone()), Ok(None), "{data}");
            assert_eq!(stamp(Some(""), data.clone()), Ok(None), "{data}");
        }
    }

    #[test]
    fn two_tenants_are_a_conflict() {
        for other in [json!("b"), json!(1), json!(""), json!(["a"])] {
            let conflict = stamp(Some("a"), json!({"org": {"tenant": other}})).unwrap_err();
            assert_eq!(conflict.stamped, "a");
        }
    }

    #[test]
    fn an_empty_tenant_is_none() {
        let isolation = TenantIsolation { event_field: None };
        let mut identity = Identity {
            tenant_id: Some(String::new()),
            ..Identity::default()
        };
        assert_eq!(isolation.tenant_of(Some(&identity)), Err(Denied::NoTenant));
        assert_eq!(
            isolation.tenant_of(None),
            Err(Denied::Anonymous(Check::Tenant))
        );
        identity.tenant_id = Some("a".into());
        assert_eq!(isolation.tenant_of(Some(&identity)), Ok("a".into()));
    }
}
