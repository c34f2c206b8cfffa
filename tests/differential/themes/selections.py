"""Aliases, fragments, merging of fields, order of keys, `__typename`, deep nesting."""

from __future__ import annotations

import functools
from typing import Any

from case import Case

SDL = """
    type Query { ok: Boolean }
    type Subscription { order: Order orders: [Order!] number: Int matrix: [[Int]] }
    type Order {
        id: ID! status: Status total: Float note: String customer: Customer
        items: [Item!] tags: [String] related: Order userName: String
    }
    type Customer { id: ID! name: String email: String orders: [Order] }
    type Item { sku: String quantity: Int price(currency: String): Float product: Product }
    type Product { name: String maker: Customer }
    enum Status { OPEN PAID }
"""

case = functools.partial(Case, sdl=SDL)

ORDER: dict[str, Any] = {
    "total": 12.5,
    "id": "7",
    "status": "PAID",
    "note": "fragile",
    "customer": {"id": 1, "name": "Ada", "email": None},
    "items": [
        {"sku": "a", "quantity": 1, "price": 2.5, "product": {"name": "P", "maker": {"id": "m"}}},
        {"sku": "b", "quantity": 2, "price": 3},
    ],
    "tags": ["x", None, ""],
    "related": {"id": "8", "related": {"id": "9", "customer": {"id": 2}}},
    "unused": {"id": 1},
}


def chain(depth: int) -> str:
    return "subscription { order " + "{ related " * depth + "{ id }" + " }" * depth + " }"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"id": depth}
    for level in range(depth):
        value = {"id": level, "related": value}
    return value


CASES = [
    case("fields come in the order of the document", "subscription { order { note id total } }"),
    case("one scalar field at the root", "subscription { number }", 3),
    case("a root field without a value", "subscription { order { id } }", None),
    case("the root field has an alias", "subscription { o: order { id } }", ORDER),
    case("a field has an alias", "subscription { order { n: id s: status } }", ORDER),
    case("one field under several aliases", "subscription { order { a: id b: id id } }", ORDER),
    case("an alias takes the name of another field", "subscription { order { id: note } }", ORDER),
    case("two names swapped by aliases", "subscription { order { id: note note: id } }", ORDER),
    case("a field selected twice comes once", "subscription { order { id note id } }", ORDER),
    case(
        "the first occurrence decides about the order",
        "subscription { order { id ...F total } } fragment F on Order { total note id }",
        ORDER,
    ),
    case(
        "objects selected twice are merged",
        "subscription { order { customer { id } note customer { name } } }",
        ORDER,
    ),
    case(
        "objects are merged in depth",
        "subscription { order { items { product { name } } items { product { maker { id } } sku }}}",
        {"items": ORDER["items"][:1]},
    ),
    case(
        "root fields of one name are merged",
        "subscription { order { id } order { note } }",
        ORDER,
    ),
    case(
        "root fields are merged over fragments",
        "subscription { ...A ...B } fragment A on Subscription { order { id } }"
        " fragment B on Subscription { order { note status } }",
        ORDER,
    ),
    case(
        "a named fragment",
        "subscription { order { ...F } } fragment F on Order { id customer { ...C } }"
        " fragment C on Customer { name }",
        ORDER,
    ),
    case(
        "a fragment spread twice comes once",
        "subscription { order { ...F ...F id } } fragment F on Order { id note }",
        ORDER,
    ),
    case(
        "one fragment at two places",
        "subscription { order { customer { ...C } related { customer { ...C } } } }"
        " fragment C on Customer { id name }",
        ORDER,
    ),
    case(
        "an inline fragment with a type",
        "subscription { order { ... on Order { id } note } }",
        ORDER,
    ),
    case(
        "an inline fragment without a type",
        "subscription { order { ... { id } note ... { id total } } }",
        ORDER,
    ),
    case(
        "inline fragments inside each other",
        "subscription { order { ... { ... on Order { ... { id } } } } }",
        ORDER,
    ),
    case(
        "an inline fragment at the root",
        "subscription { ... on Subscription { order { id } } }",
        ORDER,
    ),
    case(
        "a fragment merges with what surrounds it",
        "subscription { order { customer { id } ...F } }"
        " fragment F on Order { customer { email name } }",
        ORDER,
    ),
    case("a list of objects", "subscription { orders { id } }", [{"id": 1}, {"id": 2}]),
    case("an empty list", "subscription { orders { id } }", []),
    case("a list of lists", "subscription { matrix }", [[1, None], [], None, [2]]),
    case("items of a list", "subscription { order { items { quantity sku } tags } }", ORDER),
    case("typename of an object", "subscription { order { __typename id } }", ORDER),
    case("typename alone", "subscription { order { __typename } }", ORDER),
    case("typename with an alias", "subscription { order { t: __typename __typename } }", ORDER),
    case(
        "typename everywhere",
        "subscription { order { __typename customer { __typename } items { __typename product"
        " { __typename maker { __typename } } } related { __typename } } }",
        ORDER,
    ),
    case(
        "typename of an object without fields of its own",
        "subscription { order { customer { __typename } } }",
        {"customer": {}},
    ),
    case("a value that has none of the fields", "subscription { order { note total } }", {}),
    case(
        "members that nobody asked for", "subscription { order { note } }", {"note": "n", "x": []}
    ),
    case(
        "a field with an argument of its own",
        'subscription { order { items { price(currency: "EUR") } } }',
        ORDER,
    ),
    case(
        "one field with two arguments under two names",
        'subscription { order { items { e: price(currency: "EUR") d: price(currency: "USD") } } }',
        ORDER,
    ),
    case(
        "equal fields with equal arguments are merged",
        'subscription { order { items { price(currency: "EUR") ...F } } }'
        ' fragment F on Item { price(currency: "EUR") }',
        ORDER,
    ),
    case(
        "an argument given by a variable",
        "subscription ($c: String) { order { items { price(currency: $c) } } }",
        ORDER,
        variables={"c": "EUR"},
    ),
    case("a value is no object", "subscription { order { note total } }", "text"),
    case("a number is no object", "subscription { order { __typename note } }", 5),
    case("a list is no object", "subscription { order { note } }", [1]),
    case("an object of false", "subscription { order { note } }", False),
    *(
        case(f"an object within an object, {depth} levels", chain(depth), nested(depth))
        for depth in (1, 10, 50, 100)
    ),
    case(
        "a null ends a chain",
        "subscription { order { related { related { related { id } } } } }",
        {"related": {"related": None}},
    ),
    case(
        "fragments of fragments of fragments",
        "subscription { order { ...A } } fragment A on Order { id ...B }"
        " fragment B on Order { related { ...C } } fragment C on Order { id ...D }"
        " fragment D on Order { note }",
        ORDER,
    ),
    case(
        "many fields under many aliases",
        "subscription { order { " + " ".join(f"f{n}: id" for n in range(200)) + " } }",
        ORDER,
    ),
    case(
        "names that look like numbers or literals",
        "subscription { order { _1: id true: note null: total false: status } }",
        ORDER,
    ),
    case("names that objects of JavaScript have", "subscription { order { __proto: id } }", ORDER),
    case(
        "a field in camelCase is read by its snake_case name as well",
        "subscription { order { userName } }",
        {"user_name": "Ada"},
    ),
    case(
        "the own name of a field comes before its snake_case form",
        "subscription { order { userName } }",
        {"user_name": "no", "userName": "yes"},
    ),
    case(
        "null under the own name of a field is a value",
        "subscription { order { userName } }",
        {"user_name": "no", "userName": None},
    ),
]
