//! How the projection reads Python objects.
//!
//! Not here: exceptions, and scalars of the application, which need a manager.

use super::*;
use crate::testing::{evaluate, evaluate_after, with_python};

/// Returns the leaf that the projection reads, as text; `"raised"` if reading it raises.
fn leaf_of(expression: &str) -> String {
    with_python(|py| match uncommon(&evaluate(py, expression)) {
        Ok(Scalar::Other) => "other".to_owned(),
        Ok(Scalar::Int(value)) => format!("int {value}"),
        Ok(Scalar::UInt(value)) => format!("unsigned {value}"),
        Ok(Scalar::Float(value)) => format!("float {value}"),
        Ok(Scalar::Bool(value)) => format!("bool {value}"),
        Ok(Scalar::String(text)) => format!("text {text}"),
        Err(_) => "raised".to_owned(),
    })
}

#[test]
fn integers_are_exact_whatever_their_size() {
    assert_eq!(leaf_of("-2**63"), "int -9223372036854775808");
    assert_eq!(leaf_of("2**64 - 1"), "unsigned 18446744073709551615");
    assert_eq!(leaf_of("2**64"), "text 18446744073709551616");
}

#[test]
fn a_truth_value_is_no_integer() {
    assert_eq!(leaf_of("True"), "bool true");
}

#[test]
fn leaves_of_derived_classes_are_read_as_what_they_derive_from() {
    assert_eq!(leaf_of("type('T', (str,), {})('x')"), "text x");
    assert_eq!(leaf_of("type('N', (int,), {})(7)"), "int 7");
    assert_eq!(leaf_of("type('F', (float,), {})(0.5)"), "float 0.5");
}

#[test]
fn enum_members_are_read_as_their_values() {
    assert_eq!(leaf_of("__import__('enum').IntEnum('E', 'A B').B"), "int 2");
    assert_eq!(
        leaf_of("__import__('enum').Enum('E', {'A': 'a'}).A"),
        "text a"
    );
    assert_eq!(
        leaf_of("__import__('enum').Enum('E', {'A': object()}).A"),
        "other"
    );
}

#[test]
fn dates_and_decimals_are_read_as_text() {
    assert_eq!(
        leaf_of("__import__('datetime').date(2026, 1, 2)"),
        "text 2026-01-02"
    );
    assert_eq!(
        leaf_of("__import__('decimal').Decimal('1.10')"),
        "text 1.10"
    );
}

#[test]
fn a_text_that_has_no_utf8_is_not_read() {
    assert_eq!(leaf_of("'\\ud800'"), "raised");
}

/// Returns the `repr` of the field `name` of an object.
fn member_of(statements: &str, expression: &str, name: &str) -> Option<String> {
    with_python(|py| {
        let object = evaluate_after(py, statements, expression);
        let value = member(&object, &PyString::new(py, name)).unwrap()?;
        Some(value.repr().unwrap().to_string())
    })
}

#[test]
fn a_field_is_an_attribute_or_the_item_of_a_mapping() {
    let code = "from collections import UserDict\nclass A: total = 5";
    assert_eq!(member_of(code, "A()", "total").as_deref(), Some("5"));
    assert_eq!(member_of(code, "A()", "other"), None);
    assert_eq!(
        member_of(code, "UserDict(total=6)", "total").as_deref(),
        Some("6")
    );
}

#[test]
fn a_key_that_is_also_a_method_of_the_mapping_is_the_item() {
    let code = "from collections import UserDict";
    assert_eq!(
        member_of(code, "UserDict(items=[1])", "items").as_deref(),
        Some("[1]")
    );
}

/// Whether an object may have fields, and whether it is read as a list.
fn kind_of(expression: &str) -> (bool, bool) {
    with_python(|py| {
        let object = evaluate(py, expression);
        (
            has_members(&object).unwrap(),
            iterables::is_list(&object).unwrap(),
        )
    })
}

#[test]
fn built_in_leaves_and_lists_have_no_fields() {
    for leaf in ["1", "True", "1.5", "'x'", "b'x'", "bytearray()"] {
        assert_eq!(kind_of(leaf), (false, false), "{leaf}");
    }
    for list in ["[]", "()", "set()", "frozenset()", "(i for i in [])"] {
        assert_eq!(kind_of(list), (false, true), "{list}");
    }
}

#[test]
fn objects_have_fields_whatever_they_derive_from() {
    for object in ["{}", "object()", "type('T', (str,), {})()"] {
        assert_eq!(kind_of(object), (true, false), "{object}");
    }
    assert_eq!(kind_of("type('L', (list,), {})()"), (true, true));
}

#[test]
fn what_was_not_called_has_no_fields() {
    for object in ["len", "(lambda: 1)", "[].append"] {
        assert_eq!(kind_of(object), (false, false), "{object}");
    }
}

#[test]
fn an_iterator_that_is_selected_twice_has_its_items_twice() {
    with_python(|py| {
        let (drained, object) = (Drained::default(), evaluate(py, "iter('ab')"));
        let items = || drained.of(&object).unwrap().repr().unwrap().to_string();
        assert_eq!([items(), items()], ["['a', 'b']", "['a', 'b']"]);
    });
}

#[test]
fn an_iterable_without_end_is_refused() {
    with_python(|py| {
        let object = evaluate(py, "__import__('itertools').repeat(0)");
        let mut items = iterables::items(&object).unwrap();
        let error = items.find_map(Result::err).unwrap();
        let text = error.value(py).to_string();
        assert_eq!(text, "it has more than 1000000 items: is it endless?");
    });
}
