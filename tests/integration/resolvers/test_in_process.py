"""In-process subscriptions: the context of resolvers, and exceptions for the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import graphql
import pytest

from fraiseql_subs import (
    Context,
    Identity,
    SubscriptionManager,
    ValidationError,
    subscription,
)

ADA = Identity("ada")


class DatabaseError(Exception):
    pass


def given_schema() -> graphql.GraphQLSchema:
    async def source(root, info):
        yield {"value": 1}

    field = graphql.GraphQLField(graphql.GraphQLInt, subscribe=source)
    return graphql.GraphQLSchema(
        query=graphql.GraphQLObjectType("Query", {"ok": graphql.GraphQLField(graphql.GraphQLInt)}),
        subscription=graphql.GraphQLObjectType("Subscription", {"value": field}),
    )


async def test_the_params_of_an_in_process_subscription_say_so():
    @subscription
    async def described(context: Context) -> AsyncIterator[str]:
        params = context.params
        assert params is not None
        assert params.in_process and context.connection_id is None
        assert params.headers.get("authorization") is None and params.query == {}
        assert params.payload is None and params.remote_address is None
        assert params.connection_id == "" and params.query_string == ""
        assert params.context == {"a": 1} and params.identity == ADA
        yield "as documented"

    async with SubscriptionManager([described]) as manager:
        stream = manager.subscribe("subscription { described }", context={"a": 1}, identity=ADA)
        async with stream as results:
            assert (await anext(results)).data == {"described": "as documented"}


@pytest.mark.parametrize("option", ["context_getter", "root_value"])
async def test_a_hook_of_a_given_schema_that_reads_the_head_works_in_process(option):
    hook = {option: lambda context: {"token": context.params.headers.get("authorization")}}
    async with SubscriptionManager(schema=given_schema(), **hook) as manager:
        async with manager.subscribe("subscription { value }") as results:
            assert (await anext(results)).data == {"value": 1}


@pytest.mark.parametrize("option", ["context_getter", "root_value"])
@pytest.mark.parametrize("by", ["stream", "executor"])
async def test_the_caller_has_the_exception_of_a_hook(option, by):
    def fail(context):
        raise DatabaseError("secret")

    async with SubscriptionManager(schema=given_schema(), **{option: fail}) as manager:
        with pytest.raises(ValidationError, match="Internal server error") as refused:
            if by == "stream":
                await anext(manager.subscribe("subscription { value }"))
            else:
                executor = manager.executor
                id = await executor.register_subscription("subscription { value }")
                await executor.next_event(id)
        assert isinstance(refused.value.__cause__, DatabaseError)


async def test_the_caller_has_the_exception_of_a_source_stream():
    @subscription
    async def numbers() -> AsyncIterator[int]:
        yield 1
        raise DatabaseError("secret")

    async with SubscriptionManager([numbers]) as manager:
        async with (
            manager.subscribe("subscription { numbers }") as results,
            manager.subscribe("subscription { numbers }") as others,
        ):
            causes = []
            for stream in (results, others):
                assert (await anext(stream)).data == {"numbers": 1}
                with pytest.raises(ValidationError, match="Internal server error") as refused:
                    await anext(stream)
                causes.append(refused.value.__cause__)
            assert all(isinstance(cause, DatabaseError) for cause in causes)
            assert causes[0] is not causes[1]


async def test_a_refused_document_has_no_cause():
    async with SubscriptionManager(schema=given_schema()) as manager:
        with pytest.raises(ValidationError) as refused:
            await anext(manager.subscribe("subscription { nothing }"))
        assert refused.value.__cause__ is None


async def test_what_was_published_is_answered_before_the_manager_closes():
    may_go_on = asyncio.Event()

    @subscription(channel="numbers")
    async def slow(event) -> int:
        await may_go_on.wait()
        return event.data

    manager = SubscriptionManager([slow])
    async with manager:
        results = await manager.subscribe("subscription { slow }").__aenter__()
        for number in range(3):
            await manager.publish("numbers", number)
        asyncio.get_running_loop().call_later(0.2, may_go_on.set)
    assert [result.data async for result in results] == [{"slow": n} for n in range(3)]
