"""Documents that graphql-core cannot parse are refused, and commas have no meaning.

Not here: documents that are parsed (`test_generated`).
"""

from __future__ import annotations

import random
import re

import pytest
from answers import UNLIMITED
from graphql import GraphQLError, parse

from fraiseql_subs import SubscriptionManager, ValidationError, passthrough

SDL = """
directive @once(a: Int, s: String = "x") on FIELD | QUERY | FRAGMENT_SPREAD | VARIABLE_DEFINITION
scalar J
enum E { A B }
input I { a: Int! b: [String!] c: I d: E = A j: J }
type P { id: ID! n(x: Int): P e(e: E, l: [Int!]): E j(j: J): String }
type Query { p(i: I, r: Int! = 3): P }
type Subscription { s(i: I, l: [[Int]]): P }
"""

DOCUMENTS = (
    'subscription { s(i: {a: 1, b: ["x", "y"], c: {a: 2, j: {k: [1,"a"]}}}, l: [[1],[2]]) { id } }',
    "subscription S($i: I = {a: 1}, $e: E, $x: Int! = 3 @once(a: 1)) {"
    " s(i: $i) { n(x: $x) { e(e: $e, l: [1,2]) } } }",
    'query A($b: Boolean! = true) @once(s: "q") { p { a: id @skip(if: $b) ...F ... on P { id } } }'
    ' fragment F on P { n(x: -0) { j(j: {a: "s", b: null, c: E}) } f: id }',
)

TOKENS = (
    *"{}()[]:!$=@|&,",
    *("...", "\n", "#,\n", '""', '"a"', '"""b,"""', "1", "-1", "0", "1.0", "1e3", "true", "null"),
    *("A", "on", "id", "$b", "@once", "@skip(if: $b)", "...F", "... on P", "query", "fragment"),
    *("a: id", "{ id }", "{a}", "(r)", "x"),
)

SPLIT = re.compile(r'"[^"\n]*"|\.\.\.|[_A-Za-z]\w*|-?\d+(?:\.\d+)?|\s+|.')


def changed(source: random.Random) -> str:
    """Return a document of which some tokens are others, missing, or there twice."""
    tokens = SPLIT.findall(source.choice(DOCUMENTS))
    for _ in range(source.choice([1, 1, 1, 2, 3])):
        at = source.randrange(len(tokens))
        match source.randrange(4):
            case 0:
                tokens.insert(at, source.choice(TOKENS))
            case 1:
                del tokens[at]
            case 2:
                tokens[at] = source.choice(TOKENS)
            case _:
                tokens[at:at] = tokens[at : at + source.randrange(1, 8)]
    return "".join(tokens)


def is_parsed(document: str) -> bool:
    """Whether graphql-core parses a document."""
    try:
        parse(document)
    except GraphQLError:
        return False
    return True


def refusal(manager: SubscriptionManager, document: str) -> str | None:
    """Return the first error of a document; None: it is accepted."""
    try:
        manager.validate(document)
    except ValidationError as error:
        return str(error.errors[0]["message"])
    return None


@pytest.fixture(scope="module")
def manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("s", channel="s")], schema=SDL, limits=UNLIMITED)


@pytest.mark.parametrize("seed", range(4))
def test_what_graphql_core_cannot_parse_is_refused(manager, seed):
    source = random.Random(seed)
    for _ in range(1_000):
        document = changed(source)
        told = refusal(manager, document)
        assert told is not None or is_parsed(document), document


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_comma_before_and_after_each_token_changes_nothing(manager, document):
    assert refusal(manager, document) is None
    tokens = [token for token in SPLIT.findall(document) if token.strip()]
    assert refusal(manager, f",{' , '.join(tokens)},") is None
