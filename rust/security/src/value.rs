//! Values in rules: constants and references to the identity, and their comparison.
//!
//! Values are compared as in subscription filters. If no type is known, a number equals the string
//! with its digits, because ids are strings in identities but may be integers in events. Objects
//! are never equal.

use graphql::{Compared, Comparison};
use serde_json::Value;

use crate::error::RuleError;
use crate::identity::Identity;
use crate::path::Path;

/// The values that a rule accepts for one identity. The order does not affect equality.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Allowed {
    comparison: Comparison,
    /// Sorted, each once.
    values: Vec<Compared>,
}

impl Allowed {
    fn new(comparison: Comparison) -> Self {
        Self {
            comparison,
            values: Vec::new(),
        }
    }

    /// Adds a value, or each item of a list. Objects, and lists in lists, add nothing.
    fn add(&mut self, value: &Value) {
        match value {
            Value::Array(items) => {
                for item in items.iter().filter(|item| !item.is_array()) {
                    self.add(item);
                }
            }
            Value::Object(_) => {}
            value => {
                let value = self.comparison.of(value);
                if let Err(place) = self.values.binary_search(&value) {
                    self.values.insert(place, value);
                }
            }
        }
    }

    /// Whether the value, or one item of a list, is accepted.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.accepts_one(item)),
            value => self.accepts_one(value),
        }
    }

    /// Whether the value, or all items of a list that is not empty, are accepted.
    #[must_use]
    pub fn accepts_all(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => {
                !items.is_empty() && items.iter().all(|item| self.accepts_one(item))
            }
            value => self.accepts_one(value),
        }
    }

    fn accepts_one(&self, value: &Value) -> bool {
        match (value, self.values.as_slice()) {
            (Value::Array(_) | Value::Object(_), _) => false,
            (value, [Compared::Text(only)]) => self.comparison.is_text(value, only),
            (value, values) => values.binary_search(&self.comparison.of(value)).is_ok(),
        }
    }
}

/// The value of a rule: a scalar, `$identity.x`, or a list of these, any of which is accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleValue(Vec<Term>);

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Literal(Value),
    Identity(Path),
}

/// The prefix of a reference.
const REFERENCE: &str = "$identity.";

impl RuleValue {
    /// Parses a rule's value.
    ///
    /// # Errors
    ///
    /// [`RuleError`] for an object, a list in a list, or a `$` that does not begin `$identity.`.
    pub fn parse(value: &Value) -> Result<Self, RuleError> {
        match value {
            Value::Array(items) => items
                .iter()
                .map(Term::parse)
                .collect::<Result<_, _>>()
                .map(Self),
            value => Term::parse(value).map(|term| Self(vec![term])),
        }
    }

    /// Returns the accepted values for this identity and comparison. A reference to a missing
    /// member adds nothing.
    #[must_use]
    pub fn resolve(&self, identity: &Identity, comparison: Comparison) -> Allowed {
        let mut allowed = Allowed::new(comparison);
        for term in &self.0 {
            match term {
                Term::Literal(value) => allowed.add(value),
                Term::Identity(path) => {
                    // A claim that is null counts as missing.
                    let claim = identity.find(path).filter(|value| !value.is_null());
                    if let Some(value) = claim {
                        allowed.add(&value);
                    }
                }
            }
        }
        allowed
    }
}

impl Term {
    fn parse(value: &Value) -> Result<Self, RuleError> {
        match value {
            Value::String(text) if text.starts_with('$') => {
                let path = text
                    .strip_prefix(REFERENCE)
                    .ok_or_else(|| RuleError::Reference(text.clone()))?;
                Path::parse(path)
                    .map(Self::Identity)
                    .map_err(|_| RuleError::Reference(text.clone()))
            }
            Value::Array(_) | Value::Object(_) => Err(RuleError::Value(value.to_string())),
            scalar => Ok(Self::Literal(scalar.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn allowed(value: Value) -> Allowed {
        let identity = Identity {
            user_id: "7".into(),
            roles: vec!["admin".into(), "staff".into()],
            claims: json!({"teams": [1, 2], "nothing": null, "org": {"id": "o1"}})
                .as_object()
                .cloned()
                .unwrap(),
            ..Identity::default()
        };
        RuleValue::parse(&value)
            .unwrap()
            .resolve(&identity, Comparison::Any)
    }

    #[test]
    fn an_id_of_the_identity_accepts_the_integer_of_an_event() {
        let id = allowed(json!("$identity.user_id"));
        for same in [json!("7"), json!(7), json!(7.0), json!(["1", "7"])] {
            assert!(id.accepts(&same), "{same}");
        }
        for other in [
            json!("07"),
            json!(7.5),
            json!(null),
            json!({"id": 7}),
            json!([]),
        ] {
            assert!(!id.accepts(&other), "{other}");
        }
    }

    #[test]
    fn a_list_of_the_identity_accepts_each_of_its_items() {
        let teams = allowed(json!("$identity.teams"));
        assert!(teams.accepts(&json!("2")) && teams.accepts(&json!(1)));
        assert!(!teams.accepts(&json!(3)));
        assert!(allowed(json!("$identity.roles")).accepts(&json!("staff")));
    }

    #[test]
    fn claims_are_found_by_their_name_and_below_claims() {
        for reference in ["$identity.org.id", "$identity.claims.org.id"] {
            assert!(
                allowed(json!(reference)).accepts(&json!("o1")),
                "{reference}"
            );
        }
    }

    #[test]
    fn what_the_identity_does_not_have_accepts_nothing() {
        for reference in [
            "tenant_id",
            "nobody",
            "nothing",
            "org",
            "org.name",
            "permissions",
        ] {
            let none = allowed(json!(format!("$identity.{reference}")));
            for value in [json!(null), json!(""), json!([]), json!("o1"), json!(false)] {
                assert!(!none.accepts(&value), "{reference} accepts {value}");
            }
        }
    }

    #[test]
    fn literals_accept_themselves_alone() {
        let mixed = allowed(json!(["eu", true, null, "$identity.user_id"]));
        for value in [json!("eu"), json!(true), json!(null), json!(7)] {
            assert!(mixed.accepts(&value), "{value}");
        }
        assert!(!mixed.accepts(&json!(false)) && !mixed.accepts(&json!("true")));
    }

    #[test]
    fn all_items_of_an_argument_have_to_be_accepted() {
        let teams = allowed(json!("$identity.teams"));
        assert!(teams.accepts_all(&json!([1, "2"])));
        assert!(!teams.accepts_all(&json!([1, 3])) && !teams.accepts_all(&json!([])));
    }

    #[test]
    fn values_are_compared_as_their_type_means_them() {
        let identity = Identity {
            user_id: "123e4567-e89b-12d3-a456-426614174000".into(),
            ..Identity::default()
        };
        let own = json!("123E4567-E89B-12D3-A456-426614174000");
        let resolve = |comparison| {
            let wanted = RuleValue::parse(&json!("$identity.user_id")).unwrap();
            wanted.resolve(&identity, comparison)
        };
        assert!(resolve(Comparison::Uuid).accepts(&own));
        assert!(!resolve(Comparison::Any).accepts(&own));
        assert!(!resolve(Comparison::Uuid).accepts(&json!(null)));
    }

    #[test]
    fn equal_sets_are_equal_whatever_their_order() {
        assert_eq!(allowed(json!(["a", "b"])), allowed(json!(["b", "a", "b"])));
        assert_eq!(allowed(json!([7])), allowed(json!("$identity.user_id")));
    }

    #[test]
    fn a_rule_that_could_never_hold_is_refused() {
        for (value, part) in [
            (json!("$user.id"), "$user.id"),
            (json!("$identity."), "$identity."),
            (json!("$identity.a..b"), "$identity.a..b"),
            (json!({"a": 1}), "{\"a\":1}"),
            (json!([["a"]]), "[\"a\"]"),
        ] {
            let error = RuleValue::parse(&value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
