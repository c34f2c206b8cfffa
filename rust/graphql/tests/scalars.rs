//! Result coercion of leaves, as graphql-js 16 does it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use graphql::{Document, DocumentLimits, Operation, Schema, SchemaOptions};
use serde_json::{Value, json};
use support::{object, project};

/// Returns the result of field `name` of type `Scalars`, or `None` for a field error.
fn leaf(name: &str, value: Value) -> Option<String> {
    let response = project(
        &format!("subscription {{ scalars {{ {name} }} }}"),
        json!({name: value}),
    );
    if response.starts_with(r#"{"errors""#) {
        return None;
    }
    let start = format!(r#"{{"data":{{"scalars":{{"{name}":"#);
    let text = response
        .strip_prefix(&start)
        .and_then(|rest| rest.strip_suffix("}}}"));
    Some(text.unwrap().to_owned())
}

fn check(name: &str, cases: &[(Value, Option<&str>)]) {
    for (value, expected) in cases {
        assert_eq!(
            leaf(name, value.clone()).as_deref(),
            *expected,
            "{name} from {value}"
        );
    }
}

#[test]
fn int_takes_whole_numbers_of_32_bits() {
    check(
        "int",
        &[
            (json!(5), Some("5")),
            (json!(-2_147_483_648_i64), Some("-2147483648")),
            (json!(2_147_483_648_i64), None),
            (json!(u64::MAX), None),
            (json!(5.0), Some("5")),
            (json!(5.5), None),
            (json!(1e40), None),
            (json!(true), Some("1")),
            (json!(false), Some("0")),
            (json!("12"), Some("12")),
            (json!(" 0x10 "), Some("16")),
            (json!("1e3"), Some("1000")),
            (json!(""), None),
            (json!("abc"), None),
            (json!("inf"), None),
            (json!([]), None),
            (json!({}), None),
        ],
    );
}

#[test]
fn float_is_printed_as_javascript_does() {
    check(
        "float",
        &[
            (json!(5.0), Some("5")),
            (json!(-0.0), Some("0")),
            (json!(0.1), Some("0.1")),
            (json!(7), Some("7")),
            (json!(1e21), Some("1e+21")),
            (
                json!(123_456_789_012_345_680_000.0),
                Some("123456789012345680000"),
            ),
            (json!(1e-7), Some("1e-7")),
            (json!(0.000_001_5), Some("0.0000015")),
            (json!(1.5e300), Some("1.5e+300")),
            (json!(true), Some("1")),
            (json!("2.50"), Some("2.5")),
            (json!("x"), None),
            (json!(""), None),
            (json!([1]), None),
        ],
    );
}

#[test]
fn string_takes_numbers_and_booleans() {
    check(
        "string",
        &[
            (
                json!("a\"\\\u{8}\u{c}\n\r\t\u{1}\u{7f}\u{2028}é😀"),
                Some("\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\u{7f}\u{2028}é😀\""),
            ),
            (json!(5), Some("\"5\"")),
            (json!(5.0), Some("\"5\"")),
            (json!(1e21), Some("\"1e+21\"")),
            (json!(true), Some("\"true\"")),
            (json!({}), None),
            (json!(["a"]), None),
        ],
    );
}

#[test]
fn boolean_takes_numbers() {
    check(
        "boolean",
        &[
            (json!(true), Some("true")),
            (json!(0), Some("false")),
            (json!(0.5), Some("true")),
            (json!("true"), None),
            (json!([]), None),
        ],
    );
}

#[test]
fn id_takes_strings_and_whole_numbers() {
    check(
        "id",
        &[
            (json!("a"), Some("\"a\"")),
            (
                json!(9_007_199_254_740_993_i64),
                Some("\"9007199254740993\""),
            ),
            (json!(5.0), Some("\"5\"")),
            (json!(5.5), None),
            (json!(true), None),
            (json!({}), None),
        ],
    );
}

#[test]
fn custom_scalars_pass_through() {
    let value = json!({"b": [1, 2.0, null, {"é\n": true}], "a": u64::MAX});
    check(
        "json",
        &[(
            value,
            Some("{\"b\":[1,2,null,{\"é\\n\":true}],\"a\":18446744073709551615}"),
        )],
    );
}

#[test]
fn enums_without_internal_values_are_their_names() {
    check(
        "status",
        &[
            (json!("OPEN"), Some("\"OPEN\"")),
            (json!("open"), None),
            (json!(1), None),
        ],
    );
}

#[test]
fn enums_are_also_found_by_their_internal_values() {
    let mut options = SchemaOptions::default();
    options.enum_values.insert(
        "Status".into(),
        vec![
            ("OPEN".into(), json!("open")),
            ("PAID".into(), json!(2)),
            ("LATE".into(), json!("OPEN")),
        ],
    );
    let sdl = "type Subscription { status(is: Status, any: [Status]): [Status] }
               enum Status { OPEN PAID LATE }";
    let schema = Arc::new(Schema::parse(sdl, options).unwrap());
    let text = "subscription ($s: Status) { status(is: $s, any: [PAID, LATE]) }";
    let document = Document::parse(schema, DocumentLimits::default(), text).map(Arc::new);
    let operation = document
        .unwrap()
        .operation(None, object(json!({"s": "OPEN"})));
    let Operation::Subscription(operation) = operation.unwrap() else {
        panic!()
    };
    assert_eq!(
        Value::from(operation.arguments),
        json!({"is": "open", "any": [2, "OPEN"]})
    );
    let mut out = Vec::new();
    operation
        .plan
        .project(&json!(["open", 2, "PAID", "OPEN"]), &mut out);
    assert_eq!(out, br#"{"data":{"status":["OPEN","PAID","PAID","LATE"]}}"#);
}
