//! JSON text is read as Python's `json` reads it, or refused.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::json::to_json;
use crate::testing::{any_json, evaluate, with_python};

/// Returns the `repr` of the object that a text is read as.
fn shown(text: &str) -> Result<String, String> {
    with_python(|py| {
        let object = text_to_python(py, text);
        let object = object.map_err(|error| error.value(py).to_string())?;
        Ok(object.repr().unwrap().to_string())
    })
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

#[test]
fn each_kind_of_value_is_read() {
    let text = r#" {"null": null, "yes": true, "list": [1, -2.5, 1e3, "x"], "empty": [{}, []]} "#;
    let expected = "{'null': None, 'yes': True, 'list': [1, -2.5, 1000.0, 'x'], 'empty': [{}, []]}";
    assert_eq!(shown(text).unwrap(), expected);
}

#[test]
fn integers_of_64_bits_are_exact() {
    let text = format!("[{}, {}, {}]", i64::MIN, i64::MAX, u64::MAX);
    assert_eq!(shown(&text).unwrap(), text);
}

#[test]
fn an_integer_past_64_bits_becomes_a_float() {
    assert_eq!(
        shown("18446744073709551616").unwrap(),
        "1.8446744073709552e+19"
    );
}

#[test]
fn a_number_that_no_double_holds_is_refused() {
    assert_eq!(
        shown("[1e999]").unwrap_err(),
        "number out of range at line 1 column 6"
    );
}

#[test]
fn names_that_python_has_for_numbers_are_refused() {
    for text in ["NaN", "Infinity", "-Infinity", "[1, NaN]"] {
        assert!(shown(text).is_err(), "{text}");
    }
}

#[test]
fn of_a_member_that_comes_twice_the_last_one_counts() {
    assert_eq!(
        shown(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap(),
        "{'a': 3, 'b': 2}"
    );
}

#[test]
fn escapes_are_read() {
    let text = r#""\" \\ \/ \b \f \n \r \t \u00e9 \ud83d\ude00""#;
    let expected = evaluate_shown(r#"'" \\ / \b \f \n \r \t é 😀'"#);
    assert_eq!(shown(text).unwrap(), expected);
}

fn evaluate_shown(expression: &str) -> String {
    with_python(|py| evaluate(py, expression).repr().unwrap().to_string())
}

#[test]
fn a_lone_surrogate_is_refused() {
    for text in [
        r#""\ud800""#,
        r#""\ud800x""#,
        r#""\udc00""#,
        r#"{"\ud800\ud800": 1}"#,
    ] {
        assert!(shown(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_has_a_bound() {
    assert!(shown(&nested(127)).is_ok());
    let error = shown(&nested(128)).unwrap_err();
    assert_eq!(error, "recursion limit exceeded at line 1 column 128");
}

#[test]
fn a_text_is_one_value() {
    for text in ["", " ", "1 2", "[] x", "{\"a\": 1}}", "[1,]", "{'a': 1}"] {
        assert!(shown(text).is_err(), "{text}");
    }
}

#[test]
fn a_name_that_comes_again_is_one_object() {
    with_python(|py| {
        let list = text_to_python(py, r#"[{"total": 1}, {"total": 2}]"#).unwrap();
        let name = |index: usize| {
            let names = list.get_item(index).unwrap().cast_into::<PyDict>();
            names.unwrap().keys().get_item(0).unwrap()
        };
        assert!(name(0).is(name(1)));
    });
}

#[test]
fn more_names_than_are_kept_are_read() {
    let members: Vec<_> = (0..SHARED_NAMES + 10)
        .map(|number| format!("\"n{number}\":{number}"))
        .collect();
    let object = format!("{{{}}}", members.join(","));
    let text = format!("[{object},{object}]");
    let expected = evaluate_shown(&format!(
        "[{{f'n{{n}}': n for n in range({})}}] * 2",
        SHARED_NAMES + 10
    ));
    assert_eq!(shown(&text).unwrap(), expected);
}

proptest! {
    #[test]
    fn python_reads_the_same(value in any_json()) {
        let text = value.to_string();
        with_python(|py| {
            let loads = evaluate(py, "__import__('json').loads");
            let expected = loads.call1((&text,)).unwrap().repr().unwrap().to_string();
            prop_assert_eq!(shown(&text), Ok(expected));
            Ok(())
        })?;
    }

    #[test]
    fn what_was_read_has_the_same_json(value in any_json()) {
        with_python(|py| {
            let object = text_to_python(py, &value.to_string()).unwrap();
            prop_assert_eq!(to_json(&object).unwrap(), value);
            Ok(())
        })?;
    }

    #[test]
    fn a_text_is_read_exactly_if_it_is_json(text in r#"[\[\]{},:"\\0-9a-eE.+ntrulfs -]{0,12}"#) {
        prop_assert_eq!(shown(&text).is_ok(), serde_json::from_str::<Value>(&text).is_ok());
    }
}
