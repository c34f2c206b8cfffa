"""`@skip` and `@include`, by literal, by variable, by default."""

from __future__ import annotations

import functools
from itertools import product

from case import Case

SDL = """
    type Query { ok: Boolean }
    directive @mark(text: String) repeatable on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
    type Subscription { order: Order other: Order }
    type Order { id: ID! note: String customer: Customer! related: Order }
    type Customer { name: String! email: String }
"""

case = functools.partial(Case, sdl=SDL)

ORDER = {
    "id": 1,
    "note": "n",
    "customer": {"name": "Ada", "email": "a@b"},
    "related": {"id": 2, "note": None, "customer": {"name": "Bob"}},
}

BOTH = (
    "subscription ($s: Boolean!, $i: Boolean!) { order { id note @skip(if: $s) @include(if: $i) } }"
)

CASES = [
    *(
        case(
            f"skip {skip} and include {include} on one field",
            BOTH,
            ORDER,
            variables={"s": skip, "i": include},
        )
        for skip, include in product((True, False), repeat=2)
    ),
    *(
        case(
            f"{directive} by the literal {value} on {what}",
            f"subscription {{ order {{ id {selection % f'@{directive}(if: {value})'} }} }}"
            " fragment F on Order { related { id } }",
            ORDER,
        )
        for directive, value in product(("skip", "include"), ("true", "false"))
        for what, selection in (
            ("a field", "note %s ...F"),
            ("an object", "customer %s { name } ...F"),
            ("a spread", "...F %s"),
            ("an inline fragment", "... on Order %s { note } ...F"),
            ("an inline fragment without a type", "... %s { note } ...F"),
        )
    ),
    case(
        "a variable with a default that is left out",
        "subscription ($s: Boolean! = true) { order { id note @skip(if: $s) } }",
        ORDER,
    ),
    case(
        "a variable with a default that is given",
        "subscription ($s: Boolean! = true) { order { id note @skip(if: $s) } }",
        ORDER,
        variables={"s": False},
    ),
    case(
        "a nullable variable with a default",
        "subscription ($s: Boolean = false) { order { id note @include(if: $s) } }",
        ORDER,
    ),
    case(
        "a field skipped here and selected there",
        "subscription { order { note @skip(if: true) id note } }",
        ORDER,
    ),
    case(
        "a field included twice",
        "subscription { order { note @include(if: true) note @include(if: true) } }",
        ORDER,
    ),
    case(
        "a skipped object does not merge",
        "subscription { order { customer { name } customer @skip(if: true) { email } } }",
        ORDER,
    ),
    case(
        "a spread that is skipped once",
        "subscription { order { ...F @skip(if: true) id ...F } } fragment F on Order { note }",
        ORDER,
    ),
    case(
        "all fields of an object are skipped",
        "subscription { order { id @skip(if: true) customer { name @include(if: false) } } }",
        ORDER,
    ),
    case(
        "typename is skipped",
        "subscription { order { id __typename @skip(if: true) t: __typename @include(if: true) } }",
        ORDER,
    ),
    case(
        "conditions in depth",
        "subscription ($a: Boolean!) { order { related { customer @include(if: $a) { name } id"
        " ...F @skip(if: $a) } } } fragment F on Order { note }",
        ORDER,
        variables={"a": True},
    ),
    case(
        "a directive of the schema without meaning here",
        'subscription { order { id @mark(text: "a") @mark note @mark ...F @mark } }'
        " fragment F on Order { related { id } }",
        ORDER,
    ),
    case(
        "a skipped field that would fail",
        "subscription { order { id @skip(if: true) note } }",
        {"note": "n"},
    ),
    case(
        "a required variable of a condition is left out",
        "subscription ($s: Boolean!) { order { id @skip(if: $s) } }",
        ORDER,
    ),
    case(
        "a variable of a condition is no boolean",
        "subscription ($s: Boolean!) { order { id @skip(if: $s) } }",
        ORDER,
        variables={"s": "true"},
    ),
    case(
        "a variable of a condition in an object is null",
        "subscription ($s: Boolean = true) { order { id @skip(if: $s) } }",
        ORDER,
        variables={"s": None},
    ),
    case(
        "a variable of a condition in a required object is null",
        "subscription ($s: Boolean = true) { order { related { customer { name @skip(if: $s) } } } }",
        ORDER,
        variables={"s": None},
    ),
    case(
        "a variable of a condition is null where nobody looks",
        "subscription ($s: Boolean = true) { order { related { id @skip(if: $s) } id } }",
        {"id": 1},
        variables={"s": None},
    ),
    case(
        "a variable of a condition at the root is null",
        "subscription ($s: Boolean = true) { order @skip(if: $s) { id } }",
        ORDER,
        variables={"s": None},
    ),
    case(
        "a condition at the root includes",
        "subscription ($i: Boolean!) { order @include(if: $i) { id } }",
        ORDER,
        variables={"i": True},
    ),
    case(
        "operations of one document have conditions of their own",
        "subscription A ($a: Boolean!) { order { id @skip(if: $a) note } }"
        " subscription B { order { note } }",
        ORDER,
        operation="A",
        variables={"a": True},
    ),
]
