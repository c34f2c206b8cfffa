//! Plans of clients that may not read every field.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use graphql::Plan;
use serde_json::{Value, json};
use support::subscribe;

const TEXT: &str = "subscription { order { id total: totalAmount customer { email firstName } } }";

fn is_denied(type_name: &str, field: &str) -> bool {
    matches!(
        (type_name, field),
        ("Order", "totalAmount" | "items") | ("Customer", "email")
    )
}

fn restricted(text: &str, value: &Value) -> Value {
    let plan = subscribe(text).plan.without(&is_denied).unwrap();
    let mut out = Vec::new();
    plan.project(value, &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn each_denied_field_is_listed_with_its_path() {
    let errors = subscribe(TEXT).plan.denied_fields(&is_denied);
    let listed: Value = serde_json::from_slice(&graphql::errors_to_json(&errors)).unwrap();
    assert_eq!(listed[0]["path"], json!(["order", "total"]));
    assert_eq!(
        listed[0]["message"],
        "not permitted to read `Order.totalAmount`"
    );
    assert_eq!(listed[0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(listed[0]["locations"], json!([{"line": 1, "column": 27}]));
    assert_eq!(listed[1]["path"], json!(["order", "customer", "email"]));
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn a_fragment_that_is_spread_twice_is_listed_twice() {
    let text =
        "subscription { order { ...F parent { ...F } } } fragment F on Order { totalAmount }";
    let errors = subscribe(text).plan.denied_fields(&is_denied);
    assert_eq!(errors.len(), 2);
}

#[test]
fn a_denied_nullable_field_is_null_with_an_error() {
    let value = json!({"id": 7, "total_amount": 12.5, "customer": null});
    let response = restricted(TEXT, &value);
    assert_eq!(
        response["data"],
        json!({"order": {"id": "7", "total": null, "customer": null}})
    );
    assert_eq!(response["errors"][0]["path"], json!(["order", "total"]));
    assert_eq!(response["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

#[test]
fn a_denied_field_that_cannot_be_null_makes_its_parent_null() {
    let value = json!({"id": 7, "customer": {"email": "e", "first_name": "f"}});
    let response = restricted(TEXT, &value);
    assert_eq!(response["data"]["order"]["customer"], Value::Null);
    assert!(!response.to_string().contains("\"e\""));
}

#[test]
fn a_field_is_denied_below_interfaces_as_well() {
    let text = "subscription { node { id ... on Order { totalAmount } } }";
    let value = json!({"__typename": "Order", "id": 1, "totalAmount": 2});
    let response = restricted(text, &value);
    assert_eq!(
        response["data"],
        json!({"node": {"id": "1", "totalAmount": null}})
    );
    let value = json!({"__typename": "Customer", "id": 1});
    assert_eq!(
        restricted(text, &value)["data"],
        json!({"node": {"id": "1"}})
    );
}

#[test]
fn a_restricted_plan_equals_none_that_may_read_the_field() {
    let plan = subscribe(TEXT).plan;
    let without = |denied: &dyn Fn(&str, &str) -> bool| -> Plan { plan.without(denied).unwrap() };
    assert_ne!(without(&is_denied), *plan);
    assert_eq!(without(&is_denied), without(&is_denied));
    assert_ne!(
        without(&is_denied),
        without(&|_, field| field == "totalAmount")
    );
    assert!(plan.without(&|_, field| field == "notes").is_none());
}
