"""Documents with syntax errors: one error, at the location where parsing stops."""

from __future__ import annotations

import functools

from case import Case

SDL = "type Query { ok: Boolean } type Subscription { a(x: Int, s: String, o: In): Int } input In { y: Int }"

case = functools.partial(Case, sdl=SDL)

DOCUMENTS = {
    "nothing": "",
    "white space": "  \n ",
    "a comment": "# nothing",
    "an open brace": "subscription { a",
    "an open brace on another line": "subscription {\n  a\n",
    "a closing brace too many": "subscription { a } }",
    "no selection": "subscription",
    "an empty selection": "subscription { }",
    "an empty selection of a field": "subscription { a { } }",
    "a word that is no definition": "subscribe { a }",
    "an unknown character": "subscription { a ? }",
    "a dot": "subscription { a . b }",
    "two dots": "subscription { .. on A { a } }",
    "an open string": 'subscription { a(s: "x) }',
    "an open block string": 'subscription { a(s: """x) }',
    "a line end in a string": 'subscription { a(s: "x\ny") }',
    "a bad escape": 'subscription { a(s: "\\x") }',
    "a bad escape of unicode": 'subscription { a(s: "\\u12G4") }',
    "half a surrogate pair": 'subscription { a(s: "\\ud83d") }',
    "empty arguments": "subscription { a() }",
    "an argument without a value": "subscription { a(x:) }",
    "an argument without a colon": "subscription { a(x 1) }",
    "an open list": "subscription { a(x: [1 }",
    "an open object": "subscription { a(o: {y: 1 }",
    "a number with a leading zero": "subscription { a(x: 01) }",
    "a number with a name": "subscription { a(x: 1x) }",
    "a number that ends with a dot": "subscription { a(x: 1.) }",
    "a number without exponent": "subscription { a(x: 1e) }",
    "a plus sign": "subscription { a(x: +1) }",
    "a minus sign alone": "subscription { a(x: -) }",
    "a variable without a name": "subscription ($: Int) { a }",
    "a variable without a type": "subscription ($x) { a(x: $x) }",
    "a variable in a default": "subscription ($x: Int = $y) { a(x: $x) }",
    "empty variables": "subscription () { a }",
    "a fragment named on": "fragment on on Subscription { a } subscription { ...on }",
    "a fragment without a condition": "subscription { ...F } fragment F { a }",
    "a fragment without selection": "subscription { ...F } fragment F on Subscription",
    "a spread without a name": "subscription { ... }",
    "a directive without a name": "subscription { a @ }",
    "an alias without a field": "subscription { x: }",
    "two aliases": "subscription { x: y: a }",
    "a query in short form with a name": "S { a }",
    "a type that is not closed": "subscription ($x: [Int) { a(x: 1) }",
    "a type that is twice not null": "subscription ($x: Int!!) { a(x: $x) }",
    "a control character": "subscription { a \x07 }",
    "a character beyond ASCII": "subscription { é }",
    "an enum value of true": "subscription { a(x: true) { b } ",
    "a description of an operation": '"text" subscription { a(',
}

CASES = [case(f"syntax: {name}", document) for name, document in DOCUMENTS.items()]
