"""Generators and coroutines that ignore their cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
import strawberry
from support import eventually

from fraiseql_subs import Event, GraphQLError, SubscriptionManager, subscription


@pytest.fixture
async def noise() -> list[Any]:
    """The exceptions and tasks that the event loop reports as ignored."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    return told


@pytest.fixture
async def tidy(noise) -> AsyncIterator[None]:
    """Fail when a task remains, or the event loop has reported an exception."""
    before = asyncio.all_tasks()
    yield
    others = lambda: asyncio.all_tasks() - {asyncio.current_task()}  # noqa: E731
    await eventually(lambda: others() <= before, "no task is left")
    gc.collect()
    await asyncio.sleep(0)
    assert noise == []


async def leave(manager: SubscriptionManager, document: str) -> None:
    """Take one result and leave."""
    async with manager.subscribe(document) as stream:
        assert (await anext(stream)).errors is None


def streams(ended: asyncio.Event) -> dict[str, Any]:
    async def yields_once_more() -> AsyncIterator[int]:
        try:
            try:
                yield 1
                await asyncio.Event().wait()
            except (asyncio.CancelledError, GeneratorExit):
                yield 2
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def yields_often() -> AsyncIterator[int]:
        try:
            for _ in range(20):
                with contextlib.suppress(asyncio.CancelledError, GeneratorExit):
                    yield 1
                    await asyncio.Event().wait()
        finally:
            ended.set()

    async def goes_on_as_if_nothing_were() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
        finally:
            ended.set()

    async def cleans_up_with_an_await() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def swallows() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        except (asyncio.CancelledError, GeneratorExit):
            return
        finally:
            ended.set()

    return {function.__name__: function for function in locals().values() if callable(function)}


NAMES = [name for name in streams(asyncio.Event()) if name != "Event"]


@pytest.mark.parametrize("name", NAMES)
async def test_the_clean_up_of_a_stream_runs_when_its_client_leaves(name, tidy, within):
    ended = asyncio.Event()
    function = subscription(name="stubborn")(streams(ended)[name])
    async with SubscriptionManager([function]) as manager:
        await leave(manager, "subscription { stubborn }")
        await within(ended.wait())
        # It still serves.
        ended.clear()
        await leave(manager, "subscription { stubborn }")
        await within(ended.wait())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_stream_that_never_ends_is_given_up_and_said_once(tidy, caplog):
    @subscription
    async def immortal() -> AsyncIterator[int]:
        while True:
            with contextlib.suppress(asyncio.CancelledError, GeneratorExit):
                yield 1
                await asyncio.Event().wait()

    async with SubscriptionManager([immortal]) as manager:
        for _ in range(3):
            await leave(manager, "subscription { immortal }")
        await eventually(lambda: "after it was asked to end" in caplog.text, "it is said")
        full = [r for r in caplog.records if r.getMessage().endswith("GeneratorExit")]
        assert len(full) == 1
        assert "the source stream of immortal" in full[0].getMessage()


async def test_what_clean_up_raises_is_logged_with_its_traceback(tidy, caplog):
    @subscription
    async def at_its_await() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("in finally")

    @subscription
    async def at_its_yield() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise RuntimeError("in finally")

    async with SubscriptionManager([at_its_await, at_its_yield]) as manager:
        for field in ("atItsAwait", "atItsYield"):
            caplog.clear()
            await leave(manager, f"subscription {{ {field} }}")
            await eventually(lambda: "in finally" in caplog.text, "the exception is logged")
            assert field in caplog.text
            assert "Traceback" in caplog.text


async def test_a_resolver_that_swallows_its_cancellation(tidy, within):
    entered, ended = asyncio.Event(), asyncio.Event()

    @subscription(channel="events")
    async def swallows(event: Event) -> int:
        entered.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        ended.set()
        return 1

    async with SubscriptionManager([swallows]) as manager:
        async with manager.subscribe("subscription { swallows }"):
            await manager.publish("events", 1)
            await within(entered.wait())
        await within(ended.wait())


async def test_an_initial_value_that_swallows_its_cancellation(tidy, within):
    entered, ended = asyncio.Event(), asyncio.Event()

    async def initial() -> int:
        entered.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        ended.set()
        raise GraphQLError("too late")

    @subscription(channel="events", initial=initial)
    async def value(event: Event) -> int:
        return 1

    async with SubscriptionManager([value]) as manager:
        async with manager.subscribe("subscription { value }"):
            await within(entered.wait())
        await within(ended.wait())


async def test_a_delegated_stream_that_swallows_its_cancellation(tidy, within):
    ended = asyncio.Event()

    @strawberry.type
    class Query:
        ok: bool = True

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def stubborn(self) -> AsyncGenerator[int, None]:
            try:
                while True:
                    yield 1
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.Event().wait()
            finally:
                ended.set()

    schema = strawberry.Schema(Query, subscription=Subscription)
    async with SubscriptionManager(schema=schema) as manager:
        await leave(manager, "subscription { stubborn }")
        await within(ended.wait())
