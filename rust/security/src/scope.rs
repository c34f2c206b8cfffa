//! Scope verification: restricts arguments to values of the client's own identity.

use graphql::Comparison;
use serde_json::{Map, Value};

use crate::error::{Check, Denied, RuleError};
use crate::identity::Identity;
use crate::path::Path;
use crate::value::RuleValue;

/// Restricted arguments and their allowed values.
#[derive(Debug, Clone)]
pub struct Scope {
    rules: Vec<Rule>,
    unless: Vec<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    text: String,
    path: Path,
    accepted: RuleValue,
}

impl Scope {
    /// Creates rules by the dotted path of their argument. Identities with one of the roles
    /// `unless` may pass any value.
    ///
    /// # Errors
    ///
    /// [`RuleError`] if a path or a value is invalid.
    pub fn new<'v>(
        rules: impl IntoIterator<Item = (&'v str, &'v Value)>,
        unless: Vec<String>,
    ) -> Result<Self, RuleError> {
        let rules = rules
            .into_iter()
            .map(|(text, value)| {
                Ok(Rule {
                    text: text.to_owned(),
                    path: Path::parse(text)?,
                    accepted: RuleValue::parse(value)?,
                })
            })
            .collect::<Result<_, RuleError>>()?;
        Ok(Self { rules, unless })
    }

    /// Returns the restricted arguments: the first names of their paths.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        let first = |rule: &'_ Rule| rule.text.split('.').next().unwrap_or_default().len();
        self.rules.iter().map(move |rule| &rule.text[..first(rule)])
    }

    /// Checks the coerced arguments of a field. A rule applies to fields that have its argument;
    /// `argument` returns how it is compared. The client has to pass the argument, because a
    /// subscription without it would receive more events.
    ///
    /// # Errors
    ///
    /// [`Denied`] with the first argument whose value is not allowed.
    pub fn check(
        &self,
        identity: Option<&Identity>,
        argument: impl Fn(&str) -> Option<Comparison>,
        arguments: &Map<String, Value>,
    ) -> Result<(), Denied> {
        let mut rules = self
            .rules
            .iter()
            .filter_map(|rule| {
                let (name, rest) = rule.path.parts().split_first()?;
                Some((rule, name, rest, argument(name)?))
            })
            .peekable();
        if rules.peek().is_none() {
            return Ok(());
        }
        let identity = identity.ok_or(Denied::Anonymous(Check::Scope))?;
        if identity.has_role(&self.unless) {
            return Ok(());
        }
        for (rule, name, rest, comparison) in rules {
            let given = arguments
                .get(&**name)
                .and_then(|given| crate::path::follow(given, rest));
            let comparison = comparison.at(rest);
            let is_own = given.is_some_and(|given| {
                let own = rule
                    .accepted
                    .resolve(identity, comparison.innermost().clone());
                !given.is_null() && own.accepts_all(&comparison.published(given))
            });
            if !is_own {
                return Err(Denied::Argument {
                    argument: rule.text.clone(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(arguments: Value, role: &str) -> Result<(), Denied> {
        let rules = json!({"userId": "$identity.user_id", "where.team": "$identity.teams"});
        let rules = rules.as_object().unwrap();
        let rules = rules.iter().map(|(path, value)| (path.as_str(), value));
        let scope = Scope::new(rules, vec!["admin".into()]).unwrap();
        let identity = Identity {
            user_id: "7".into(),
            roles: vec![role.into()],
            claims: json!({"teams": ["a", "b"]}).as_object().cloned().unwrap(),
            ..Identity::default()
        };
        let arguments = arguments.as_object().unwrap();
        let known = |name: &str| {
            let is_known = name == "region" || arguments.contains_key(name);
            is_known.then_some(Comparison::Any)
        };
        scope.check(Some(&identity), known, arguments)
    }

    #[test]
    fn an_argument_must_be_the_identitys() {
        assert_eq!(check(json!({"userId": 7}), ""), Ok(()));
        assert_eq!(check(json!({"userId": "7", "region": "eu"}), ""), Ok(()));
        for other in [json!(8), json!(null), json!(["7", "8"]), json!([])] {
            let denied = check(json!({"userId": other}), "").unwrap_err();
            assert_eq!(denied.check(), Check::Scope);
            assert!(denied.to_string().contains("userId"));
        }
    }

    #[test]
    fn a_nested_argument_must_be_there() {
        assert_eq!(check(json!({"where": {"team": ["a", "b"]}}), ""), Ok(()));
        for other in [json!({"team": ["a", "c"]}), json!({}), json!(null)] {
            assert!(check(json!({"where": other}), "").is_err());
        }
    }

    #[test]
    fn a_field_without_the_argument_is_none_of_its_business() {
        assert_eq!(check(json!({"region": "eu"}), ""), Ok(()));
    }

    #[test]
    fn an_argument_that_is_left_out_is_denied() {
        let wanted = json!("$identity.user_id");
        let scope = Scope::new([("userId", &wanted)], Vec::new()).unwrap();
        let identity = Identity {
            user_id: "7".into(),
            ..Identity::default()
        };
        assert!(
            scope
                .check(Some(&identity), |_| Some(Comparison::Any), &Map::new())
                .is_err()
        );
        assert_eq!(
            scope.check(None, |_| Some(Comparison::Any), &Map::new()),
            Err(Denied::Anonymous(Check::Scope))
        );
    }

    #[test]
    fn the_roles_that_are_excepted_may_ask_for_anything() {
        assert_eq!(check(json!({"userId": 8}), "admin"), Ok(()));
    }
}
