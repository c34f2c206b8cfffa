"""Random schemas, documents and values, answered by graphql-core and us.

As many examples as `FUZZ_EXAMPLES` says (count; default 2,000, nearly the same ones at each run);
more, and other ones at each run: `make fuzz-graphql`. A failure is shrunk: enter it into `themes`,
or into `VALUES`, which no reference implementation answers as we do.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import graphql
import pytest
from answers import WAYS, Ours, ask_core_with, can_carry
from case import Answer, Case
from generated import cases
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One loop for all examples, which are no coroutines to Hypothesis."""
    event_loop = asyncio.new_event_loop()
    yield event_loop
    event_loop.close()


def tell_types_by_fields(schema: graphql.GraphQLSchema, way: str) -> None:
    """Have graphql-core find an unnamed type as we do, by `docs/how-to/types.md`.

    The class of an object names a type only if the schema has one of that name.
    """

    def fit(possible: graphql.GraphQLObjectType, value: dict[str, Any]) -> int | None:
        fields = possible.fields.items()
        required = {name for name, field in fields if graphql.is_non_null_type(field.type)}
        if any(value.get(name) is None for name in required):
            return None
        return sum(name in value for name in possible.fields)

    def resolve_type(value: Any, info: graphql.GraphQLResolveInfo, declared: Any) -> str | None:
        if not isinstance(value, dict):
            return None
        name = value.get("__typename")
        is_unknown_class = way == "objects" and str(name) not in info.schema.type_map
        if "__typename" in value and not is_unknown_class:
            return name if isinstance(name, str) else None
        fits = {one.name: fit(one, value) for one in info.schema.get_possible_types(declared)}
        found = [count for count in fits.values() if count is not None]
        best = [name for name, count in fits.items() if found and count == max(found)]
        return best[0] if len(best) == 1 else None

    for declared in schema.type_map.values():
        if graphql.is_abstract_type(declared):
            declared.resolve_type = resolve_type


TOLD_BY_FIELDS = """
type Query { ok: Boolean }
type A { a: Int! }
type C { a: Int c: Int }
union Found = A | C
type Subscription { root: Found }
"""


VALUES: list[Any] = [
    {},
    {"a": 1},
    {"a": None},
    {"a": 1, "c": None},
    {"c": 1},
    {"__typename": "None"},
    {"__typename": "Query"},
    [],
    "",
]


async def answers(case: Case, way: str) -> tuple[Answer, Answer]:
    """Ask us and the reference."""
    ours = Ours(case.sdl, way)
    tell_types_by_fields(ours.schema, way)
    async with ours.manager:
        return await ours.ask(case), await ask_core_with(ours.schema, case)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
async def test_a_value_without_a_type_name_has_the_type_of_its_fields(value, way):
    document = "subscription { root { __typename } }"
    mine, reference = await answers(Case("told by fields", document, value, TOLD_BY_FIELDS), way)
    assert mine == reference


@pytest.mark.timeout(max(900, EXAMPLES))
@settings(
    max_examples=EXAMPLES,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(case=cases(), way=st.sampled_from(WAYS))
def test_we_answer_random_requests_as_graphql_core(case, way, loop):
    assert can_carry(way, case)
    mine, reference = loop.run_until_complete(answers(case, way))
    assert mine == reference
