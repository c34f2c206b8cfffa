"""Schemas of other libraries: their executors run operations without a declared subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import ariadne
import graphql
import pytest
import strawberry

from fraiseql_subs import (
    ConfigurationError,
    Context,
    Limits,
    SchemaError,
    SubscriptionManager,
    ValidationError,
    passthrough,
)

INTERNAL_ERROR = "Internal server error"

SDL = """
    type Query { hello(name: String! = "you"): String! secret: String }
    type Mutation { add(amount: Int!): Int! }
    type Order { id: ID! status: String }
    type Subscription { count(to: Int!): Int! orderFeed: Order who: String broken: Int }
"""


class State:
    """The data of the resolvers of all schemas."""

    def __init__(self) -> None:
        self.total = 0
        self.waiting = asyncio.Event()
        self.ended = asyncio.Event()

    async def count(self, to: int) -> AsyncGenerator[int, None]:
        try:
            for number in range(to):
                yield number
            if to > 100:
                self.waiting.set()
                await asyncio.Event().wait()
        finally:
            self.ended.set()


def ariadne_schema(state: State) -> Any:
    query, mutation = ariadne.QueryType(), ariadne.MutationType()
    subscription = ariadne.SubscriptionType()

    @query.field("hello")
    def hello(_: Any, info: Any, name: str) -> str:
        return f"hello {name}"

    @query.field("secret")
    def secret(*_: Any) -> str:
        raise ValueError("no secret")

    @mutation.field("add")
    async def add(_: Any, info: Any, amount: int) -> int:
        state.total += amount
        return state.total

    subscription.set_source("count", lambda _, info, to: state.count(to))
    subscription.set_field("count", lambda value, info, to: value)

    async def who(_: Any, info: Any) -> AsyncGenerator[Any, None]:
        yield info.context

    subscription.set_source("who", who)
    subscription.set_field("who", lambda context, info: str(getattr(context, "value", context)))

    async def broken(_: Any, info: Any) -> AsyncGenerator[int, None]:
        raise ValueError("broken at once")
        yield 1

    subscription.set_source("broken", broken)
    subscription.set_field("broken", lambda value, info: value)
    return ariadne.make_executable_schema(SDL, query, mutation, subscription)


def strawberry_schema(state: State) -> Any:
    @strawberry.type
    class Query:
        @strawberry.field
        def hello(self, name: str = "you") -> str:
            return f"hello {name}"

        @strawberry.field
        def secret(self) -> str | None:
            raise ValueError("no secret")

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        async def add(self, amount: int) -> int:
            state.total += amount
            return state.total

    @strawberry.type
    class Order:
        id: strawberry.ID
        status: str | None

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def count(self, to: int) -> AsyncGenerator[int, None]:
            async for number in state.count(to):
                yield number

        @strawberry.subscription
        async def order_feed(self) -> AsyncGenerator[Order | None, None]:
            yield None

        @strawberry.subscription
        async def who(self, info: strawberry.Info) -> AsyncGenerator[str | None, None]:
            yield str(getattr(info.context, "value", info.context))

        @strawberry.subscription
        async def broken(self) -> AsyncGenerator[int | None, None]:
            raise ValueError("broken at once")
            yield 1

    # Names in annotations that are strings.
    globals().update(Order=Order)
    return strawberry.Schema(Query, Mutation, Subscription)


SCHEMAS = {"ariadne": ariadne_schema, "strawberry": strawberry_schema}


@pytest.fixture(params=SCHEMAS)
async def state_and_schema(request) -> tuple[State, Any]:
    state = State()
    return state, SCHEMAS[request.param](state)


@pytest.fixture
def state(state_and_schema) -> State:
    return state_and_schema[0]


@pytest.fixture
def schema(state_and_schema) -> Any:
    return state_and_schema[1]


async def test_subscriptions_of_the_schema_are_served_by_its_executor(schema, serve, connect):
    client = await connect((await serve(SubscriptionManager(schema=schema))).url)
    query = "subscription Count($to: Int!) { n: count(to: $to) }"
    id = await client.subscribe(query, {"to": 3})
    for number in range(3):
        assert await client.receive_data(id) == {"n": number}
    assert await client.receive() == {"id": id, "type": "complete"}


async def test_queries_and_mutations_give_one_result_and_complete(schema, serve, connect):
    client = await connect((await serve(SubscriptionManager(schema=schema))).url)
    id = await client.subscribe('{ hello(name: "Ada") __typename }')
    assert await client.receive_data(id) == {"hello": "hello Ada", "__typename": "Query"}
    assert await client.receive() == {"id": id, "type": "complete"}
    for total in (2, 4):
        id = await client.subscribe("mutation { add(amount: 2) }")
        assert await client.receive_data(id) == {"add": total}
        assert await client.receive() == {"id": id, "type": "complete"}


@pytest.mark.parametrize(("debug", "message"), [(True, "no secret"), (False, INTERNAL_ERROR)])
async def test_errors_of_the_executor_reach_the_client_at_their_place(debug, message, schema):
    async with SubscriptionManager(schema=schema, debug=debug) as manager:
        result = await anext(manager.subscribe("{ secret }"))
        assert result.data == {"secret": None}
        (error,) = result.errors
        assert (error["message"], error["path"]) == (message, ["secret"])


async def test_a_source_that_fails_at_once_ends_the_subscription_with_its_error(schema):
    async with SubscriptionManager(schema=schema) as manager:
        with pytest.raises((ValidationError, StopAsyncIteration)) as ended:
            result = await anext(manager.subscribe("subscription { broken }"))
            raise ValidationError(result.errors[0]["message"])
        assert str(ended.value) == INTERNAL_ERROR


async def test_declared_subscriptions_come_first_and_share_the_schema(schema):
    manager = SubscriptionManager([passthrough("orderFeed", channel="orders")], schema=schema)
    async with manager, manager.subscribe("subscription { orderFeed { id } }") as stream:
        await manager.publish("orders", {"id": 7})
        assert (await anext(stream)).data == {"orderFeed": {"id": "7"}}
        result = await anext(manager.subscribe("subscription { count(to: 1) }"))
        assert result.data == {"count": 0}


async def test_the_generator_ends_when_its_client_leaves(schema, state, serve, connect, within):
    client = await connect((await serve(SubscriptionManager(schema=schema))).url)
    id = await client.subscribe("subscription { count(to: 101) }")
    await within(state.waiting.wait())
    await client.complete(id)
    await within(state.ended.wait())


async def test_the_context_value_is_ours_or_what_the_getter_makes_of_it(schema):
    async with SubscriptionManager(schema=schema) as manager:
        stream = manager.subscribe("subscription { who }", context="mine")
        assert (await anext(stream)).data == {"who": "mine"}

    async def getter(context: Context) -> dict[str, Any]:
        return {"user": context.value}

    async with SubscriptionManager(schema=schema, context_getter=getter) as manager:
        stream = manager.subscribe("subscription { who }", context="mine")
        assert (await anext(stream)).data == {"who": "{'user': 'mine'}"}


async def test_limits_and_validation_stand_before_the_executor(schema):
    manager = SubscriptionManager(schema=schema, limits=Limits(max_aliases=1), introspection=False)
    async with manager:
        for document, message in [
            ("{ unknown }", "unknown"),
            ("{ a: hello b: hello }", "max_aliases"),
            ("{ __schema { queryType { name } } }", "introspection is switched off"),
            ("subscription($to: Int!) { count(to: $to) }", "was not provided"),
        ]:
            with pytest.raises(ValidationError, match=message):
                await anext(manager.subscribe(document))


async def test_introspection_is_answered_without_the_executor(schema):
    async with SubscriptionManager(schema=schema) as manager:
        document = graphql.get_introspection_query()
        result = await anext(manager.subscribe(document))
    assert result.errors is None
    client_schema = graphql.build_client_schema(result.data)
    assert graphql.print_schema(client_schema) == graphql.print_schema(
        getattr(schema, "_schema", schema)
    )


async def test_a_mutation_without_an_executor_is_refused():
    sdl = "type Query { ok: Boolean } type Mutation { a: Int } type Subscription { feed: Int }"
    async with SubscriptionManager([passthrough("feed", channel="f")], schema=sdl) as manager:
        with pytest.raises(ValidationError, match="mutations are not served here"):
            await anext(manager.subscribe("mutation { a }"))


def test_what_is_no_schema_is_refused():
    with pytest.raises(SchemaError, match="is not a schema: pass SDL"):
        SubscriptionManager(schema=42)
    with pytest.raises(ConfigurationError, match="context_getter is for the executor"):
        SubscriptionManager(schema=SDL, context_getter=lambda context: context)
