//! Role-based access: permissions that subscriptions and fields require.

use std::collections::HashMap;

use crate::error::Denied;
use crate::identity::Identity;

/// How fields are handled that the client has no permission for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDenied {
    /// The subscription is refused, with the path of each denied field.
    #[default]
    Error,
    /// Denied fields are null, with an error for each.
    Null,
}

/// Groups of permissions; an identity needs all permissions of one group: `[["a", "b"], ["c"]]` is
/// a and b, or c. Without a group no identity is permitted; an empty group permits every identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement(pub Vec<Vec<String>>);

impl Requirement {
    /// Creates a requirement of one permission.
    #[must_use]
    pub fn permission(name: &str) -> Self {
        Self(vec![vec![name.to_owned()]])
    }

    fn is_met(&self, identity: Option<&Identity>) -> bool {
        identity.is_some_and(|identity| {
            let has = |permission| identity.permissions.contains(permission);
            self.0.iter().any(|group| group.iter().all(has))
        })
    }
}

/// Required permissions by subscription and field; several requirements of one field must all be
/// met.
#[derive(Debug, Clone, Default)]
pub struct Rbac {
    subscriptions: HashMap<String, Vec<Requirement>>,
    /// By object type and field.
    fields: HashMap<String, HashMap<String, Vec<Requirement>>>,
    /// How denied fields are handled.
    pub on_denied: OnDenied,
}

impl Rbac {
    /// Adds a requirement to a subscription.
    pub fn protect_subscription(&mut self, field: &str, requirement: Requirement) {
        let asked = self.subscriptions.entry(field.to_owned()).or_default();
        asked.push(requirement);
    }

    /// Adds a requirement to a field of a type.
    pub fn protect_field(&mut self, type_name: &str, field: &str, requirement: Requirement) {
        let fields = self.fields.entry(type_name.to_owned()).or_default();
        let asked = fields.entry(field.to_owned()).or_default();
        asked.push(requirement);
    }

    /// Whether a subscription requires every permission that another one requires.
    #[must_use]
    pub fn asks_as_much(&self, field: &str, other: &str) -> bool {
        let asked = |field| self.subscriptions.get(field).into_iter().flatten();
        asked(other).all(|requirement| asked(field).any(|own| own == requirement))
    }

    /// Returns what a subscription requires, all of which has to be met.
    #[must_use]
    pub fn asked_of_subscription(&self, field: &str) -> &[Requirement] {
        self.subscriptions.get(field).map_or(&[], Vec::as_slice)
    }

    /// Returns what a field of an object type requires, all of which has to be met.
    #[must_use]
    pub fn asked_of_field(&self, type_name: &str, field: &str) -> &[Requirement] {
        let fields = self.fields.get(type_name);
        fields
            .and_then(|fields| fields.get(field))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether nothing is protected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty() && self.fields.is_empty()
    }

    /// Checks the permissions for the subscription itself.
    ///
    /// # Errors
    ///
    /// [`Denied::Subscription`] if the identity lacks them.
    pub fn check_subscription(
        &self,
        identity: Option<&Identity>,
        field: &str,
    ) -> Result<(), Denied> {
        match self.subscriptions.get(field) {
            Some(asked) if !has_all(identity, asked) => Err(Denied::Subscription(field.to_owned())),
            _ => Ok(()),
        }
    }

    /// Whether the identity may not read a field of an object type.
    #[must_use]
    pub fn denies_field(&self, identity: Option<&Identity>, type_name: &str, field: &str) -> bool {
        let fields = self.fields.get(type_name);
        let asked = fields.and_then(|fields| fields.get(field));
        asked.is_some_and(|asked| !has_all(identity, asked))
    }
}

fn has_all(identity: Option<&Identity>, asked: &[Requirement]) -> bool {
    asked.iter().all(|requirement| requirement.is_met(identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_that_is_asked_for_has_to_be_there() {
        let mut rbac = Rbac::default();
        rbac.protect_field("Order", "total", Requirement::permission("orders:finance"));
        rbac.protect_field("Order", "total", Requirement::permission("orders:read"));
        rbac.protect_subscription("orderUpdated", Requirement::permission("orders:read"));
        let reader = Identity {
            permissions: vec!["orders:read".into()],
            ..Identity::default()
        };
        let finance = Identity {
            permissions: vec!["orders:read".into(), "orders:finance".into()],
            ..Identity::default()
        };
        assert!(rbac.denies_field(Some(&reader), "Order", "total"));
        assert!(!rbac.denies_field(Some(&finance), "Order", "total"));
        assert!(!rbac.denies_field(Some(&reader), "Order", "id"));
        assert_eq!(
            rbac.check_subscription(Some(&reader), "orderUpdated"),
            Ok(())
        );
        assert!(
            rbac.check_subscription(Some(&Identity::default()), "orderUpdated")
                .is_err()
        );
        assert!(rbac.check_subscription(None, "orderUpdated").is_err());
        assert_eq!(rbac.check_subscription(None, "news"), Ok(()));
        assert!(rbac.denies_field(None, "Order", "total"));
    }

    #[test]
    fn one_whole_group_is_enough_and_no_group_is_never_met() {
        let group = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let either = Requirement(vec![group(&["a", "b"]), group(&["c"])]);
        let with = |names: &[&str]| Identity {
            permissions: group(names),
            ..Identity::default()
        };
        assert!(either.is_met(Some(&with(&["c"]))) && either.is_met(Some(&with(&["b", "a"]))));
        assert!(!either.is_met(Some(&with(&["a"]))));
        assert!(!Requirement(Vec::new()).is_met(Some(&with(&["a"]))));
        let anyone = Requirement(vec![Vec::new()]);
        assert!(anyone.is_met(Some(&with(&[]))) && !anyone.is_met(None));
    }
}
