"""Null in nullable and non-null positions, and the propagation of errors."""

from __future__ import annotations

import functools
from typing import Any

from case import Case

SDL = """
    type Query { ok: Boolean }
    type Subscription {
        a: A must: A! list: [A] strict: [A!] full: [A!]! lists: [[Int!]!] number: Int! deep: [[[Int!]]!]
        kind: [Kind!] scalars: [Int!]!
    }
    type A {
        n: Int m: Int! b: B c: B! bs: [B] cs: [B!] ds: [B]! es: [B!]! numbers: [Int!] words: [String]!
    }
    type B { n: Int m: Int! a: A s: String! }
    enum Kind { X Y }
"""

case = functools.partial(Case, sdl=SDL)

GOOD_B: dict[str, Any] = {"m": 1, "s": "s"}

CASES = [
    case("a nullable field is null", "subscription { a { n } }", {"n": None}),
    case("a nullable field is missing", "subscription { a { n } }", {}),
    case("a required field is null", "subscription { a { m } }", {"m": None}),
    case("a required field is missing", "subscription { a { n m } }", {"n": 1}),
    case("a required field has a wrong value", "subscription { a { n m } }", {"m": "x"}),
    case("a nullable field has a wrong value", "subscription { a { n m } }", {"n": "x", "m": 1}),
    case("two nullable fields have wrong values", "subscription { a { n x: n } }", {"n": "x"}),
    case("a required root field is null", "subscription { must { n } }", None),
    case("a required root field holds an error", "subscription { must { m } }", {}),
    case("a required scalar at the root is null", "subscription { number }", None),
    case("a required scalar at the root is wrong", "subscription { number }", "x"),
    case(
        "an error stops at the next nullable object",
        "subscription { a { b { m } n } }",
        {"b": {}, "n": 1},
    ),
    case(
        "an error passes a required object", "subscription { a { c { m } n } }", {"c": {}, "n": 1}
    ),
    case("a required object is null", "subscription { a { c { m } } }", {"c": None}),
    case("an error passes two required objects", "subscription { must { c { m } } }", {"c": {}}),
    case("a null in a list", "subscription { list { n } }", [None, {"n": 1}]),
    case("a null in a list that has none", "subscription { strict { n } }", [{"n": 1}, None]),
    case("a null in a required list that has none", "subscription { full { n } }", [None]),
    case("a required list is null", "subscription { full { n } }", None),
    case("a required list of a nullable object is null", "subscription { a { es { n } } }", {}),
    case("a required list that may hold nulls", "subscription { a { ds { n } } }", {"ds": [None]}),
    case(
        "a required list of nullables is null",
        "subscription { a { n ds { n } } }",
        {"n": 1, "ds": None},
    ),
    case(
        "an error within a nullable item",
        "subscription { a { bs { m s } } }",
        {"bs": [GOOD_B, {"m": 1}, GOOD_B]},
    ),
    case(
        "errors within several nullable items",
        "subscription { a { bs { m s } } }",
        {"bs": [{"m": 1}, GOOD_B, {"s": "s"}, {}]},
    ),
    case(
        "an error within a required item",
        "subscription { a { n cs { m s } } }",
        {"cs": [GOOD_B, {"m": 1}], "n": 3},
    ),
    case(
        "an error within a required item of a required list",
        "subscription { a { n es { m } } }",
        {"es": [GOOD_B, {}], "n": 3},
    ),
    case(
        "errors before the one that reaches further are kept",
        "subscription { list { n b { m } m } }",
        [{"n": "x", "b": {}, "m": 1}, {"n": "y", "b": {}}, {"m": 2}],
    ),
    case("wrong items of a list of scalars", "subscription { scalars }", [1, "x", 3]),
    case("null in a list of scalars", "subscription { scalars }", [1, None]),
    case("wrong items of a nullable list", "subscription { a { numbers } }", {"numbers": [1, 2.5]}),
    case("nulls in a list of words", "subscription { a { words } }", {"words": [None, "x"]}),
    case("wrong words", "subscription { a { words } }", {"words": [{}, "x", []]}),
    case("a null in an inner list", "subscription { lists }", [[1], [2, None], [3]]),
    case("an inner list is null", "subscription { lists }", [[1], None]),
    case("three lists within each other", "subscription { deep }", [[[1], None], [[2, None], [3]]]),
    case("a middle list is null", "subscription { deep }", [[[1]], None]),
    case("no list where a list is", "subscription { list { n } }", {"n": 1}),
    case("text where a list is", "subscription { scalars }", "123"),
    case("a number where a list is", "subscription { a { n numbers } }", {"n": 1, "numbers": 5}),
    case("a boolean where a list is", "subscription { a { bs { n } } }", {"bs": True}),
    case("an object where a list of lists is", "subscription { lists }", {"0": [1]}),
    case("a number where an inner list is", "subscription { lists }", [[1], 2]),
    case("no value of an enum in a list", "subscription { kind }", ["X", "Z"]),
    case("a value of an enum in other letters", "subscription { kind }", ["X", "y"]),
    case(
        "errors at two depths",
        "subscription { a { n b { n a { n m } } } }",
        {"n": "x", "b": {"n": [], "a": {"n": "z"}}},
    ),
    case(
        "an error with an alias has the alias in its path",
        "subscription { x: a { y: b { z: m } } }",
        {"b": {"m": "no"}},
    ),
    case(
        "an error has the places of all merged fields",
        "subscription { a { b { m } ...F } } fragment F on A { b { m } }",
        {"b": {}},
    ),
    case(
        "an error in a fragment has its place",
        "subscription {\n  a {\n    ...F\n  }\n}\nfragment F on A {\n  n\n  m\n}",
        {"m": 1, "n": {}},
    ),
    case("many errors", "subscription { list { n } }", [{"n": "x"}] * 30),
    case(
        "a required field fails after others were written",
        "subscription { a { n numbers words bs { n } m } }",
        {"n": 1, "numbers": [1, 2], "words": ["w"], "bs": [{"n": 1}]},
    ),
    case("false is a value", "subscription { a { n m } }", {"n": False, "m": True}),
    case("zero is a value", "subscription { a { n m } }", {"n": 0, "m": 0}),
    case("an empty object is a value", "subscription { a { n } }", {}),
    case(
        "an empty list is a value", "subscription { a { es { m } bs { m } } }", {"es": [], "bs": []}
    ),
    case(
        "typename needs no value",
        "subscription { a { b { __typename } c { __typename m } } }",
        {"b": {}, "c": {}},
    ),
]
