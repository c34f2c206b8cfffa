//! What is read, and what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn problem(text: &str) -> Problem {
    IndexedJson::read_exact(text).unwrap_err().problem
}

#[test]
fn what_is_wrong_is_told_apart() {
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (expected, text) in [
        (Problem::Empty, ""),
        (Problem::Empty, " \n"),
        (Problem::ByteOrderMark, "\u{feff}1"),
        (Problem::Trailing, "1 2"),
        (Problem::Trailing, "{} x"),
        (Problem::Surrogate, r#""\ud800""#),
        (Problem::Surrogate, r#"{"\udc00":1}"#),
        (Problem::Number, "[1e400]"),
        (Problem::Digits, "18446744073709551616"),
        (Problem::Digits, "-9223372036854775809"),
        (Problem::Depth, &deep(128)),
    ] {
        assert_eq!(problem(text), expected, "{text}");
    }
    for text in [
        "NaN",
        "Infinity",
        "[1,]",
        "{\"a\":}",
        "'a'",
        "{a:1}",
        "01",
        "\"\u{1}\"",
        "[",
        "\"\\",
        "-",
    ] {
        assert!(
            matches!(problem(text), Problem::Syntax(words) if !words.is_empty()),
            "{text}"
        );
    }
    assert!(IndexedJson::read_exact(&deep(127)).is_ok());
    assert_eq!(
        IndexedJson::read("18446744073709551616")
            .unwrap()
            .root()
            .as_number(),
        Some(crate::Number::Float(18_446_744_073_709_551_616.0))
    );
}

#[test]
fn members_and_items_are_found() {
    let text = r#" { "a" : [1, {"x":[]}, "é"] , "b\u0062" : {"c":-0.5}, "a\n": true, "n":null } "#;
    let json = IndexedJson::read(text).unwrap();
    let root = json.root();
    let path = |names: &[&str]| {
        names
            .iter()
            .map(|name| Box::from(*name))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        json.at(&path(&["bb", "c"])).unwrap().as_number(),
        Some(crate::Number::Float(-0.5))
    );
    assert_eq!(root.member("a").unwrap().items().count(), 3);
    assert_eq!(root.member("a\n").unwrap().as_bool(), Some(true));
    assert_eq!(
        root.member("a")
            .unwrap()
            .items()
            .last()
            .unwrap()
            .as_str()
            .unwrap(),
        "é"
    );
    assert!(root.member("n").unwrap().to_value().is_null());
    assert!(root.member("c").is_none());
    assert!(json.at(&path(&["a", "x"])).is_none());
    assert_eq!(json.depth(), 4);
}

#[test]
fn of_several_members_of_one_name_the_last_counts() {
    let json = IndexedJson::read(r#"{"a":1,"b":2,"\u0061":[3]}"#).unwrap();
    assert_eq!(json.root().member("a").unwrap().to_value(), json!([3]));
    assert_eq!(json, json!({"a": [3], "b": 2}));
}

/// Pieces of JSON; most of their sequences are not JSON.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"",
        "\"a\"",
        "\"b\":",
        "\\",
        "\\u00e9",
        "\\ud83d",
        "\\ude00",
        "\\x",
        "é",
        "null",
        "true",
        "nul",
        "0",
        "00",
        "-",
        "-0",
        "1.5",
        "1.",
        ".5",
        "1e5",
        "1e400",
        "1e-400",
        "E",
        "+1",
        "18446744073709551616",
        "\u{1}",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".*", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_text_is_read_exactly_if_a_value_can_be_made_of_it(text in pieces()) {
        let value = serde_json::from_str::<Value>(&text);
        let read = IndexedJson::read(&text);
        prop_assert_eq!(read.is_ok(), value.is_ok(), "{}", text);
        if let (Ok(read), Ok(value)) = (read, value) {
            // An integer, which `serde_json` reads as a float.
            let value = if text.trim() == "-0" { json!(0) } else { value };
            if !text.contains("-0") {
                prop_assert_eq!(read.root().to_value(), value);
            }
        }
    }

    #[test]
    fn every_value_is_read_and_written(value in values()) {
        let written = IndexedJson::from(&value);
        prop_assert_eq!(written.root().to_value(), value.clone());
        for text in [value.to_string(), format!("{value:#}"), written.text().to_owned()] {
            let read = IndexedJson::read_exact(&text).unwrap();
            prop_assert_eq!(read.root().to_value(), value.clone());
            prop_assert_eq!(read.depth(), written.depth());
        }
        prop_assert_eq!(serde_json::from_str::<Value>(written.text()).unwrap(), value);
    }
}
