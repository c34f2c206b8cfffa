"""A manager that several threads use: it is started once, and any thread may publish."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fraiseql_subs import (
    ConfigurationError,
    Event,
    ManagerClosed,
    Receipt,
    SubscriptionManager,
    passthrough,
    subscription,
)

THREADS = 8


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("feed", int, channel="feed")], workers=1)


def at_once(work: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """The results of work on event loops of as many threads, which begin and end together."""
    together = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        async def main() -> Any:
            together.wait()
            try:
                return await work(number)
            finally:
                # The manager ends with the loop that has started it.
                await asyncio.to_thread(together.wait)

        return asyncio.run(main())

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


@pytest.mark.parametrize("attempt", range(5))
def test_threads_that_publish_first_at_once_start_one_manager(attempt):
    manager = make_manager()

    async def publish(number: int) -> Receipt:
        return await manager.publish("feed", number)

    receipts = at_once(publish)
    assert sorted(receipt.offset for receipt in receipts) == list(range(1, THREADS + 1))


@pytest.mark.parametrize("attempt", range(5))
def test_threads_that_subscribe_first_at_once_are_all_served(attempt):
    manager = make_manager()
    subscribed = threading.Barrier(THREADS)

    async def subscribe(number: int) -> list[int]:
        async with manager.subscribe("subscription { feed }") as stream:
            await asyncio.to_thread(subscribed.wait)
            await manager.publish("feed", number)
            return sorted([(await anext(stream)).data["feed"] for _ in range(THREADS)])

    assert at_once(subscribe) == [list(range(THREADS))] * THREADS


def test_threads_that_start_it_concurrently_get_a_clear_error():
    manager = make_manager()

    async def start(number: int) -> bool:
        try:
            await manager.start()
        except ConfigurationError as error:
            assert "event loop of another thread" in str(error)
            return False
        return True

    assert at_once(start).count(True) == 1


async def test_a_thread_without_an_event_loop_may_publish_once_it_is_started():
    seen: list[str] = []

    @subscription(channel="feed")
    def feed(event: Event) -> int:
        seen.append(threading.current_thread().name)
        return event.data

    manager = SubscriptionManager([feed])
    with pytest.raises(ManagerClosed, match="async with manager"):
        await asyncio.to_thread(manager.publish, "feed", 1)
    async with manager, manager.subscribe("subscription { feed }") as stream:
        await asyncio.to_thread(manager.publish, "feed", 1)
        await asyncio.to_thread(manager.publish_many, [("feed", 2), ("feed", 3)])
        assert [(await anext(stream)).data["feed"] for _ in range(3)] == [1, 2, 3]
    assert set(seen) == {threading.current_thread().name}


async def test_a_thread_may_have_the_event_loop_publish_and_wait_for_it():
    async with make_manager() as manager, manager.subscribe("subscription { feed }") as stream:
        event_loop = asyncio.get_running_loop()

        async def publish(data: int) -> Receipt:
            return await manager.publish("feed", data)

        def work() -> int:
            return asyncio.run_coroutine_threadsafe(publish(1), event_loop).result().offset

        assert await asyncio.to_thread(work) == 1
        assert (await anext(stream)).data == {"feed": 1}
