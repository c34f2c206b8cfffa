"""Concurrent calls of `close`, from one loop or several, and servers that are not entered yet."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
from support import PATIENCE, eventually_sync

from fraiseql_subs import (
    ConfigurationError,
    Drain,
    ManagerClosed,
    SubscriptionManager,
    passthrough,
    subscription,
)


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("feed", int, channel="feed")])


async def test_two_concurrent_closes_wait_for_the_same_end():
    manager = make_manager()
    await manager.start()
    await asyncio.gather(manager.close(), manager.close(), manager.close())
    with pytest.raises(ManagerClosed):
        await manager.publish("feed", 1)
    await manager.close()


async def test_concurrent_closes_inside_a_server_wait_for_the_same_end():
    manager = make_manager()
    async with manager.serve(port=0) as server:
        await asyncio.gather(manager.close(), manager.close())
        await server.wait_closed()


async def test_a_reader_that_ended_because_of_a_close_may_close_as_well():
    manager = make_manager()

    async def read() -> None:
        async with manager:
            async for _ in results:
                pass
        await manager.close()

    async with manager.subscribe("subscription { feed }") as results:
        reader = asyncio.create_task(read())
        await manager.close()
        await reader


async def test_a_close_does_not_end_the_start_that_came_after_it():
    manager = make_manager()
    await manager.start()

    async def close_and_start() -> None:
        await manager.close()
        await manager.start()

    await asyncio.gather(close_and_start(), manager.close())
    await manager.publish("feed", 1)
    await manager.close()


@contextlib.asynccontextmanager
async def closing_for_hours() -> AsyncIterator[tuple[SubscriptionManager, asyncio.Task[None]]]:
    """A manager and its end, which waits for a stream that never ends."""
    begun = asyncio.Event()

    @subscription
    async def endless():
        begun.set()
        await asyncio.Event().wait()
        yield 1

    manager = SubscriptionManager([endless], schema="type Subscription { endless: Int }")
    async with manager.subscribe("subscription { endless }"):
        await begun.wait()
        first = asyncio.create_task(manager.close(drain=Drain(3600, ready_delay=3600)))
        await asyncio.sleep(0)
        yield manager, first
        await asyncio.wait_for(first, PATIENCE)


async def test_a_close_that_is_cancelled_ends_the_drain_for_all():
    async with closing_for_hours() as (manager, _):
        second = asyncio.create_task(manager.close(drain=3600))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_the_shortest_drain_of_concurrent_closes_counts(seconds):
    async with closing_for_hours() as (manager, _):
        await asyncio.wait_for(manager.close(drain=seconds), PATIENCE)


async def test_a_longer_drain_does_not_prolong_the_end():
    async with closing_for_hours() as (manager, _):
        longer = asyncio.create_task(manager.close(drain=Drain(7200, ready_delay=7200)))
        await asyncio.wait_for(manager.close(drain=0), PATIENCE)
        await asyncio.wait_for(longer, PATIENCE)


async def test_a_shorter_drain_of_another_thread_counts():
    async with closing_for_hours() as (manager, _):
        closing = asyncio.to_thread(lambda: asyncio.run(manager.close(drain=0)))
        await asyncio.wait_for(closing, PATIENCE)


@pytest.mark.parametrize("is_inside", [False, True])
async def test_a_block_that_is_left_does_not_shorten_a_close(is_inside):
    begun, may_end, may_leave = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @subscription
    async def slow():
        begun.set()
        await may_end.wait()
        yield 1

    manager = SubscriptionManager([slow], schema="type Subscription { slow: Int }")

    async def serve() -> None:
        async with manager if is_inside else contextlib.nullcontext():
            async with manager.serve(port=0, drain=0):
                await may_leave.wait()

    async def read() -> list[object]:
        async with manager.subscribe("subscription { slow }") as results:
            return [each.data async for each in results]

    serving = asyncio.create_task(serve())
    reading = asyncio.create_task(read())
    await asyncio.wait_for(begun.wait(), PATIENCE)
    closing = asyncio.create_task(manager.close(drain=3600))
    await asyncio.sleep(0)
    may_leave.set()
    # A close that waits as briefly would end the operation.
    done, _ = await asyncio.wait([closing, reading, serving], timeout=0.5)
    assert not done
    may_end.set()
    assert await asyncio.wait_for(reading, PATIENCE) == [{"slow": 1}]
    await asyncio.wait_for(asyncio.gather(closing, serving), PATIENCE)


@pytest.mark.parametrize("has_main", [False, True])
def test_run_in_a_thread_returns_when_another_thread_closes_the_manager(has_main):
    manager = make_manager()
    began = threading.Event()

    async def main() -> None:
        began.set()
        await asyncio.Event().wait()

    options = {"port": 0, "main": main if has_main else None}
    thread = threading.Thread(target=manager.run, kwargs=options, daemon=True)
    thread.start()
    if has_main:
        assert began.wait(PATIENCE)
    else:
        eventually_sync(lambda: manager.prometheus(), "the manager is started")
    asyncio.run(manager.close())
    thread.join(PATIENCE)
    assert not thread.is_alive()


async def test_another_thread_may_ask_a_server_to_end():
    manager = make_manager()
    async with manager.serve(port=0) as server:
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.to_thread(server.close)
        await waiting


async def test_threads_that_close_at_once_all_return():
    manager = make_manager()
    async with manager.serve(port=0) as server:
        closes = [asyncio.to_thread(lambda: asyncio.run(manager.close())) for _ in range(3)]
        await asyncio.gather(manager.close(), *closes)
        await server.wait_closed()


async def test_a_server_that_is_not_entered_cannot_be_waited_for():
    server = make_manager().serve(port=0)
    with pytest.raises(ConfigurationError, match=r"does not listen yet.*async with server"):
        await server.wait_closed()


async def test_a_server_that_is_closed_before_it_is_entered_ends_at_once():
    server = make_manager().serve(port=0)
    server.close()
    async with server:
        await server.wait_closed()
