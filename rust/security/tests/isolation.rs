//! No event crosses tenants or row filters, for any identities, filters and events: compares guards
//! with a naive implementation of the rules.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use graphql::Comparison;
use proptest::prelude::*;
use security::{Check, Guard, Identity, RowFilter, Subject, TenantIsolation};
use serde_json::{Map, Value, json};

/// Returns one of a few values, so that equal values are frequent. Some are nearly equal.
fn scalar() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(1),
        json!("1"),
        json!(1.0),
        json!(1.5),
        json!("a"),
        json!("A"),
        json!(""),
        json!(true),
        json!("true"),
        json!(null),
        json!({"x": 1}),
        json!(-1),
        json!(18_446_744_073_709_551_615_u64),
    ])
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::Array),
        1 => scalar().prop_map(|inner| json!({"x": inner})),
    ]
}

fn object(keys: &'static [&'static str]) -> impl Strategy<Value = Map<String, Value>> {
    let key = prop::sample::select(keys).prop_map(str::to_owned);
    prop::collection::btree_map(key, value(), 0..4).prop_map(|map| map.into_iter().collect())
}

fn tenant() -> impl Strategy<Value = Option<String>> {
    prop::sample::select(vec![None, Some(""), Some("a"), Some("b"), Some("1")])
        .prop_map(|tenant| tenant.map(str::to_owned))
}

fn identity() -> impl Strategy<Value = Identity> {
    let user = prop::sample::select(vec!["", "1", "a"]);
    let roles = prop::collection::vec(prop::sample::select(vec!["admin", "a"]), 0..2);
    (user, tenant(), roles, object(&["team", "org"])).prop_map(|(user, tenant, roles, claims)| {
        Identity {
            user_id: user.into(),
            tenant_id: tenant,
            roles: roles.into_iter().map(str::to_owned).collect(),
            claims,
            ..Identity::default()
        }
    })
}

type Conditions = Vec<(String, Value)>;

fn conditions() -> impl Strategy<Value = Conditions> {
    let path = prop::sample::select(vec!["user_id", "team", "team.x", "org"]);
    let wanted = prop_oneof![prop::sample::select(vec![
        json!("$identity.user_id"),
        json!("$identity.team"),
        json!("$identity.claims.team.x"),
        json!("$identity.roles"),
        json!("$identity.tenant_id"),
        json!(["$identity.org", "a"]),
        json!(null),
        json!(1),
        json!([true, "1"]),
    ]),];
    prop::collection::vec((path.prop_map(str::to_owned), wanted), 1..3)
}

/// A naive implementation of the rules.
mod naive {
    use super::*;

    fn text(value: &Value) -> Option<String> {
        Some(match value {
            Value::String(text) => format!("text {text}"),
            Value::Number(n) => match n.as_f64() {
                Some(f) if n.is_f64() && f.fract() == 0.0 => format!("text {}", f as i64),
                _ => format!("text {n}"),
            },
            Value::Bool(b) => format!("bool {b}"),
            Value::Null => "null".to_owned(),
            _ => return None,
        })
    }

    fn items(value: &Value) -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().filter_map(text).collect(),
            value => text(value).into_iter().collect(),
        }
    }

    fn walk(value: &Value, path: &str) -> Option<Value> {
        path.split('.')
            .try_fold(value.clone(), |at, key| at.get(key).cloned())
    }

    fn of_identity(identity: &Identity, path: &str) -> Option<Value> {
        let value = match path {
            "user_id" => Value::from(identity.user_id.clone()),
            "tenant_id" => Value::from(identity.tenant_id.clone()?),
            "roles" => json!(identity.roles),
            path => {
                let path = path.strip_prefix("claims.").unwrap_or(path);
                return walk(&Value::from(identity.claims.clone()), path).filter(|v| !v.is_null());
            }
        };
        (value != json!("")).then_some(value)
    }

    fn wanted(identity: &Identity, value: &Value) -> Vec<String> {
        let list = match value {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        };
        let resolved = list.into_iter().filter_map(|item| match item.as_str() {
            Some(text) if text.starts_with('$') => of_identity(identity, &text[10..]),
            _ => Some(item),
        });
        resolved.flat_map(|value| items(&value)).collect()
    }

    pub(super) fn may_see(identity: &Identity, conditions: &Conditions, data: &Value) -> bool {
        conditions.iter().all(|(path, value)| {
            let wanted = wanted(identity, value);
            walk(data, path).is_some_and(|value| items(&value).iter().any(|f| wanted.contains(f)))
        })
    }
}

fn row_filter(conditions: &Conditions) -> RowFilter {
    let pairs = conditions
        .iter()
        .map(|(path, value)| (path.as_str(), value));
    RowFilter::new("orders*", pairs, vec!["admin".into()]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn rows_are_those_that_a_naive_reading_lets_through(
        identity in identity(), conditions in conditions(),
        data in object(&["user_id", "team", "org"]),
    ) {
        let rule = row_filter(&conditions).rule("orders.7", &identity, |_| Comparison::Any);
        let data = Value::from(data);
        match rule {
            Some(rule) => {
                prop_assert!(!identity.roles.contains(&"admin".to_owned()));
                prop_assert_eq!(rule.admits(&(&data).into()), naive::may_see(&identity, &conditions, &data));
            }
            None => prop_assert!(identity.roles.contains(&"admin".to_owned())),
        }
    }

    #[test]
    fn no_event_crosses_tenants(
        identity in identity(), said in tenant(), data in object(&["tenant_id", "team"]),
    ) {
        let isolation = TenantIsolation { event_field: Some(security::Path::parse("tenant_id").unwrap()) };
        let data = Value::from(data);
        let Ok(tenant) = isolation.tenant_of(Some(&identity)) else {
            prop_assert!(identity.tenant_id.as_deref().unwrap_or("").is_empty());
            return Ok(());
        };
        let mut guard = Guard::default();
        guard.bind_tenant(tenant.clone());
        let Ok(stamp) = isolation.stamp(said.as_deref(), &(&data).into()) else {
            prop_assert!(said.is_some() && data["tenant_id"] != json!(said));
            return Ok(());
        };
        let subject = Subject { channel: "orders", tenant_id: stamp.as_deref(), data: &(&data).into() };
        if guard.admit(subject).is_ok() {
            // The publisher and the data each name this tenant or none, and at least one names it.
            let stated = &data["tenant_id"];
            let says = |value: &Value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(n) => Some(n.to_string().trim_end_matches(".0").to_owned()),
                _ => None,
            };
            prop_assert!(said.as_deref().is_none_or(|said| said.is_empty() || *said == *tenant));
            prop_assert!(stated.is_null() || says(stated).as_deref() == Some(&*tenant));
            prop_assert!(!stated.is_null() || said.as_deref() == Some(&*tenant));
        } else {
            prop_assert_eq!(guard.admit(subject), Err(Check::Tenant));
        }
    }

    #[test]
    fn equal_guards_let_equal_events_through(
        one in identity(), other in identity(), conditions in conditions(),
        events in prop::collection::vec(object(&["user_id", "team", "org"]), 1..8),
    ) {
        let guard = |identity: &Identity| {
            let mut guard = Guard::default();
            if let Some(tenant) = identity.tenant() {
                guard.bind_tenant(tenant.into());
            }
            if let Some(rule) = row_filter(&conditions).rule("orders", identity, |_| Comparison::Any) {
                guard.add_rows(rule);
            }
            guard
        };
        let (first, second) = (guard(&one), guard(&other));
        if first == second {
            for data in events {
                let data = Value::from(data);
                let subject = Subject { channel: "orders", tenant_id: Some("a"), data: &(&data).into() };
                prop_assert_eq!(first.admit(subject), second.admit(subject));
            }
        }
    }
}
