"""Where answers differ, and why; every other case has one answer.

By name of the case: what graphql-core, or we, answer instead of what graphql-js answers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from case import Answer, Case, refused


def data(value: Any, *errors: tuple[list[Any], tuple[int, int]]) -> Answer:
    """An answer with data, and errors by path and place."""
    answer: Answer = {"data": value}
    if errors:
        answer["errors"] = [{"path": path, "locations": [place]} for path, place in errors]
    return answer


def failed(field: str) -> Answer:
    return data([(field, None)], ([field], (1, 16)))


DEFAULTS = [
    ("seven", 7),
    ("red", "RED"),
    ("list", [1, 2]),
    ("origin", [("x", 0), ("y", 5), ("label", "o")]),
    ("needed", 3),
    ("nothing", None),
]

SPELLING = "Python writes and reads numbers as texts in its own way"
CONDITION = (
    "the rule SingleFieldSubscriptions of the references cannot evaluate a variable and throws;"
    " we count the root fields with the variables of the request"
)
NOT_FINITE = "JSON has no such number: graphql-js sends null, graphql-core breaks the JSON, we tell"
NO_PLACE = "graphql-core makes a node of the value anew, without its place"
TOKEN = "our parser names the beginning of the wrong token, graphql-js the character in it"

OTHER: list[tuple[str, str, dict[str, Answer]]] = [
    (
        "a field in camelCase is read by its snake_case name as well",
        "Python spells names in snake_case; the field's own name comes first",
        {"ours": data([("order", [("userName", "Ada")])])},
    ),
    (
        "a condition at the root includes",
        CONDITION,
        {"ours": data([("order", [("id", "1")])]), "core": refused([(1, 37)])},
    ),
    (
        "variables belong to their operation",
        CONDITION,
        {"ours": data([("a", 1)]), "core": refused([(1, 35)])},
    ),
    ("a variable of a condition at the root is null", CONDITION, {"core": refused([(1, 43)])}),
    ("Int from '1e3'", SPELLING, {"core": failed("Int")}),
    ("Int from '0x10'", SPELLING, {"core": failed("Int")}),
    ("Float from '0x10'", SPELLING, {"core": failed("Float")}),
    ("String from 0.0", SPELLING, {"core": data([("String", "0.0")])}),
    ("String from 1.0", SPELLING, {"core": data([("String", "1.0")])}),
    ("String from 1000.0", SPELLING, {"core": data([("String", "1000.0")])}),
    ("String from 1e-07", SPELLING, {"core": data([("String", "1e-07")])}),
    ("ID from 1e+21", SPELLING, {"core": data([("ID", str(10**21))])}),
    ("ID from 1e+300", SPELLING, {"core": data([("ID", str(int(1e300)))])}),
    ("Free from inf", NOT_FINITE, {"core": data([("Free", math.inf)]), "ours": failed("Free")}),
    ("Free from -inf", NOT_FINITE, {"core": data([("Free", -math.inf)]), "ours": failed("Free")}),
    (
        "a variable left out in a custom scalar",
        "graphql-core keeps its own Undefined as the member",
        {"core": data([("echo", [("free", [("a", None), ("b", [None])]), *DEFAULTS])])},
    ),
    (
        "an object as default of an argument",
        "graphql-core prints spaces inside the braces of an object, as graphql-js 17 does",
        {
            "core": data(
                [
                    (
                        "__type",
                        [
                            (
                                "fields",
                                [
                                    [
                                        (
                                            "args",
                                            [
                                                [
                                                    (
                                                        "defaultValue",
                                                        '{ key: "k", inner: [{ key: "l" }] }',
                                                    )
                                                ]
                                            ],
                                        )
                                    ]
                                ],
                            )
                        ],
                    )
                ]
            )
        },
    ),
    ("syntax: an empty selection", "graphql-core names the brace", {"core": refused([(1, 14)])}),
    (
        "syntax: an empty selection of a field",
        "graphql-core names the brace",
        {"core": refused([(1, 18)])},
    ),
    ("ValuesOfCorrectType 7", NO_PLACE, {"core": refused([])}),
    ("ValuesOfCorrectType 8", NO_PLACE, {"core": refused([])}),
    ("ValuesOfCorrectType 27", NO_PLACE, {"core": refused([])}),
    ("ValuesOfCorrectType 42", NO_PLACE, {"core": refused([(1, 23)], [])}),
    (
        "FieldsOnCorrectType 11",
        "graphql-js begins to execute an operation that its schema lacks and then has null data",
        {"core": refused([(1, 1)]), "ours": refused([(1, 1)])},
    ),
    (
        "VariablesInAllowedPosition 10",
        "we do not read the arguments of nested fields, as nothing receives them: the field is null",
        {"ours": data([("dog", None)], (["dog", "knows"], (1, 39)))},
    ),
    (
        "syntax: nothing",
        "an empty text is a request without a document: that of a client with a hash alone",
        {"ours": refused([])},
    ),
    *(
        (
            name,
            "the references read no field from what is no object; here it is a field error, as a"
            " mistake of the application that nulls would hide",
            {"ours": failed("order")},
        )
        for name in (
            "a value is no object",
            "a number is no object",
            "a list is no object",
            "an object of false",
        )
    ),
    *(
        (f"syntax: {name}", TOKEN, {"ours": refused([(1, column)])})
        for name, column in (
            ("an open string", 21),
            ("an open block string", 21),
            ("a line end in a string", 21),
            ("a bad escape", 21),
            ("a bad escape of unicode", 21),
            ("half a surrogate pair", 21),
            ("a number with a leading zero", 21),
            ("a number with a name", 21),
            ("a number that ends with a dot", 21),
            ("a number without exponent", 21),
            ("a minus sign alone", 21),
            ("a spread without a name", 16),
            ("a description of an operation", 1),
        )
    ),
]


def apply(cases: list[Case]) -> list[Case]:
    """Enter the differences into the cases."""
    known = {name: (why, answers) for name, why, answers in OTHER}
    found = [
        replace(case, why=known[case.name][0], **known.pop(case.name)[1])
        if case.name in known
        else case
        for case in cases
    ]
    assert not known, f"no such cases: {sorted(known)}"
    return found
