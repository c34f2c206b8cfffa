//! Selections, abstract types and null propagation, byte for byte as graphql-js answers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use graphql::{ResolverError, Schema, SchemaOptions};
use serde_json::json;
use support::{data, object, project, project_with, subscribe};

#[test]
fn fields_come_in_the_order_of_the_selection() {
    let value = json!({"id": 7, "status": "PAID", "totalAmount": 12.5, "extra": 1});
    assert_eq!(
        project("subscription { order { totalAmount status id } }", value),
        r#"{"data":{"order":{"totalAmount":12.5,"status":"PAID","id":"7"}}}"#
    );
}

#[test]
fn aliases_name_the_response_keys() {
    let value = json!({"id": "1", "totalAmount": 5.0});
    assert_eq!(
        project(
            "subscription { o: order { a: totalAmount b: totalAmount } }",
            value
        ),
        r#"{"data":{"o":{"a":5,"b":5}}}"#
    );
}

#[test]
fn fields_are_also_found_by_their_snake_case_names() {
    let value = json!({"total_amount": 1, "customer": {"first_name": "Ada"}});
    assert_eq!(
        data(
            "subscription { order { totalAmount customer { firstName } } }",
            value
        ),
        json!({"order": {"totalAmount": 1, "customer": {"firstName": "Ada"}}})
    );
}

#[test]
fn a_source_key_replaces_the_names_of_a_field() {
    let mut options = SchemaOptions::default();
    options
        .sources
        .insert(("Order".into(), "total".into()), "amount".into());
    let sdl = "type Subscription { order: Order } type Order { total: Int id: Int }";
    let schema = Schema::parse(sdl, options).unwrap();
    let keys: Vec<_> = schema.keys().iter().map(|key| &**key).collect();
    assert!(
        keys.contains(&"amount") && !keys.contains(&"total"),
        "{keys:?}"
    );
    let document = graphql::Document::parse(
        schema.into(),
        graphql::DocumentLimits::default(),
        "subscription { order { total id } }",
    );
    let operation = std::sync::Arc::new(document.unwrap()).operation(None, object(json!({})));
    let graphql::Operation::Subscription(operation) = operation.unwrap() else {
        panic!()
    };
    let mut out = Vec::new();
    operation
        .plan
        .project(&json!({"total": 1, "amount": 2, "id": 3}), &mut out);
    assert_eq!(out, br#"{"data":{"order":{"total":2,"id":3}}}"#);
}

#[test]
fn selections_of_one_response_key_are_merged() {
    let text =
        "subscription { order { customer { id } ...F status customer { email } } order { id } }
                fragment F on Order { customer { firstName id } }";
    let value = json!({"id": "1", "status": "OPEN", "customer":
        {"id": "c", "firstName": "Ada", "email": "a@b"}});
    assert_eq!(
        project(text, value),
        r#"{"data":{"order":{"customer":{"id":"c","firstName":"Ada","email":"a@b"},"status":"OPEN","id":"1"}}}"#
    );
}

#[test]
fn fragments_apply_by_the_type_name_of_the_value() {
    let text = "subscription { node { ... on Order { status } __typename ...C id } }
                fragment C on Customer { email ... on Node { n: id } }";
    let order = json!({"__typename": "Order", "id": 1, "status": "OPEN"});
    assert_eq!(
        project(text, order),
        r#"{"data":{"node":{"status":"OPEN","__typename":"Order","id":"1"}}}"#
    );
    let customer = json!({"__typename": "Customer", "id": 2, "email": "e"});
    assert_eq!(
        project(text, customer),
        r#"{"data":{"node":{"__typename":"Customer","email":"e","n":"2","id":"2"}}}"#
    );
}

#[test]
fn unions_are_told_apart_by_type_name() {
    let text = "subscription { found { __typename ... on Node { id } ... on Customer { email } } }";
    assert_eq!(
        data(
            text,
            json!({"__typename": "Customer", "id": 1, "email": "e"})
        ),
        json!({"found": {"__typename": "Customer", "id": "1", "email": "e"}})
    );
}

#[test]
fn a_value_of_no_possible_type_is_a_field_error() {
    for value in [
        json!({"__typename": "Item"}),
        json!({}),
        json!("x"),
        json!([]),
    ] {
        let response = project("subscription { found { __typename } }", value);
        assert!(response.starts_with(r#"{"errors":[{"message":"Abstract type \"Found\" must"#));
        assert!(response.ends_with(
            r#""locations":[{"line":1,"column":16}],"path":["found"]}],"data":{"found":null}}"#
        ));
    }
}

#[test]
fn skip_and_include_are_evaluated_with_the_variables() {
    let text = "subscription ($a: Boolean!, $b: Boolean = true) {
        order { id @skip(if: $a) status @include(if: $b) totalAmount @include(if: false) } }";
    let value = json!({"id": 1, "status": "OPEN", "totalAmount": 1});
    let cases = [
        (
            json!({"a": true}),
            r#"{"data":{"order":{"status":"OPEN"}}}"#,
        ),
        (
            json!({"a": false, "b": false}),
            r#"{"data":{"order":{"id":"1"}}}"#,
        ),
        (json!({"a": true, "b": false}), r#"{"data":{"order":{}}}"#),
    ];
    for (variables, response) in cases {
        assert_eq!(project_with(text, variables, value.clone()), response);
    }
    let response = project_with(text, json!({"a": true, "b": null}), value);
    assert!(
        response.contains(
            r#""locations":[{"line":2,"column":54}],"path":["order"]}],"data":{"order":null}"#
        ),
        "{response}"
    );
}

#[test]
fn null_in_a_nullable_field_is_null() {
    assert_eq!(
        project(
            "subscription { order { status notes } }",
            json!({"notes": null})
        ),
        r#"{"data":{"order":{"status":null,"notes":null}}}"#
    );
    assert_eq!(
        project("subscription { order { id } }", json!(null)),
        r#"{"data":{"order":null}}"#
    );
}

#[test]
fn null_in_a_non_null_field_reaches_the_nearest_nullable_parent() {
    let text = "subscription {\n  order {\n    status\n    customer { firstName e: email id }\n    totalAmount\n  }\n}";
    let value = json!({"status": "OPEN", "customer": {"firstName": "x"}, "totalAmount": 1});
    assert_eq!(
        project(text, value),
        concat!(
            r#"{"errors":[{"message":"Cannot return null for non-nullable field Customer.email.","#,
            r#""locations":[{"line":4,"column":26}],"path":["order","customer","e"]}],"#,
            r#""data":{"order":{"status":"OPEN","customer":null,"totalAmount":1}}}"#
        )
    );
}

#[test]
fn null_in_lists_is_located_by_index() {
    let value = json!([{"sku": "a", "quantity": 1}, {"sku": "b"}, {"sku": null}]);
    assert_eq!(
        project("subscription { items { sku quantity } }", value),
        concat!(
            r#"{"errors":[{"message":"Cannot return null for non-nullable field Item.quantity.","#,
            r#""locations":[{"line":1,"column":28}],"path":["items",1,"quantity"]}],"data":{"items":null}}"#
        )
    );
    assert_eq!(
        project(
            "subscription { matrix }",
            json!([[1, 2], [3, null, "x"], null, [4]])
        ),
        concat!(
            r#"{"errors":[{"message":"Cannot return null for non-nullable field Subscription.matrix.","#,
            r#""locations":[{"line":1,"column":16}],"path":["matrix",1,1]}],"#,
            r#""data":{"matrix":[[1,2],null,null,[4]]}}"#
        )
    );
}

#[test]
fn errors_that_were_met_before_stay_when_a_parent_becomes_null() {
    let text = "subscription { strictOrder { totalAmount id } }";
    let response = project(text, json!({"totalAmount": "much", "id": null}));
    let response: serde_json::Value = serde_json::from_str(&response).unwrap();
    assert_eq!(
        response["errors"][0]["path"],
        json!(["strictOrder", "totalAmount"])
    );
    assert_eq!(response["errors"][1]["path"], json!(["strictOrder", "id"]));
    assert_eq!(response["data"], json!(null));
}

#[test]
fn an_error_names_the_places_of_all_merged_nodes() {
    let response = project(
        "subscription { order { id } order { a: id id } }",
        json!({}),
    );
    let places =
        r#""locations":[{"line":1,"column":24},{"line":1,"column":43}],"path":["order","id"]"#;
    assert!(response.contains(places), "{response}");
}

#[test]
fn what_is_no_list_is_a_field_error() {
    for value in [json!("text"), json!({"a": 1}), json!(5)] {
        let response = project("subscription { items { sku } }", value);
        assert!(response.contains("expected a list for `Subscription.items`\""));
        assert!(response.ends_with(r#""data":{"items":null}}"#));
    }
}

#[test]
fn what_is_no_object_is_a_field_error() {
    for value in [json!("text"), json!(["a"]), json!(5), json!(true)] {
        let response = project("subscription { order { status } }", value);
        assert!(response.contains("expected an object for `Subscription.order`\""));
        assert!(response.ends_with(r#""data":{"order":null}}"#));
    }
}

#[test]
fn a_value_whose_keys_are_spelled_otherwise_is_a_fault_and_no_error() {
    let plan = subscribe("subscription { order { totalAmount notes } }").plan;
    let faults_of = |value: serde_json::Value| {
        let mut out = Vec::new();
        let faults = plan.project(&value, &mut out);
        let empty = br#"{"data":{"order":{"totalAmount":null,"notes":null}}}"#;
        assert_eq!(out, empty);
        faults
    };
    let faults = faults_of(json!({"TotalAmount": 1}));
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].field, "Order.totalAmount");
    let told = "it has `TotalAmount`, but the field is read from `total_amount`";
    assert_eq!(faults[0].fault.detail, told);
    for lacking in [
        json!({}),
        json!({"other": 1}),
        json!({"total_amount": null}),
    ] {
        assert!(faults_of(lacking).is_empty());
    }
}

#[test]
fn a_failed_resolver_is_answered_by_nullability() {
    let mut out = b"kept".to_vec();
    let error = ResolverError::new("no \"luck\"").with_extensions(object(json!({"code": 5.0})));
    subscribe("subscription { o: order { id } }")
        .plan
        .project_error(error, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"kept{"errors":[{"message":"no \"luck\"","locations":[{"line":1,"column":16}],"path":["o"],"#,
            r#""extensions":{"code":5}}],"data":{"o":null}}"#
        )
    );
    let mut out = Vec::new();
    let plan = subscribe("subscription { strictOrder { id } }").plan;
    plan.project_error(ResolverError::new("x"), &mut out);
    assert!(out.ends_with(br#""path":["strictOrder"]}],"data":null}"#));
}

#[test]
fn a_projection_appends_to_its_output() {
    let mut out = b"data: ".to_vec();
    subscribe("subscription { tick }")
        .plan
        .project(&json!("x"), &mut out);
    let response = String::from_utf8(out).unwrap();
    assert!(response.starts_with(r#"data: {"errors":[{"message":"Int cannot represent"#));
    assert!(response.ends_with(r#"],"data":{"tick":null}}"#));
}

#[test]
fn equal_selections_of_different_texts_are_equal_plans() {
    let a = subscribe("subscription { node { id ... on Order { status customer { id } } } }");
    let b = subscribe(
        "subscription Named($x: Boolean = true) {
           node { ...N ...O } }
         fragment O on Order { status @include(if: $x) customer { ...N } }
         fragment N on Node { id }",
    );
    assert_eq!(a.plan, b.plan);
    let hash = |plan: &graphql::Plan| {
        use std::hash::BuildHasher;
        std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(plan)
    };
    assert_eq!(hash(&a.plan), hash(&b.plan));
    for other in [
        "subscription { n: node { id ... on Order { status customer { id } } } }",
        "subscription { node { ... on Order { status customer { id } } id } }",
        "subscription { node { id ... on Order { status customer { id email } } } }",
    ] {
        assert_ne!(a.plan, subscribe(other).plan);
    }
}
