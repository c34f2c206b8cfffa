"""Faults of the application: the masked error for the client, and the record in the log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import ariadne
import graphql
import pytest
import strawberry
from masking import SECRET, ours, told

from fraiseql_subs import GraphQLError, SubscriptionManager


def fail() -> Any:
    raise RuntimeError(SECRET)


def strawberry_schema() -> Any:  # noqa: C901
    @strawberry.type
    class Item:
        @strawberry.field
        def price(self) -> int | None:
            return fail()

    @strawberry.type
    class Query:
        @strawberry.field
        def q(self) -> int:
            return fail()

        @strawberry.field
        def items(self) -> list[Item]:
            return [Item(), Item()]

        @strawberry.field
        def misfit(self) -> int | None:
            return SECRET  # type: ignore[return-value]

        @strawberry.field
        def null(self) -> int:
            return None  # type: ignore[return-value]

        @strawberry.field
        def told(self) -> int:
            raise graphql.GraphQLError("sold out", extensions={"code": "GONE"})

        @strawberry.field
        def ours(self) -> int:
            raise GraphQLError("sold out", extensions={"code": "GONE"})

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def m(self) -> int:
            return fail()

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def items(self) -> AsyncGenerator[Item, None]:
            yield Item()

        @strawberry.subscription
        async def breaks(self) -> AsyncGenerator[int, None]:
            yield 1
            fail()

        @strawberry.subscription
        async def at_once(self) -> AsyncGenerator[int, None]:
            fail()
            yield 1

        @strawberry.subscription
        async def told(self) -> AsyncGenerator[int, None]:
            yield 1
            raise graphql.GraphQLError("sold out", extensions={"code": "GONE"})

    globals().update(Item=Item)
    return strawberry.Schema(Query, Mutation, Subscription)


def ariadne_schema() -> Any:
    query, mutation = ariadne.QueryType(), ariadne.MutationType()
    source, item = ariadne.SubscriptionType(), ariadne.ObjectType("Item")

    def tell(error: Exception) -> Any:
        raise error

    query.set_field("q", lambda *_: fail())
    query.set_field("items", lambda *_: [{}, {}])
    query.set_field("misfit", lambda *_: SECRET)
    query.set_field("null", lambda *_: None)
    code = {"code": "GONE"}
    query.set_field("told", lambda *_: tell(graphql.GraphQLError("sold out", extensions=code)))
    query.set_field("ours", lambda *_: tell(GraphQLError("sold out", extensions=code)))
    mutation.set_field("m", lambda *_: fail())
    item.set_field("price", lambda *_: fail())

    async def items(*_: Any) -> AsyncIterator[Any]:
        yield {}

    async def breaks(*_: Any) -> AsyncIterator[int]:
        yield 1
        fail()

    async def at_once(*_: Any) -> AsyncIterator[int]:
        fail()
        yield 1

    async def goes(*_: Any) -> AsyncIterator[int]:
        yield 1
        raise graphql.GraphQLError("sold out", extensions=code)

    for name, function in {
        "items": items, "breaks": breaks, "atOnce": at_once, "told": goes
    }.items():  # fmt: skip
        source.set_source(name, function)
        source.set_field(name, lambda value, *_: value)
    sdl = """
        type Item { price: Int }
        type Query { q: Int! items: [Item!]! misfit: Int null: Int! told: Int! ours: Int! }
        type Mutation { m: Int! }
        type Subscription { items: Item! breaks: Int! atOnce: Int! told: Int! }
    """
    return ariadne.make_executable_schema(sdl, query, mutation, source, item)


SCHEMAS = {"strawberry": strawberry_schema, "ariadne": ariadne_schema}


FAILING = [
    "{ q }",
    "{ items { price } }",
    "mutation { m }",
    "subscription { items { price } }",
    "subscription { breaks }",
    "subscription { atOnce }",
]


@pytest.fixture(params=SCHEMAS)
def schema(request) -> Any:
    return SCHEMAS[request.param]()


@pytest.mark.parametrize("document", FAILING)
async def test_what_a_given_schema_raises_is_masked_and_logged(document, schema, caplog):
    async with SubscriptionManager(schema=schema) as manager:
        errors = await told(manager, document)
    assert errors
    assert {error["message"] for error in errors} == {"Internal server error"}
    assert "hunter2" not in str(errors)
    (record,) = ours(caplog)[:1]
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])
    assert record.exc_info[1].__traceback__ is not None


@pytest.mark.parametrize("document", FAILING)
async def test_debug_tells_what_a_given_schema_raises(document, schema):
    async with SubscriptionManager(schema=schema, debug=True) as manager:
        errors = await told(manager, document)
    assert "hunter2" in str(errors)


async def test_the_place_of_a_masked_error_stays(schema):
    async with SubscriptionManager(schema=schema) as manager:
        (one, two) = await told(manager, "{ items { price } }")
    assert (one["path"], two["path"]) == (["items", 0, "price"], ["items", 1, "price"])
    assert one["locations"] == [{"line": 1, "column": 11}]


@pytest.mark.parametrize("document", ["{ told }", "{ ours }", "subscription { told }"])
async def test_what_is_raised_for_the_client_reaches_it(document, schema, caplog):
    async with SubscriptionManager(schema=schema) as manager:
        (error,) = await told(manager, document)
    assert error["message"] == "sold out"
    assert error["extensions"] == {"code": "GONE"}
    assert ours(caplog) == []


async def test_a_misfit_of_a_given_schema_does_not_quote_the_value(schema, caplog):
    async with SubscriptionManager(schema=schema) as manager:
        (error,) = await told(manager, "{ misfit }")
        assert error["message"] == "Int cannot represent non-integer value"
        (error,) = await told(manager, "{ null }")
        assert error["message"] == "Cannot return null for non-nullable field Query.null."
    assert len(ours(caplog)) == 2


async def test_errors_of_a_given_schema_count_as_resolver_errors(schema):
    async with SubscriptionManager(schema=schema) as manager:
        await told(manager, "{ q }")
        await told(manager, "{ items { price } }")
        assert manager.metrics().resolver_errors == 2
