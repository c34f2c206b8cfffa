"""Introspection queries; `test_introspection` compares whole schemas."""

from __future__ import annotations

import functools

from case import Case

SDL = '''
    """The root."""
    type Query { ok: Boolean }
    directive @mark(text: String = "x") repeatable on FIELD | OBJECT
    scalar Stamp @specifiedBy(url: "https://example.org/stamp")
    interface Node { id: ID! }
    interface Named implements Node { id: ID! name: String }
    """An order."""
    type Order implements Node & Named { id: ID! name: String old: Int @deprecated(reason: "gone") items(first: Int = 5, after: Cursor): [Item!]! }
    type Item { sku(at: Cursor = {key: "k", inner: [{key: "l"}]}): String }
    union Found = Order | Item
    enum Status { OPEN PAID @deprecated }
    input Cursor { key: String! = "k" size: Int @deprecated(reason: "no") inner: [Cursor!] }
    type Subscription { order(id: ID!): Order found: Found at: Stamp status: Status }
'''

case = functools.partial(Case, sdl=SDL)

TYPES = ("Query", "Order", "Node", "Named", "Found", "Status", "Cursor", "Stamp", "Int", "Nothing")

OF_TYPE = (
    "query ($n: String!) { __type(name: $n) { kind name description specifiedByURL"
    " fields(includeDeprecated: true) { name isDeprecated deprecationReason args { name defaultValue } }"
    " interfaces { name } possibleTypes { name } inputFields { name defaultValue }"
    " enumValues(includeDeprecated: true) { name isDeprecated deprecationReason } ofType { name } } }"
)

CASES = [
    *(case(f"the type {name}", OF_TYPE, variables={"n": name}) for name in TYPES),
    case(
        "fields without those that are deprecated", '{ __type(name: "Order") { fields { name } } }'
    ),
    case(
        "values without those that are deprecated",
        '{ __type(name: "Status") { enumValues { name } } }',
    ),
    case(
        "input fields with and without those that are deprecated",
        '{ __type(name: "Cursor") { a: inputFields { name } b: inputFields(includeDeprecated: true)'
        " { name isDeprecated deprecationReason } } }",
    ),
    case(
        "roots",
        "{ __schema { description queryType { name } mutationType { name } subscriptionType { name } } }",
    ),
    case(
        "types of arguments",
        '{ __type(name: "Order") { fields { args { type { kind name ofType { kind name } } }'
        " type { kind ofType { kind ofType { kind ofType { name } } } } } } }",
    ),
    case(
        "an object as default of an argument",
        '{ __type(name: "Item") { fields { args { defaultValue } } } }',
    ),
    case(
        "fragments and aliases",
        "{ s: __schema { ...S } } fragment S on __Schema { q: queryType { ...T } } fragment T on __Type { n: name __typename }",
    ),
    case(
        "conditions",
        '{ __type(name: "Order") { name @skip(if: true) kind @include(if: true) } __schema @skip(if: true) { types { name } } }',
    ),
    case("typename of introspection", "{ __schema { __typename queryType { __typename } } }"),
    case("merged fields", "{ __schema { queryType { name } } __schema { queryType { kind } } }"),
    case("a field that introspection does not have", "{ __schema { nothing } }"),
    case("a type without its name", "{ __type { name } }"),
]
