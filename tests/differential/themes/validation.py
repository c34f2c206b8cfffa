"""Invalid documents, by the rule that they break, with the names of graphql-js."""

from __future__ import annotations

from case import Case

SDL = """
    type Query { ok: Boolean dog: Dog }
    type Subscription {
        dog(atHome: Boolean, id: ID, filter: Filter, tags: [String!], color: Color, n: Int, f: Float): Dog
        animal: Animal found: Found human(id: ID!): Human number: Int
    }
    interface Animal { name(surname: Boolean): String }
    type Dog implements Animal {
        name(surname: Boolean): String nickname: String barks: Boolean
        knows(command: Command!, times: Int! = 1): Boolean! owner: Human volume: Int
    }
    type Cat implements Animal { name(surname: Boolean): String nickname: String meows: Boolean volume: Int! owner: Human }
    type Human { name(surname: Boolean): String id: ID! pets: [Animal] age: Int }
    type Alien { iq: Int }
    union Found = Dog | Cat
    union Stranger = Alien
    enum Command { SIT DOWN }
    enum Color { RED GREEN }
    input Filter { name: String! age: Int = 3 inner: Filter tags: [String!] }
    directive @onField on FIELD
    directive @onQuery on QUERY
    directive @onSubscription on SUBSCRIPTION
    directive @many(n: Int!) repeatable on FIELD
    directive @onVariable on VARIABLE_DEFINITION
"""

RULES: dict[str, list[str]] = {
    "ExecutableDefinitions": [
        "subscription { number } type Extra { a: Int }",
        "subscription { number } extend type Dog { color: String }",
        "schema { query: Query } subscription { number } scalar X",
    ],
    "UniqueOperationNames": [
        "subscription A { number } subscription A { number }",
        "query A { ok } subscription A { number } query A { ok }",
    ],
    "LoneAnonymousOperation": [
        "subscription { number } subscription B { number }",
        "{ ok } { ok }",
        "subscription B { number } subscription { number } { ok }",
    ],
    "SingleFieldSubscriptions": [
        "subscription { number animal { name } }",
        "subscription S { number x: number y: number }",
        "subscription S { __typename }",
        "subscription S { ...F } fragment F on Subscription { number __typename }",
    ],
    "KnownTypeNames": [
        "subscription ($x: Nothing) { dog(id: $x) { name } }",
        "subscription { dog { ... on Nothing { name } } }",
        "subscription { dog { ...F } } fragment F on Nothing { name }",
        "subscription ($x: [Nothing!]!, $y: Filtr) { dog(tags: $x, filter: $y) { name } }",
    ],
    "FragmentsOnCompositeTypes": [
        "subscription { dog { ... on Boolean { name } } }",
        "subscription { dog { ...F } } fragment F on Command { name }",
        "subscription { dog { ...F } } fragment F on Filter { name }",
    ],
    "VariablesAreInputTypes": [
        "subscription ($d: Dog) { dog(id: $d) { name } }",
        "subscription ($d: [Animal!], $e: Found!) { dog(id: $d, n: $e) { name } }",
    ],
    "ScalarLeafs": [
        "subscription { dog }",
        "subscription { dog { name { x } } }",
        "subscription { dog { barks { x y } owner } }",
        "subscription { animal }",
        "subscription { number { __typename } }",
        "subscription { dog { name {__typename} volume { __typename } } }",
    ],
    "FieldsOnCorrectType": [
        "subscription { nothing }",
        "subscription { dog { nothing } }",
        "subscription { dog { a: nothing b: nothing } }",
        "subscription { animal { barks } }",
        "subscription { found { name } }",
        "subscription { dog { nothing { deeper { still } } } }",
        "subscription { dog { ... on Cat { nothing } ...F } } fragment F on Dog { meows }",
        "subscription { animal { __nothing } }",
        "subscription { dog { ... { nothing } } }",
        "query { nothing }",
        "mutation { change }",
    ],
    "UniqueFragmentNames": [
        "subscription { dog { ...F } } fragment F on Dog { name } fragment F on Dog { barks }",
        "subscription { dog { ...F } } fragment F on Dog { name } fragment F on Dog { barks }"
        " fragment F on Dog { nickname }",
    ],
    "KnownFragmentNames": [
        "subscription { dog { ...Nothing } }",
        "subscription { ...A dog { name ...B } }",
        "subscription { dog { ...F } } fragment F on Dog { ...G }",
    ],
    "NoUnusedFragments": [
        "subscription { number } fragment F on Dog { name }",
        "subscription { number } fragment F on Dog { ...G } fragment G on Dog { name }",
        "subscription { dog { ...G } } fragment F on Dog { ...G } fragment G on Dog { name }",
    ],
    "PossibleFragmentSpreads": [
        "subscription { dog { ... on Cat { meows } } }",
        "subscription { dog { ...F } } fragment F on Cat { meows }",
        "subscription { animal { ... on Alien { iq } } }",
        "subscription { found { ... on Human { id } } }",
        "subscription { found { ... on Stranger { __typename } } }",
        "subscription { dog { ... on Stranger { __typename } } }",
    ],
    "NoFragmentCycles": [
        "subscription { dog { ...F } } fragment F on Dog { ...F }",
        "subscription { dog { ...A } } fragment A on Dog { ...B } fragment B on Dog { ...A }",
        "subscription { human(id: 1) { ...F } } fragment F on Human { pets { ... on Dog { owner { ...F } } } }",
        "subscription { dog { ...A } } fragment A on Dog { ...B ...C } fragment B on Dog { ...A }"
        " fragment C on Dog { ...A }",
        "subscription { dog { ...A } } fragment A on Dog { name ...B } fragment B on Dog { ...C }"
        " fragment C on Dog { ...B }",
    ],
    "UniqueVariableNames": [
        "subscription ($a: Int, $a: Int) { dog(n: $a) { name } }",
        "subscription ($a: Int, $a: String, $a: Int) { dog(n: $a) { name } }",
    ],
    "NoUndefinedVariables": [
        "subscription { dog(n: $a) { name } }",
        "subscription S { dog(n: $a, id: $b) { name } }",
        "subscription S { dog { ...F } } fragment F on Dog { name(surname: $a) }",
        "subscription S ($a: Boolean) { dog { ...F } } subscription T { dog { ...F } }"
        " fragment F on Dog { name(surname: $a) }",
        "subscription { dog(tags: [$a], filter: {name: $b}) { name @skip(if: $c) } }",
    ],
    "NoUnusedVariables": [
        "subscription ($a: Int) { number }",
        "subscription S ($a: Int, $b: Int, $c: Int) { dog(n: $b) { name } }",
        "subscription S ($a: Boolean) { number } subscription T ($a: Boolean) { dog { ...F } }"
        " fragment F on Dog { name(surname: $a) }",
    ],
    "KnownDirectives": [
        "subscription { number @nothing }",
        "subscription { dog { name @nothing ...F @nothing } } fragment F on Dog @nothing { barks }",
        "subscription @onField { number }",
        "subscription { number @onSubscription }",
        "subscription @skip(if: true) { number }",
        "subscription { dog { ... @onField { name } } }",
        "subscription ($a: Int @onField) { dog(n: $a) { name } }",
        "subscription { number @deprecated }",
    ],
    "UniqueDirectivesPerLocation": [
        "subscription { number @onField @onField }",
        "subscription { number @onField @onField @onField }",
        "subscription { dog { name @skip(if: true) @include(if: true) @skip(if: false) } }",
    ],
    "KnownArgumentNames": [
        "subscription { dog(nothing: 1) { name } }",
        "subscription { dog { name(nothing: 1, surname: true, other: 2) } }",
        "subscription { dog { name @skip(if: true, unless: false) } }",
        "subscription { number(x: 1) }",
        "subscription { number @onField(a: 1) }",
    ],
    "UniqueArgumentNames": [
        "subscription { dog(n: 1, n: 2) { name } }",
        "subscription { dog(n: 1, n: 1, n: 1) { name } }",
        "subscription { dog { name @skip(if: true, if: true) } }",
        "subscription { dog(n: 1, id: 2, n: 3, id: 4) { name } }",
    ],
    "ValuesOfCorrectType": [
        'subscription { dog(n: "1") { name } }',
        "subscription { dog(n: 1.5) { name } }",
        "subscription { dog(n: 2147483648) { name } }",
        "subscription { dog(n: -2147483649) { name } }",
        "subscription { dog(n: true) { name } }",
        "subscription { dog(n: RED) { name } }",
        "subscription { dog(n: [1]) { name } }",
        "subscription { dog(n: {a: 1}) { name } }",
        "subscription { dog(n: 99999999999999999999) { name } }",
        'subscription { dog(f: "1.5") { name } }',
        "subscription { dog(f: true) { name } }",
        "subscription { dog(f: RED) { name } }",
        "subscription { dog(id: 1.5) { name } }",
        "subscription { dog(id: true) { name } }",
        "subscription { dog(id: RED) { name } }",
        "subscription { dog(atHome: 1) { name } }",
        'subscription { dog(atHome: "true") { name } }',
        "subscription { dog(atHome: TRUE) { name } }",
        "subscription { dog(color: BLUE) { name } }",
        'subscription { dog(color: "RED") { name } }',
        "subscription { dog(color: 1) { name } }",
        "subscription { dog(color: true) { name } }",
        "subscription { dog(color: red) { name } }",
        "subscription { dog(tags: 1) { name } }",
        'subscription { dog(tags: ["a", 1]) { name } }',
        'subscription { dog(tags: ["a", null]) { name } }',
        "subscription { dog(tags: [[]]) { name } }",
        "subscription { dog(filter: 1) { name } }",
        'subscription { dog(filter: "x") { name } }',
        "subscription { dog(filter: {}) { name } }",
        "subscription { dog(filter: {name: null}) { name } }",
        "subscription { dog(filter: {name: 1}) { name } }",
        'subscription { dog(filter: {name: "x", nothing: 1}) { name } }',
        'subscription { dog(filter: {name: "x", inner: {age: "x"}}) { name } }',
        'subscription { dog(filter: {name: "x", inner: {tags: [1], nothing: 1}}) { name } }',
        "subscription { human(id: null) { id } }",
        'subscription ($a: Int = "x") { dog(n: $a) { name } }',
        "subscription ($a: Filter = {age: 1}) { dog(filter: $a) { name } }",
        "subscription ($a: [String!] = [null]) { dog(tags: $a) { name } }",
        "subscription ($a: Int! = null) { dog(n: $a) { name } }",
        "subscription { dog { name @skip(if: 1) } }",
        "subscription { dog(n: 1.0, f: {}) { name } }",
        "subscription { dog { knows(command: SIT, times: null) } }",
    ],
    "ProvidedRequiredArguments": [
        "subscription { human { id } }",
        "subscription { dog { knows } }",
        "subscription { dog { knows(times: 3) } }",
        "subscription { dog { name @skip } }",
        "subscription { number @many }",
        "subscription { dog { a: knows b: knows } }",
    ],
    "VariablesInAllowedPosition": [
        "subscription ($a: String) { dog(n: $a) { name } }",
        "subscription ($a: ID) { human(id: $a) { id } }",
        "subscription ($a: [String]) { dog(tags: $a) { name } }",
        "subscription ($a: String) { dog(tags: $a) { name } }",
        "subscription ($a: String) { dog(tags: [$a]) { name } }",
        "subscription ($a: Boolean) { dog { name @skip(if: $a) } }",
        "subscription ($a: Int) { dog(filter: {name: $a}) { name } }",
        "subscription ($a: String) { dog(filter: {name: $a}) { name } }",
        "subscription S ($a: Int) { dog { ...F } } fragment F on Dog { name(surname: $a) }",
        "subscription ($a: Int = null) { dog { knows(command: SIT, times: $a) } }",
        "subscription ($a: Command) { dog { knows(command: $a) } }",
        "subscription ($a: Int) { dog(n: $a, f: $a, id: $a) { name } }",
        "subscription S ($a: Int) { dog { ...F } } subscription T ($a: String) { dog { ...F } }"
        " fragment F on Dog { name(surname: $a) }",
    ],
    "OverlappingFieldsCanBeMerged": [
        "subscription { dog { x: name x: nickname } }",
        "subscription { dog { name: nickname name } }",
        "subscription { dog { name(surname: true) name } }",
        "subscription { dog { name(surname: true) name(surname: false) } }",
        "subscription { dog { x: name x: nickname x: barks } }",
        "subscription { dog { ...A ...B } } fragment A on Dog { x: name } fragment B on Dog { x: barks }",
        "subscription { animal { ... on Dog { v: volume } ... on Cat { v: volume } } }",
        "subscription { animal { ... on Dog { v: volume } ... on Cat { v: nickname } } }",
        "subscription { found { ... on Dog { o: owner { age } } ... on Cat { o: owner { age: id } } } }",
        "subscription { dog { owner { x: name } owner { x: id } } }",
        "subscription { dog { owner { x: name y: name } owner { x: id y: id } } }",
        "subscription { dog { owner { x: name } } dog { owner { x: id } } }",
        "subscription { dog { owner { ...A } owner { ...B } } } fragment A on Human { x: name }"
        " fragment B on Human { x: id }",
        "subscription { dog { x: name } dog(n: 1) { x: name } }",
        "subscription { dog { ...A x: name } } fragment A on Dog { x: barks }",
        "subscription { dog { knows(command: SIT) knows(command: DOWN) } }",
        "subscription { dog { ...A } } fragment A on Dog { x: name x: barks }",
        "subscription ($a: Boolean, $b: Boolean) { dog { name(surname: $a) name(surname: $b) } }",
        "subscription { animal { ... on Dog { x: barks } ... on Cat { x: owner { id } } } }",
        "subscription { animal { ... on Dog { x: owner { id } } ... on Cat { x: owner { id: name } } } }",
    ],
    "UniqueInputFieldNames": [
        'subscription { dog(filter: {name: "a", name: "b"}) { name } }',
        'subscription { dog(filter: {name: "a", name: "b", name: "c"}) { name } }',
        'subscription { dog(filter: {name: "a", inner: {name: "b", name: "c"}}) { name } }',
    ],
    "Several": [
        "subscription ($a: Int, $b: Nothing) { dog(nothing: 1, n: $c) { nothing ...F ...G } }"
        " fragment G on Cat { meows }",
        "subscription { dog { name { x } owner nothing barks @nothing } }",
        "subscription S ($x: Dog) { dog { ...F } number } fragment F on Nothing { a } fragment H on Dog { name }",
        "subscription {\n  dog {\n    nothing\n    other\n  }\n}",
    ],
}

CASES = [
    Case(f"{rule} {number}", document, sdl=SDL, value={})
    for rule, documents in RULES.items()
    for number, document in enumerate(documents, 1)
]
