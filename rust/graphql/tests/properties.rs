//! Properties that hold for every value and every selection.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use graphql::{write_float, write_string};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{parse, project};

/// JSON of any shape, with names of the schema among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        // Short fractions: serde_json does not read the longest ones back exactly.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 128.0)),
        Just(json!(1e300)),
        "\\PC*".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("OPEN")),
    ];
    let key = prop_oneof![
        Just("id".to_owned()),
        Just("status".to_owned()),
        Just("customer".to_owned()),
        Just("items".to_owned()),
        Just("sku".to_owned()),
        Just("quantity".to_owned()),
        Just("parent".to_owned()),
        Just("total_amount".to_owned()),
        any::<String>(),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A selection on `Order` and the shape of keys it may yield.
fn selection() -> impl Strategy<Value = (String, Value)> {
    let leaf = prop_oneof![
        Just(("id".to_owned(), json!({"id": null}))),
        Just(("amount: totalAmount".to_owned(), json!({"amount": null}))),
        Just((
            "items { sku q: quantity }".to_owned(),
            json!({"items": {"sku": null, "q": null}})
        )),
        Just(("__typename".to_owned(), json!({"__typename": null}))),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::vec(inner, 1..4).prop_map(|parts| {
            let mut text = String::new();
            let mut shape = serde_json::Map::new();
            for (index, (part, inner)) in parts.iter().enumerate() {
                let key = format!("p{index}");
                text.push_str(&format!("{key}: parent {{ {part} }} "));
                shape.insert(key, inner.clone());
            }
            (text, Value::Object(shape))
        })
    })
}

/// Returns whether every key of `data` is also in `shape`.
fn is_within(data: &Value, shape: &Value) -> bool {
    match data {
        Value::Object(members) => members
            .iter()
            .all(|(key, member)| shape.get(key).is_some_and(|shape| is_within(member, shape))),
        Value::Array(items) => items.iter().all(|item| is_within(item, shape)),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_projection_is_json_and_never_yields_an_unselected_key(
        value in any_json(),
        (text, shape) in selection(),
    ) {
        let response = project(&format!("subscription {{ order {{ {text} }} }}"), value);
        let response: Value = serde_json::from_str(&response).unwrap();
        prop_assert!(is_within(&response["data"], &json!({"order": shape})), "{response}");
        let keys: Vec<_> = response.as_object().unwrap().keys().collect();
        prop_assert!(keys == ["data"] || keys == ["errors", "data"]);
    }

    #[test]
    fn strings_are_read_back_by_serde_json(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&text, &mut out);
        prop_assert_eq!(&out, &serde_json::to_vec(&text).unwrap());
    }

    #[test]
    fn floats_are_read_back_exactly(number in any::<f64>()) {
        let mut out = Vec::new();
        write_float(number, &mut out);
        let text = std::str::from_utf8(&out).unwrap();
        if number.is_finite() {
            prop_assert_eq!(text.parse::<f64>().unwrap(), number);
            prop_assert!(serde_json::from_str::<f64>(text).is_ok());
        } else {
            prop_assert_eq!(text, "null");
        }
    }

    #[test]
    fn custom_scalars_are_read_back_by_serde_json(value in any_json()) {
        let response = project("subscription { any }", value.clone());
        let response: Value = serde_json::from_str(&response).unwrap();
        // Floats without a fraction are written as integers, as JavaScript writes them.
        let spelled = |value: &Value| {
            let mut out = Vec::new();
            graphql::write_json(value, &mut out);
            out
        };
        prop_assert_eq!(spelled(&response["data"]["any"]), spelled(&value));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(subscription|query|fragment|on|\\.\\.\\.|[{}()\\[\\]!:$@\"#, a-f0-9\\n\u{e9}])*") {
        let _ = parse(&text);
    }
}
