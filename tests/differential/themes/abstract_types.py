"""Interfaces and unions: the type of a value, and the fragments that apply to it."""

from __future__ import annotations

import functools

from case import Case

SDL = """
    type Query { ok: Boolean }
    type Subscription {
        node: Node nodes: [Node] required: [Node!]! found: [Found] named: Named one: Found cat: Cat
    }
    interface Node { id: ID! }
    interface Named implements Node { id: ID! name: String }
    interface Lonely { id: ID! }
    type Dog implements Node & Named { id: ID! name: String barks: Boolean friend: Node owner: Human }
    type Cat implements Node & Named { id: ID! name: String meows: Int! friend: Found owner: Human }
    type Rock implements Node { id: ID! weight: Float }
    type Human { name: String pets: [Named!] }
    union Found = Dog | Cat | Human
"""

case = functools.partial(Case, sdl=SDL)

DOG = {"__typename": "Dog", "id": 1, "name": "Rex", "barks": True}
CAT = {"__typename": "Cat", "id": 2, "name": "Tom", "meows": 3}
ROCK = {"__typename": "Rock", "id": 3, "weight": 1.5}
HUMAN = {"__typename": "Human", "name": "Ada", "pets": [DOG, CAT]}
UNKNOWN = {"__typename": "Plane", "id": 4}

CASES = [
    case("fields of an interface", "subscription { node { id } }", DOG),
    case("typename of an interface", "subscription { node { __typename id } }", CAT),
    case("typename of a union", "subscription { one { __typename } }", HUMAN),
    case(
        "fields of the types of an interface",
        "subscription { nodes { id ... on Dog { barks } ... on Cat { meows } } }",
        [DOG, CAT, ROCK],
    ),
    case(
        "an interface as condition",
        "subscription { nodes { __typename ... on Named { name } } }",
        [DOG, CAT, ROCK],
    ),
    case(
        "a union as condition",
        "subscription { nodes { id ... on Found { __typename } } }",
        [DOG, ROCK],
    ),
    case(
        "an interface as condition on a union",
        "subscription { found { ... on Node { id } ... on Human { name } } }",
        [DOG, HUMAN, CAT],
    ),
    case(
        "conditions within conditions",
        "subscription { nodes { ... on Named { ... on Node { ... on Dog { barks name } id } } } }",
        [DOG, CAT, ROCK],
    ),
    case(
        "fragments with conditions",
        "subscription { found { ...D ...C ...H } } fragment D on Dog { name barks }"
        " fragment C on Cat { name meows } fragment H on Human { name }",
        [DOG, CAT, HUMAN],
    ),
    case(
        "no condition applies",
        "subscription { nodes { ... on Dog { barks } } }",
        [ROCK, CAT],
    ),
    case(
        "fields merge over conditions",
        "subscription { nodes { ... on Named { name } ... on Dog { name id } id } }",
        [DOG, CAT],
    ),
    case(
        "one name for fields of distinct types",
        "subscription { nodes { ... on Dog { x: name } ... on Cat { x: name } ... on Rock { id } }}",
        [DOG, CAT, ROCK],
    ),
    case(
        "objects merge over conditions",
        "subscription { nodes { ... on Named { ...F } ... on Dog { owner { pets { id } } } } }"
        " fragment F on Named { ... on Dog { owner { name } } ... on Cat { owner { name } } }",
        [{**DOG, "owner": HUMAN}, {**CAT, "owner": HUMAN}],
    ),
    case(
        "an interface within an interface",
        "subscription { node { ... on Dog { friend { id ... on Cat { friend { ... on Dog { name }"
        " } } } } } }",
        {**DOG, "friend": {**CAT, "friend": DOG}},
    ),
    case("a null of an interface", "subscription { node { id } }", None),
    case("nulls in a list of an interface", "subscription { nodes { id } }", [None, DOG, None]),
    case("a value without a type", "subscription { node { id } }", {"id": 1}),
    case("a value with an unknown type", "subscription { node { id } }", UNKNOWN),
    case("a value with a type of another union", "subscription { one { __typename } }", ROCK),
    case(
        "a value with an interface as type", "subscription { node { id } }", {"__typename": "Named"}
    ),
    case("a value with a scalar as type", "subscription { node { id } }", {"__typename": "Int"}),
    case("a typename that is no text", "subscription { node { id } }", {"__typename": 5, "id": 1}),
    case("a typename that is null", "subscription { node { id } }", {"__typename": None, "id": 1}),
    case(
        "wrong types in a list",
        "subscription { nodes { id } }",
        [DOG, UNKNOWN, {"id": 1}, CAT],
    ),
    case(
        "a wrong type in a list that must have none",
        "subscription { required { id } }",
        [DOG, UNKNOWN],
    ),
    case("text where an interface is", "subscription { node { id } }", "Dog"),
    case("a number where a union is", "subscription { found { __typename } }", [1, DOG]),
    case("a list where a union is", "subscription { one { __typename } }", [DOG]),
    case(
        "an object type does not look at the typename of its value",
        "subscription { cat { __typename name } }",
        DOG,
    ),
    case(
        "a field that is missing in one of the types",
        "subscription { found { ... on Cat { meows } ... on Dog { barks } } }",
        [{"__typename": "Cat"}, {"__typename": "Dog"}],
    ),
    case(
        "a list of an interface in a union",
        "subscription { one { ... on Human { pets { __typename name ... on Dog { barks } } } } }",
        HUMAN,
    ),
    case(
        "typename with conditions",
        "subscription { nodes { ... on Dog { t: __typename } ... on Rock { __typename } } }",
        [DOG, ROCK, CAT],
    ),
    case(
        "an interface of an interface at the root",
        "subscription { named { ... on Node { id } name } }",
        CAT,
    ),
]
