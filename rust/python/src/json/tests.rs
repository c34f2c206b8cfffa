//! What of Python has JSON, and what is said of the rest, with its place.

use proptest::prelude::*;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use serde_json::json;

use super::*;
use crate::testing::{any_json, evaluate, evaluate_after, with_python};

fn json_of(expression: &str) -> Value {
    json_after("", expression)
}

fn json_after(statements: &str, expression: &str) -> Value {
    with_python(|py| to_json(&evaluate_after(py, statements, expression)).unwrap())
}

/// What is said of an object that has no JSON; the whole of it is called `data`.
fn problem_of(expression: &str) -> String {
    with_python(|py| problem(&evaluate(py, expression)))
}

fn problem(object: &Bound<'_, PyAny>) -> String {
    to_json(object).unwrap_err().message("data")
}

#[test]
fn built_in_values_have_json() {
    let object = "{'a': None, 'b': [True, False], 'c': (1, 2.5), 'd': 'é', 'e': {}}";
    let expected = json!({"a": null, "b": [true, false], "c": [1, 2.5], "d": "é", "e": {}});
    assert_eq!(json_of(object), expected);
}

#[test]
fn members_keep_their_order() {
    assert_eq!(
        json_of("{'z': 1, 'a': 2, 'm': 3}").to_string(),
        r#"{"z":1,"a":2,"m":3}"#
    );
}

#[test]
fn integers_of_64_bits_are_exact() {
    assert_eq!(json_of("-2**63"), json!(i64::MIN));
    assert_eq!(json_of("2**64 - 1"), json!(u64::MAX));
}

#[test]
fn an_integer_past_64_bits_is_refused_at_its_place() {
    let problem = "an integer past 64 bits would lose digits on the way: send it as a string";
    assert_eq!(
        problem_of("{'total': 2**64}"),
        format!("data.total: {problem}")
    );
    assert_eq!(problem_of("[1, -2**63 - 1]"), format!("data[1]: {problem}"));
    assert_eq!(problem_of("10**5000"), format!("data: {problem}"));
}

#[test]
fn a_float_that_is_no_number_is_refused_at_its_place() {
    for (float, name) in [("nan", "NaN"), ("inf", "inf"), ("-inf", "-inf")] {
        let problem = format!("data[0].x: {name} is no JSON number: send None or a string");
        assert_eq!(problem_of(&format!("[{{'x': float('{float}')}}]")), problem);
    }
}

#[test]
fn a_lone_surrogate_is_refused_in_values_and_in_keys() {
    assert_eq!(
        problem_of("['\\ud800']"),
        format!("data[0]: {LONE_SURROGATE}")
    );
    assert_eq!(
        problem_of("{'a': {'\\udfff': 1}}"),
        format!("data.a: {LONE_SURROGATE}")
    );
    // A pair that is written as two code points is one character nowhere in Python.
    assert_eq!(
        problem_of("'\\ud83d\\ude00'"),
        format!("data: {LONE_SURROGATE}")
    );
}

#[test]
fn a_key_that_is_no_string_is_refused() {
    let problem = "is no string: JSON objects have strings as keys";
    let expected = format!("data.a: the key an object of type `int` {problem}");
    assert_eq!(problem_of("{'a': {1: 2}}"), expected);
    assert!(problem_of("{None: 2}").contains(problem));
}

#[test]
fn values_without_json_are_named() {
    assert!(problem_of("object()").starts_with("data: an object of type `object` has no JSON"));
    assert!(problem_of("[b'x']").contains("make text of it, such as Base64"));
    assert!(problem_of("[bytearray()]").contains("make text of it, such as Base64"));
    assert!(problem_of("{'f': lambda: 1}").starts_with("data.f: the function `<lambda>`"));
}

#[test]
fn nesting_has_a_bound() {
    with_python(|py| {
        let nested = |levels: usize| {
            let code = format!("value = []\nfor _ in range({levels} - 1): value = [value]");
            evaluate_after(py, &code, "value")
        };
        assert!(to_json(&nested(MAX_DATA_DEPTH)).is_ok());
        let problem = problem(&nested(MAX_DATA_DEPTH + 1));
        assert!(
            problem.ends_with("nested deeper than 127 levels: is it a cycle?"),
            "{problem}"
        );
    });
}

#[test]
fn a_cycle_is_refused() {
    for code in [
        "value = []; value.append(value)",
        "value = {}; value['self'] = value",
        "value = (items := [],); items.append(value)",
    ] {
        let problem = with_python(|py| problem(&evaluate_after(py, code, "value")));
        assert!(problem.ends_with("is it a cycle?"), "{problem}");
    }
}

#[test]
fn enum_members_have_the_json_of_their_values() {
    let code = "import enum\nE = enum.Enum('E', {'A': 'a', 'B': 2})\nI = enum.IntEnum('I', 'X Y')";
    assert_eq!(json_after(code, "[E.A, E.B, I.Y]"), json!(["a", 2, 2]));
}

#[test]
fn dates_decimals_and_uuids_have_text() {
    let code = "from datetime import *\nfrom decimal import Decimal\nfrom uuid import UUID";
    let object = "[datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), date(2026, 1, 2), \
                  time(3, 4), Decimal('1.10'), UUID(int=1)]";
    let expected = json!([
        "2026-01-02T03:04:05+00:00",
        "2026-01-02",
        "03:04:00",
        "1.10",
        "00000000-0000-0000-0000-000000000001"
    ]);
    assert_eq!(json_after(code, object), expected);
}

#[test]
fn objects_of_dataclasses_and_named_tuples_have_their_fields() {
    let code = "from dataclasses import dataclass\nfrom collections import namedtuple\n\
                @dataclass\nclass Item:\n    id: int\n    parts: tuple\n\
                Point = namedtuple('Point', 'x y')";
    let expected = json!({"id": 1, "parts": [{"x": 2, "y": 3}]});
    assert_eq!(json_after(code, "Item(1, (Point(2, 3),))"), expected);
    let problem = with_python(|py| problem(&evaluate_after(py, code, "Item(1, [Point(2, 1j)])")));
    assert!(
        problem.starts_with("data.parts[0].y: an object of type `complex`"),
        "{problem}"
    );
}

#[test]
fn iterables_have_lists_and_mappings_have_objects() {
    let code = "from collections import OrderedDict, UserDict, deque\nclass Text(str): pass";
    assert_eq!(
        json_after(code, "{'a': i for i in range(3)}.values()"),
        json!([2])
    );
    assert_eq!(
        json_after(code, "(i * i for i in range(3))"),
        json!([0, 1, 4])
    );
    assert_eq!(
        json_after(code, "[{1}, frozenset(), deque('ab')]"),
        json!([[1], [], ["a", "b"]])
    );
    assert_eq!(
        json_after(code, "[UserDict(a=1), OrderedDict(b=2)]"),
        json!([{"a": 1}, {"b": 2}])
    );
    assert_eq!(
        json_after(code, "{Text('k'): Text('v')}"),
        json!({"k": "v"})
    );
}

#[test]
fn what_an_iterable_raises_is_said_with_its_place_and_kept_as_the_cause() {
    with_python(|py| {
        let code = "def items():\n    yield 1\n    raise LookupError('gone')";
        let object = evaluate_after(py, code, "{'items': items()}");
        let error = to_json(&object).unwrap_err();
        let error = error.into_error(py, "data", PyValueError::new_err);
        assert!(error.is_instance_of::<PyValueError>(py));
        let text = error.value(py).to_string();
        assert_eq!(text, "data.items: reading it raised LookupError: gone");
        let cause = error.cause(py).unwrap();
        assert_eq!(cause.value(py).to_string(), "gone");
    });
}

#[test]
fn exceptions_that_end_the_program_are_raised() {
    with_python(|py| {
        let code = "def items():\n    yield 1\n    raise KeyboardInterrupt";
        let no_json = || to_json(&evaluate_after(py, code, "[items()]")).unwrap_err();
        let error = no_json().into_error(py, "data", PyValueError::new_err);
        assert!(error.is_instance_of::<PyKeyboardInterrupt>(py));
        assert!(no_json().into_exit(py).is_some());
        assert!(
            to_json(&evaluate(py, "[1j]"))
                .unwrap_err()
                .into_exit(py)
                .is_none()
        );
    });
}

#[test]
fn a_dict_that_changes_while_it_is_read_is_read_as_it_was() {
    let code = "from dataclasses import dataclass\nvalue = {}\n\
                class Changing:\n    def __iter__(self):\n        value.clear()\n        return iter([1])\n\
                value.update(a=Changing(), b=2)";
    assert_eq!(json_after(code, "value"), json!({"a": [1], "b": 2}));
}

#[test]
fn where_a_mapping_is_wanted_nothing_else_is_taken() {
    with_python(|py| {
        let map = |expression: &str| to_json_map(Some(&evaluate(py, expression)));
        assert_eq!(to_json_map(None).unwrap(), Map::new());
        assert_eq!(map("None").unwrap(), Map::new());
        assert_eq!(Value::from(map("{'a': 1}").unwrap()), json!({"a": 1}));
        let problem = map("[1]").unwrap_err().message("extensions");
        assert_eq!(problem, "extensions: it must be a mapping");
    });
}

/// A step into a value: a field or an item, after some others.
#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Item(usize),
}

fn any_path() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        "[a-z]{1,3}".prop_map(Step::Field),
        (0_usize..4).prop_map(Step::Item),
    ];
    prop::collection::vec(step, 0..20)
}

proptest! {
    #[test]
    fn json_comes_back_from_python_as_it_was(value in any_json()) {
        with_python(|py| {
            let object = to_python(py, &value).unwrap();
            prop_assert_eq!(to_json(&object).unwrap(), value);
            Ok(())
        })?;
    }

    #[test]
    fn the_place_of_what_has_no_json_is_said(path in any_path()) {
        with_python(|py| {
            let mut object = evaluate(py, "float('nan')");
            for step in path.iter().rev() {
                object = match step {
                    Step::Field(name) => {
                        let dict = PyDict::new(py);
                        dict.set_item("before it", 1).unwrap();
                        dict.set_item(name, object).unwrap();
                        dict.into_any()
                    }
                    Step::Item(index) => {
                        let list = PyList::new(py, vec![0; *index]).unwrap();
                        list.append(object).unwrap();
                        list.into_any()
                    }
                };
            }
            let place: String = path.iter().map(|step| match step {
                Step::Field(name) => format!(".{name}"),
                Step::Item(index) => format!("[{index}]"),
            }).collect();
            let expected = format!("data{place}: NaN is no JSON number: send None or a string");
            prop_assert_eq!(problem(&object), expected);
            Ok(())
        })?;
    }
}
