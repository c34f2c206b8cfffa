"""Selection of an operation in a document, and root fields of subscriptions."""

from __future__ import annotations

import functools

from case import Case

SDL = """
    type Query { ok: Boolean }
    type Mutation { change: Int }
    type Subscription { a: Int b: Int order: Order }
    type Order { id: ID! }
"""

case = functools.partial(Case, sdl=SDL)

THREE = "subscription A { x: a } subscription B { y: a } query C { __typename }"

CASES = [
    case("the first of several", THREE, 1, operation="A"),
    case("the second of several", THREE, 1, operation="B"),
    case("a query among subscriptions", THREE, 1, operation="C"),
    case("an unknown name", THREE, 1, operation="D"),
    case("an empty name", THREE, 1, operation=""),
    case("no name for several", THREE, 1),
    case("the name of the only one", "subscription A { a }", 1, operation="A"),
    case("a wrong name for the only one", "subscription A { a }", 1, operation="B"),
    case("a name for one without", "subscription { a }", 1, operation="A"),
    case("a name in other letters", THREE, 1, operation="a"),
    case("no operation at all", "fragment F on Subscription { a }", 1),
    case(
        "operations share fragments",
        "subscription A { ...F } subscription B { ...F } fragment F on Subscription { a }",
        1,
        operation="B",
    ),
    case(
        "variables belong to their operation",
        "subscription A ($s: Boolean!) { a @include(if: $s) } subscription B { a }",
        1,
        operation="B",
    ),
    case("two root fields", "subscription { a b }", 1),
    case("two root fields of one name", "subscription { a a }", 1),
    case("one root field under two names", "subscription { a x: a }", 1),
    case(
        "two root fields over a fragment",
        "subscription { a ...F } fragment F on Subscription { b }",
        1,
    ),
    case("two root fields in an inline fragment", "subscription { ... { a b } }", 1),
    case("three root fields", "subscription S { a b order { id } }", 1),
    case("typename at the root of a subscription", "subscription { __typename }", 1),
    case("typename beside a root field", "subscription { a __typename }", 1),
    case("typename under an alias at the root", "subscription { a: __typename }", 1),
    case("schema at the root of a subscription", "subscription { __schema { __typename } }", 1),
    case("a query of typename", "{ __typename }"),
    case("a query in short form with an alias", "{ t: __typename u: __typename }"),
    case(
        "a mutation among subscriptions",
        "mutation M { change } subscription S { a }",
        1,
        operation="S",
    ),
]
