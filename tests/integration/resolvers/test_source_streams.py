"""Source streams: `async def` with `yield`, one generator for each client subscription."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date

import pytest
from support import eventually

from fraiseql_subs import (
    SKIP,
    Context,
    GraphQLError,
    Limits,
    SubscriptionManager,
    ValidationError,
    subscription,
)


@dataclass
class Tick:
    number: int


@subscription
async def ticks(count: int = 3) -> AsyncIterator[Tick]:
    """Numbers from 0."""
    for number in range(count):
        yield Tick(number)


async def test_each_value_is_a_result_and_the_end_completes(serve, connect):
    client = await connect((await serve(SubscriptionManager([ticks]))).url)
    id = await client.subscribe("subscription { ticks(count: 2) { n: number } }")
    assert await client.receive_data(id) == {"ticks": {"n": 0}}
    assert await client.receive_data(id) == {"ticks": {"n": 1}}
    assert await client.receive() == {"id": id, "type": "complete"}


async def test_the_schema_has_the_type_that_is_yielded():
    assert "ticks(count: Int! = 3): Tick!" in SubscriptionManager([ticks]).sdl()


async def test_in_process_the_stream_is_iterated_to_its_end():
    async with SubscriptionManager([ticks]) as manager:
        stream = manager.subscribe("subscription { ticks { number } }")
        assert [result.data["ticks"]["number"] async for result in stream] == [0, 1, 2]


async def test_every_subscription_has_a_generator_of_its_own():
    async with SubscriptionManager([ticks]) as manager:
        document = "subscription($n: Int!) { ticks(count: $n) { number } }"

        async def count(n: int) -> int:
            return len([result async for result in manager.subscribe(document, {"n": n})])

        assert await asyncio.gather(*(count(n) for n in range(20))) == list(range(20))


async def test_skip_sends_nothing():
    @subscription
    async def odd() -> AsyncIterator[int]:
        for number in range(5):
            yield number if number % 2 else SKIP

    async with SubscriptionManager([odd]) as manager:
        stream = manager.subscribe("subscription { odd }")
        assert [result.data["odd"] async for result in stream] == [1, 3]


@pytest.mark.parametrize("leave", ["complete", "disconnect"])
async def test_finally_runs_at_once_when_the_client_leaves(leave, serve, connect, within):
    waiting, ended = asyncio.Event(), asyncio.Event()

    @subscription
    async def forever() -> AsyncIterator[int]:
        try:
            yield 1
            waiting.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    client = await connect((await serve(SubscriptionManager([forever]))).url)
    id = await client.subscribe("subscription { forever }")
    await within(waiting.wait())
    await (client.complete(id) if leave == "complete" else client.close())
    await within(ended.wait())


async def test_finally_runs_when_an_in_process_subscriber_leaves(within):
    ended = asyncio.Event()

    @subscription
    async def forever() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    async with SubscriptionManager([forever]) as manager:
        async with contextlib.aclosing(manager.subscribe("subscription { forever }")) as stream:
            await anext(stream)
        await within(ended.wait())


async def test_finally_runs_when_the_manager_closes(within):
    ended = asyncio.Event()

    @subscription
    async def forever() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.set()

    manager = SubscriptionManager([forever])
    stream = manager.subscribe("subscription { forever }")
    await anext(stream)
    await manager.close(drain=0.05)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await within(ended.wait())


async def test_a_generator_does_not_run_ahead_of_its_client(within):
    made = 0

    @subscription
    async def endless() -> AsyncIterator[str]:
        nonlocal made
        while True:
            made += 1
            yield "x" * 1000

    manager = SubscriptionManager([endless], limits=Limits(max_pending_bytes=10_000))
    async with manager:
        stream = manager.subscribe("subscription { endless }")
        for _ in range(5):
            await anext(stream)
        # After the answer of another subscription, all ready tasks have run.
        async for _ in manager.subscribe("{ __typename }"):
            pass
        ahead = made
        assert ahead < 100
        for _ in range(200):
            await anext(stream)
        assert ahead < made < ahead + 250


@pytest.mark.parametrize(
    ("exception", "debug", "message"),
    [
        (GraphQLError("sold out", extensions={"code": "GONE"}), False, "sold out"),
        (ValueError("secret"), False, "Internal server error"),
        (ValueError("secret"), True, "ValueError: secret"),
    ],
)
async def test_an_exception_ends_the_stream_with_an_error(
    exception, debug, message, serve, connect, caplog
):
    @subscription
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise exception

    client = await connect((await serve(SubscriptionManager([broken], debug=debug))).url)
    id = await client.subscribe("subscription { broken }")
    assert await client.receive_data(id) == {"broken": 1}
    (error,) = await client.receive_errors(id)
    assert error["message"] == message
    assert ("secret" in caplog.text) == isinstance(exception, ValueError)
    # The id is free again, and the connection still works.
    await client.subscribe("{ __typename }", id=id)
    assert await client.receive_data(id) == {"__typename": "Query"}


async def test_a_value_that_does_not_fit_is_an_error_of_only_its_result():
    @subscription
    async def numbers() -> AsyncIterator[int | None]:
        yield 1
        yield "one"  # type: ignore[misc]
        yield 2

    async with SubscriptionManager([numbers]) as manager:
        results = [result async for result in manager.subscribe("subscription { numbers }")]
    assert [result.data["numbers"] for result in results] == [1, None, 2]
    assert results[1].errors[0]["path"] == ["numbers"]


async def test_context_and_variables_reach_the_generator():
    @subscription
    async def mirror(variables: dict, context: Context, *, word: str) -> AsyncIterator[str]:
        yield f"{word} {variables['word']} {context.value}"

    async with SubscriptionManager([mirror]) as manager:
        stream = manager.subscribe('subscription { mirror(word: "a") }', context="b")
        assert (await anext(stream)).data == {"mirror": "a a b"}


async def test_ten_thousand_generators_run_at_once_and_all_end(within):
    count, running, ended = 10_000, 0, 0
    all_run, all_ended = asyncio.Event(), asyncio.Event()

    @subscription
    async def forever() -> AsyncIterator[int]:
        nonlocal running, ended
        try:
            running += 1
            yield running
            if running == count:
                all_run.set()
            await asyncio.Event().wait()
        finally:
            ended += 1
            if ended == count:
                all_ended.set()

    async with SubscriptionManager([forever]) as manager:
        streams = [manager.subscribe("subscription { forever }") for _ in range(count)]
        results = await asyncio.gather(*(anext(stream) for stream in streams))
        assert {result.data["forever"] for result in results} == set(range(1, count + 1))
        await within(all_run.wait())
        await asyncio.gather(*(stream.aclose() for stream in streams))
        await within(all_ended.wait())
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "no task is left")


VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


async def test_context_variables_are_those_of_the_subscriber_and_stay_with_the_subscription():
    @subscription(channel="events")
    async def seen(event) -> str:
        before = VARIABLE.get()
        await asyncio.sleep(0)
        VARIABLE.set(before + "+")
        return before

    async with SubscriptionManager([seen]) as manager:
        VARIABLE.set("one")
        first = manager.subscribe("subscription { seen }")
        task = asyncio.ensure_future(anext(first))
        await manager.subscribe("{ __typename }").__anext__()
        VARIABLE.set("two")
        second = manager.subscribe("subscription { seen }")
        other = asyncio.ensure_future(anext(second))
        async for _ in manager.subscribe("{ __typename }"):
            pass
        await manager.publish("events", {})
        assert (await task).data == {"seen": "one"}
        assert (await other).data == {"seen": "two"}
        assert VARIABLE.get() == "two"


async def test_an_argument_without_python_value_is_refused_before_any_event(serve, connect):
    @subscription(channel="events")
    async def since(event, *, day: date) -> int:
        return 1

    manager = SubscriptionManager([since])
    client = await connect((await serve(manager)).url)
    id = await client.subscribe('subscription { since(day: "yesterday") }')
    (error,) = await client.receive_errors(id)
    assert error["message"] == "argument day: 'yesterday' is not a date such as 2024-01-31"
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    with pytest.raises(ValidationError, match="is not a date"):
        await anext(manager.subscribe('subscription { since(day: "x") }'))
