//! Validation, choice of the operation, variables and arguments.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use graphql::{GraphQLError, Location, Operation, PathSegment, errors_to_json};
use serde_json::{Value, json};
use support::{object, parse, refusal, try_subscribe};

fn code(error: &GraphQLError) -> &str {
    error.extensions["code"].as_str().unwrap()
}

fn place(error: &GraphQLError) -> Vec<(usize, usize)> {
    error
        .locations
        .iter()
        .map(|Location { line, column }| (*line, *column))
        .collect()
}

fn arguments(text: &str, variables: Value) -> Value {
    try_subscribe(text, variables).unwrap().arguments.into()
}

#[test]
fn a_syntax_error_is_reported_once_with_its_place() {
    for text in [
        "subscription {\n  tick(\n",
        "",
        "{",
        "subscription { tick } }",
        "😀",
    ] {
        let errors = parse(text).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert_eq!(code(&errors[0]), "GRAPHQL_PARSE_FAILED");
        assert!(
            errors[0].message.starts_with("Syntax Error: "),
            "{}",
            errors[0].message
        );
        assert_eq!(errors[0].locations.len(), 1);
    }
}

#[test]
fn what_the_compiler_would_leave_out_is_a_syntax_error_with_its_place() {
    for (text, column, problem) in [
        ("{ p(r) { id } }", 6, "Expected \":\", found \")\"."),
        (
            "{ p(r query) { id } }",
            7,
            "Expected \":\", found Name \"query\".",
        ),
        ("{ p(i: {a}) { id } }", 10, "Expected \":\", found \"}\"."),
        (
            "{ p(i: [{a: 1, b}]) { id } }",
            17,
            "Expected \":\", found \"}\".",
        ),
        ("{ p @skip(if) { id } }", 13, "Expected \":\", found \")\"."),
        (
            "query ($i: I = {a}) { p(i: $i) }",
            18,
            "Expected \":\", found \"}\".",
        ),
    ] {
        let errors = parse(text).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert_eq!(code(&errors[0]), "GRAPHQL_PARSE_FAILED");
        assert_eq!(
            errors[0].message,
            format!("Syntax Error: {problem}"),
            "{text}"
        );
        assert_eq!(place(&errors[0]), [(1, column)], "{text}");
    }
}

#[test]
fn an_unknown_field_is_reported_with_its_place() {
    let error = refusal("subscription {\n  order {\n    colour\n  }\n}");
    assert_eq!(code(&error), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(
        error.message,
        "Cannot query field \"colour\" on type \"Order\"."
    );
    assert_eq!(place(&error), [(3, 5)]);
}

#[test]
fn errors_are_json_in_the_order_of_graphql_js() {
    let error = GraphQLError::new("m\"")
        .with_code("C")
        .with_locations([Location { line: 1, column: 2 }])
        .with_path(vec![PathSegment::Key("a".into()), PathSegment::Index(0)]);
    assert_eq!(
        String::from_utf8(errors_to_json(&[error, GraphQLError::new("n")])).unwrap(),
        r#"[{"message":"m\"","locations":[{"line":1,"column":2}],"path":["a",0],"extensions":{"code":"C"}},{"message":"n"}]"#
    );
}

#[test]
fn a_subscription_selects_exactly_one_root_field() {
    for text in [
        "subscription { tick any }",
        "subscription { a: tick b: tick }",
        "subscription { ...F } fragment F on Subscription { tick any }",
        "subscription { tick @skip(if: true) }",
        "subscription { __typename }",
        "subscription { tick __typename }",
        "subscription { __schema { types { name } } }",
    ] {
        assert_eq!(code(&refusal(text)), "GRAPHQL_VALIDATION_FAILED", "{text}");
    }
}

#[test]
fn root_fields_are_counted_after_fragments_and_directives() {
    for text in [
        "subscription { tick tick }",
        "subscription { ... on Subscription { ...F } } fragment F on Subscription { tick }",
        "subscription { tick any @skip(if: true) }",
        "subscription { tick @include(if: true) }",
    ] {
        assert_eq!(
            &*try_subscribe(text, json!({})).unwrap().field_name,
            "tick",
            "{text}"
        );
    }
    let text = "subscription ($x: Boolean!) { tick @skip(if: $x) any @include(if: $x) }";
    let chosen = |x: bool| try_subscribe(text, json!({"x": x})).unwrap().field_name;
    assert_eq!((&*chosen(true), &*chosen(false)), ("any", "tick"));
}

#[test]
fn the_operation_is_chosen_by_name() {
    let document = parse("subscription A { tick } subscription B { b: any }").unwrap();
    let none = object(json!({}));
    let Operation::Subscription(operation) = document.operation(Some("B"), none.clone()).unwrap()
    else {
        panic!()
    };
    assert_eq!(
        (&*operation.field_name, &*operation.response_key),
        ("any", "b")
    );
    for name in [None, Some("C"), Some("")] {
        let errors = document.operation(name, none.clone()).unwrap_err();
        assert_eq!(code(&errors[0]), "OPERATION_RESOLUTION_FAILURE");
    }
    let document = parse("fragment F on Order { id }");
    assert!(document.is_err());
}

#[test]
fn a_mutation_is_told_apart() {
    let document = parse("mutation { noop }").unwrap();
    let operation = document.operation(None, object(json!({}))).unwrap();
    assert!(matches!(operation, Operation::Mutation));
}

#[test]
fn arguments_come_from_literals_variables_and_defaults() {
    assert_eq!(
        arguments("subscription { order(id: 7) { id } }", json!({})),
        json!({"id": "7", "status": "OPEN"})
    );
    let text = "subscription ($id: ID, $s: Status = PAID, $r: String!) {
        order(id: $id, status: $s, filter: {region: $r, statuses: OPEN}) { id } }";
    assert_eq!(
        arguments(text, json!({"id": 7, "r": "eu"})),
        json!({"id": "7", "status": "PAID",
               "filter": {"minTotal": 1.5, "statuses": ["OPEN"], "region": "eu"}})
    );
    assert_eq!(
        arguments(text, json!({"s": null, "r": "eu"})),
        json!({"status": null, "filter": {"minTotal": 1.5, "statuses": ["OPEN"], "region": "eu"}})
    );
    let text = "subscription ($f: Filter) { order(filter: $f) { id } }";
    assert_eq!(
        arguments(text, json!({"f": {"region": "eu", "statuses": "PAID"}})),
        json!({"status": "OPEN",
               "filter": {"minTotal": 1.5, "statuses": ["PAID"], "region": "eu"}})
    );
    assert_eq!(
        arguments("subscription { tick }", json!({})),
        json!({"every": 5})
    );
    assert_eq!(
        arguments(
            "subscription ($e: Int!) { tick(every: $e) }",
            json!({"e": 5.0})
        ),
        json!({"every": 5})
    );
}

#[test]
fn a_null_variable_in_a_non_null_argument_is_an_error_with_a_path() {
    let text = "subscription ($e: Int = 1) { t: tick(every: $e) }";
    let error = try_subscribe(text, json!({"e": null}))
        .unwrap_err()
        .remove(0);
    assert_eq!(code(&error), "BAD_USER_INPUT");
    assert_eq!(error.path, [PathSegment::Key("t".into())]);
    assert_eq!(place(&error), [(1, 45)]);
}

#[test]
fn every_wrong_variable_is_reported_with_its_place() {
    let text = "subscription ($id: ID, $s: Status, $f: Filter!) {
        order(id: $id, status: $s, filter: $f) { id } }";
    let variables = json!({"id": 1.5, "s": "LOST", "f": {"statuses": ["OPEN", null], "colour": 1}});
    let errors = try_subscribe(text, variables).unwrap_err();
    let messages: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(errors.len(), 5, "{messages:#?}");
    assert_eq!(place(&errors[0]), [(1, 15)]);
    assert_eq!(place(&errors[4]), [(1, 36)]);
    assert!(
        messages[2].contains("at \"f.statuses[1]\""),
        "{}",
        messages[2]
    );
    assert!(
        messages[3].contains("\"region\" of required type"),
        "{}",
        messages[3]
    );
    assert!(messages[4].contains("\"colour\""), "{}", messages[4]);
    assert!(errors.iter().all(|error| code(error) == "BAD_USER_INPUT"));
}

#[test]
fn int_variables_are_whole_and_of_32_bits() {
    let text = "subscription ($e: Int!) { tick(every: $e) }";
    for value in [
        json!(1.5),
        json!(1e12),
        json!(2_147_483_648_i64),
        json!("1"),
        json!(true),
        json!(null),
    ] {
        let errors = try_subscribe(text, json!({"e": value})).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(code(&errors[0]), "BAD_USER_INPUT");
    }
    assert_eq!(code(&refusal(text)), "BAD_USER_INPUT");
}

#[test]
fn what_follows_from_another_error_is_not_reported() {
    for text in [
        "subscription ($x: Int) { order { colour(a: $x) { ...F } } } fragment F on Order { id }",
        "subscription { order { ...F } } fragment F on Nope { id }",
        "subscription { order { ... on Nope { id } } }",
        "subscription { order { id { x } } }",
        "subscription { order { a: id a: status } }",
    ] {
        let errors = parse(text).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:#?}");
    }
    let errors = parse("subscription { order { a } any(b: 1) node }").unwrap_err();
    assert_eq!(errors.len(), 4, "{errors:#?}");
}

#[test]
fn large_variables_are_not_copied_again_and_again() {
    let repeated = |times: usize| {
        let items = vec!["$x"; times].join(",");
        format!("subscription($x: JSON) {{ typed(json: [{items}]) }}")
    };
    let large = json!({"x": vec![0; 60_000]});
    assert!(try_subscribe(&repeated(2), large.clone()).is_ok());
    assert!(try_subscribe(&repeated(1000), json!({"x": vec![0; 50]})).is_ok());
    for wrong in [
        try_subscribe(&repeated(1000), large).unwrap_err(),
        try_subscribe(&repeated(1000), json!({"x": "x".repeat(100_000)})).unwrap_err(),
    ] {
        assert_eq!(code(&wrong[0]), "BAD_USER_INPUT");
        assert!(wrong[0].message.contains("too often for its size"));
    }
}

#[test]
fn defaults_are_not_put_into_objects_without_end() {
    let text = "subscription($x: [Defaults!]) { typed(defaults: $x) }";
    assert!(try_subscribe(text, json!({"x": vec![json!({}); 10_000]})).is_ok());
    let wrong = try_subscribe(text, json!({"x": vec![json!({}); 60_000]})).unwrap_err();
    assert_eq!(code(&wrong[0]), "BAD_USER_INPUT");
    assert!(
        wrong[0]
            .message
            .contains("too many objects with default values")
    );
}
