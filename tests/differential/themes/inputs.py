"""Variables, literals, defaults, input objects and lists: the arguments that a field receives."""

from __future__ import annotations

import functools
from typing import Any

from case import Case

SDL = """
    type Query { ok: Boolean }
    scalar JSON
    scalar Free
    enum Color { RED GREEN }
    input Point { x: Int! y: Int = 5 label: String }
    input Shape { points: [Point!] color: Color = RED inner: Shape size: Float! = 1.5 center: Point = {x: 1} }
    type Subscription {
        echo(
            int: Int float: Float string: String boolean: Boolean id: ID color: Color free: Free
            ints: [Int] strict: [Int!] grid: [[Int]] point: Point points: [Point] shape: Shape
            seven: Int = 7 red: Color = RED list: [Int!] = [1, 2] origin: Point = {x: 0, label: "o"}
            needed: Int! = 3 nothing: Int = null
        ): JSON
        must(int: Int! list: [Int!]!): Int
    }
"""

case = functools.partial(Case, sdl=SDL)


def by_variable(name: str, declared: str, value: Any) -> Case:
    return case(
        f"variable {declared} given {value!r}",
        f"subscription ($v: {declared}) {{ echo({name}: $v) }}",
        variables={"v": value},
    )


def by_literal(name: str, literal: str) -> Case:
    return case(f"literal {name}: {literal}", f"subscription {{ echo({name}: {literal}) }}")


# Values by type: for variables, and as literals that are valid.
VALUES: list[Any] = [
    None, 0, 5, -5, 2**31 - 1, 2**31, -(2**31) - 1, 5.0, 1.5, 1e3, 1e20, True, "5", "", "text", "RED",
    [], [1], {}, {"a": 1},
]  # fmt: skip

NAMES = {
    "int": "Int", "float": "Float", "string": "String", "boolean": "Boolean", "id": "ID",
    "color": "Color", "free": "Free",
}  # fmt: skip

LITERALS = {
    "int": ["0", "-5", "2147483647", "null"],
    "float": ["1", "1.5", "-0.25", "1e3", "1.5e-3", "1E+2", "null"],
    "string": ['""', '"x"', '"\\u00e9 \\n \\" \\\\ \\/"', '"""block"""', "null"],
    "boolean": ["true", "false", "null"],
    "id": ['"x"', "5", "-5", '"5"', "123456789012345678901234567890"],
    "color": ["RED", "GREEN", "null"],
    "free": ["1", "1.5", '"x"', "true", "RED", "[1, [2]]", '{a: 1, b: {c: [true, "x"]}}', "null"],
    "ints": ["[1, 2]", "[]", "[1, null]", "5", "null"],
    "strict": ["[1]", "5"],
    "grid": ["[[1], [2, null], null]", "[1, 2]", "5", "[[]]"],
    "point": ["{x: 1}", "{x: 1, y: 2}", "{y: null, x: 1}", '{label: "l", x: 1}', "null"],
    "points": ["[{x: 1}, null]", "{x: 1}", "[]"],
    "shape": [
        "{}",
        "{points: {x: 1}}",
        "{inner: {inner: {color: GREEN}}}",
        "{center: {x: 2, y: 3}, color: null, size: 2}",
    ],
    "seven": ["1", "null"],
    "red": ["GREEN", "null"],
    "list": ["[]", "null", "9"],
    "origin": ["{x: 9}", "null"],
    "needed": ["8"],
}

CASES = [
    case("no arguments but defaults", "subscription { echo }"),
    *(by_variable(name, declared, value) for name, declared in NAMES.items() for value in VALUES),
    *(by_literal(name, literal) for name, literals in LITERALS.items() for literal in literals),
    *(
        by_variable(name, declared, value)
        for name, declared, values in (
            ("ints", "[Int]", [[1, 2], [], [1, None], 5, None, ["x"], [1, [2]], {"a": 1}]),
            ("strict", "[Int!]", [[1, None], None, 5]),
            ("strict", "[Int!]!", [[1], None, [None]]),
            ("ints", "[Int!]", [[1], [None]]),
            ("grid", "[[Int]]", [[[1], [2]], [1, 2], 5, [None, [None]], [["x"], [1, "y"]]]),
            (
                "point",
                "Point",
                [
                    {"x": 1},
                    {"y": 2, "x": 1},
                    {"x": 1, "y": None},
                    {},
                    {"x": None},
                    {"x": "1"},
                    {"x": 1, "z": 2},
                    {"z": 1, "label": 5},
                    [],
                    [{"x": 1}],
                    "x",
                ],
            ),
            ("points", "[Point]", [[{"x": 1}, None], {"x": 1}, [{}, {"x": 1, "q": 1}]]),
            (
                "shape",
                "Shape",
                [
                    {},
                    {"points": [{"x": 1}], "color": "GREEN"},
                    {"inner": {"inner": {"points": {"x": 1}, "size": 3}}},
                    {"size": None},
                    {"color": "BLUE", "inner": {"color": 1, "size": "x"}},
                    {"center": None, "points": None},
                ],
            ),
        )
        for value in values
    ),
    case("a variable that is left out", "subscription ($v: Int) { echo(int: $v) }"),
    case(
        "a variable left out for an argument with a default",
        "subscription ($v: Int) { echo(seven: $v) }",
    ),
    case(
        "null for an argument with a default",
        "subscription ($v: Int) { echo(seven: $v) }",
        variables={"v": None},
    ),
    case("a variable with a default", "subscription ($v: Int = 4) { echo(int: $v) }"),
    case(
        "null for a variable with a default",
        "subscription ($v: Int = 4) { echo(int: $v) }",
        variables={"v": None},
    ),
    case(
        "a default of a variable before that of an argument",
        "subscription ($v: Int = 4) { echo(seven: $v) }",
    ),
    case("a default of null", "subscription ($v: Int = null) { echo(seven: $v) }"),
    case("a default that is an object", "subscription ($v: Point = {x: 2}) { echo(point: $v) }"),
    case("a default that is a list", "subscription ($v: [Int] = [1, 2]) { echo(ints: $v) }"),
    case("a default of one item", "subscription ($v: [Int] = 1) { echo(ints: $v) }"),
    case("a default that is an enum", "subscription ($v: Color = GREEN) { echo(color: $v) }"),
    case(
        "a default of a Float as whole number", "subscription ($v: Float = 1) { echo(float: $v) }"
    ),
    case("a default of an ID as number", "subscription ($v: ID = 1) { echo(id: $v) }"),
    case(
        "a default in a custom scalar", "subscription ($v: Free = {a: [1, X]}) { echo(free: $v) }"
    ),
    case(
        "a nullable variable for an argument with a default that must not be null",
        "subscription ($v: Int) { echo(needed: $v) }",
    ),
    case(
        "null for an argument with a default that must not be null",
        "subscription ($v: Int) { echo(needed: $v) }",
        variables={"v": None},
    ),
    case(
        "a variable in a list",
        "subscription ($v: Int) { echo(ints: [1, $v, 3]) }",
        variables={"v": 2},
    ),
    case("a variable that is left out in a list", "subscription ($v: Int) { echo(ints: [1, $v]) }"),
    case(
        "a variable in an object",
        "subscription ($v: Int) { echo(point: {x: 1, y: $v}) }",
        variables={"v": 2},
    ),
    case(
        "a variable left out in an object",
        "subscription ($v: String) { echo(point: {x: 1, label: $v}) }",
    ),
    case(
        "a variable left out for a field with a default",
        "subscription ($v: Int) { echo(point: {x: 1, y: $v}) }",
    ),
    case(
        "a variable in a custom scalar",
        "subscription ($v: Int) { echo(free: {a: $v, b: [$v]}) }",
        variables={"v": 2},
    ),
    case(
        "a variable left out in a custom scalar",
        "subscription ($v: Int) { echo(free: {a: $v, b: [$v]}) }",
    ),
    case("variables that nobody declared", "subscription { echo(int: 1) }", variables={"v": 1}),
    case(
        "several variables",
        'subscription ($a: Int, $b: String = "b", $c: [ID!]) { echo(int: $a, string: $b, strict: [1], id: 3, points: [{x: 1}]) ...F } fragment F on Subscription { echo(int: $a, string: $b, strict: [1], id: 3, points: [{x: 1}]) }',
        variables={"a": 1, "c": ["x"]},
    ),
    case(
        "several variables are wrong",
        "subscription ($a: Int!, $b: Int!, $c: Point) { echo(int: $a, needed: $b, point: $c) }",
        variables={"b": "x", "c": {"x": "y", "z": 1}},
    ),
    case(
        "a required variable is left out",
        "subscription ($v: Int!) { echo(int: $v) }",
    ),
    case(
        "required arguments by literals",
        "subscription { must(int: 1, list: 2) }",
        5,
    ),
    case(
        "a required list by a variable",
        "subscription ($v: [Int!]!) { must(int: 1, list: $v) }",
        5,
        variables={"v": 7},
    ),
    case(
        "arguments stand in any order",
        'subscription { echo(string: "s", int: 1, boolean: true) }',
    ),
    case("an alias of a field with arguments", "subscription { e: echo(int: 1) }"),
    case(
        "one variable at several places",
        "subscription ($v: Int! = 2) { echo(int: $v, needed: $v, ints: [$v], point: {x: $v, y: $v}) }",
    ),
]
