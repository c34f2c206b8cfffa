"""Clients build the schema from introspection: graphql-js, graphql-core, GraphiQL."""

from __future__ import annotations

import json

import graphql
import pytest
from answers import Ours, core_schema, run_driver
from themes import CASES

SCHEMAS = sorted({case.sdl for case in CASES})


def printed(schema: graphql.GraphQLSchema) -> str:
    """Print a schema with its types in one order: the order of introspection is free."""
    return graphql.print_schema(graphql.lexicographic_sort_schema(schema))


async def introspect(sdl: str, query: str) -> dict:
    ours = Ours(sdl, "event")
    async with ours.manager:
        executor = ours.manager.executor
        id = await executor.register_subscription(query)
        response = json.loads(await executor.next_event(id))
    assert response.keys() == {"data"}
    return response["data"]


@pytest.fixture(scope="session")
def queries() -> dict[str, str]:
    """The introspection queries of graphql-js, which GraphiQL uses."""
    every_option, default = map(json.loads, run_driver({"queries": True}))
    return {"every option": every_option, "default": default}


@pytest.mark.parametrize("number", range(len(SCHEMAS)))
async def test_graphql_core_builds_the_schema(number):
    query = graphql.get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True,
        input_value_deprecation=True,
    )  # fmt: skip
    data = await introspect(SCHEMAS[number], query)
    assert printed(graphql.build_client_schema(data)) == printed(core_schema(SCHEMAS[number]))


@pytest.mark.parametrize("options", ["every option", "default"])
async def test_graphql_js_builds_every_schema_from_the_query_of_graphiql(options, queries):
    clients = [{"sdl": sdl, "data": await introspect(sdl, queries[options])} for sdl in SCHEMAS]
    for line in run_driver({"clients": clients}):
        built, reference = json.loads(line)
        # The default query leaves out deprecated elements, and directives of the schema's types.
        if options == "every option":
            assert built == reference
        assert "type Subscription {" in built


async def test_directives_and_types_are_those_of_the_references(queries):
    sdl = next(sdl for sdl in SCHEMAS if "@mark(text" in sdl and "Stamp" in sdl)
    query = "{ __schema { types { name kind } directives { name isRepeatable locations } } }"
    ours = (await introspect(sdl, query))["__schema"]
    reference = graphql.graphql_sync(core_schema(sdl), query).data["__schema"]
    types = {one["name"]: one["kind"] for one in ours["types"]}
    # Newer directives bring types of their own.
    assert types == {one["name"]: one["kind"] for one in reference["types"]}
    directives = {one["name"]: one for one in ours["directives"]}
    for name in ("skip", "include", "mark", "specifiedBy"):
        assert directives[name] in reference["directives"]
