"""Start, serve, drain, close, start again: in one process, without a leak."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import eventually
from support.resolvers import HeldCall

from fraiseql_subs import (
    ConfigurationError,
    ManagerClosed,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)

FEED = "subscription { feed }"


def make_manager(**options: Any) -> SubscriptionManager:
    return SubscriptionManager([passthrough("feed", int, channel="feed")], **options)


def threads() -> int:
    """Return the threads of this process (count), without those of the core's allocator.

    The allocator starts a few threads of its own at any time, and never ends them.
    """
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return psutil.Process().num_threads()
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir()]
    return sum(name != "jemalloc_bg_thd" for name in names)


class Resources:
    """The resources of the process at one moment."""

    def __init__(self) -> None:
        gc.collect()
        process = psutil.Process()
        self.threads = threads()
        self.descriptors = process.num_fds()
        self.memory = process.memory_info().rss

    def assert_not_above(self, before: Resources) -> None:
        assert self.threads <= before.threads
        assert self.descriptors <= before.descriptors
        # Allocators keep some memory. A leak of one cycle would show fifty times.
        assert self.memory - before.memory < 8 * 1024 * 1024


async def one_event(manager: SubscriptionManager, number: int) -> None:
    async with manager.subscribe(FEED) as stream:
        await manager.publish("feed", number)
        assert (await anext(stream)).data == {"feed": number}


@pytest.mark.alone
async def test_a_manager_starts_and_closes_fifty_times_without_a_leak():
    manager = make_manager()

    async def cycle(number: int) -> None:
        await manager.start()
        await one_event(manager, number)
        await manager.close(drain=0)

    for number in range(10):
        await cycle(number)
    before = Resources()
    for number in range(50):
        await cycle(number)
    Resources().assert_not_above(before)


@pytest.mark.alone
async def test_a_manager_serves_fifty_times_without_a_leak(connect):
    manager = make_manager()

    async def cycle(number: int) -> None:
        async with manager.serve(port=0, drain=0) as server:
            client = await connect(server.url)
            id = await client.subscribe(FEED)
            await manager.publish("feed", number)
            assert await client.receive_data(id) == {"feed": number}
            await client.close()

    for number in range(10):
        await cycle(number)
    before = Resources()
    for number in range(50):
        await cycle(number)
    Resources().assert_not_above(before)


def test_one_manager_lives_through_several_event_loops():
    manager = make_manager()

    async def main(number: int) -> None:
        async with manager:
            await one_event(manager, number)

    for number in range(3):
        asyncio.run(main(number))


def test_a_loop_that_ended_without_close_leaves_a_manager_that_starts_again():
    manager = make_manager()

    async def main(number: int) -> None:
        await manager.start()
        await one_event(manager, number)

    for number in range(3):
        asyncio.run(main(number))


async def test_two_managers_at_once_do_not_see_each_other(serve, connect):
    managers = [make_manager(), make_manager()]
    clients = [await connect((await serve(manager)).url) for manager in managers]
    ids = [await client.subscribe(FEED) for client in clients]
    for number, manager in enumerate(managers):
        await manager.publish("feed", number)
    for number, (client, id) in enumerate(zip(clients, ids, strict=True)):
        assert await client.receive_data(id) == {"feed": number}
        await client.settle()
        assert not client.has_received


async def test_one_manager_closing_leaves_the_other_running():
    async with make_manager() as one, make_manager() as other:
        await one_event(one, 1)
        await one.close(drain=0)
        await one_event(other, 2)


async def test_starting_and_closing_twice_is_allowed():
    manager = make_manager()
    await manager.start()
    await manager.start()
    await one_event(manager, 1)
    await manager.close()
    await manager.close()


async def test_a_closed_manager_refuses_and_says_so():
    manager = make_manager()
    await manager.start()
    await manager.close()
    with pytest.raises(ManagerClosed, match="start"):
        await manager.publish("feed", 1)
    with pytest.raises(ManagerClosed):
        await manager.publish_many([("feed", 1)])
    with pytest.raises(ManagerClosed):
        await anext(manager.subscribe(FEED))


def test_publishing_without_an_event_loop_says_what_to_do():
    with pytest.raises(ManagerClosed, match="async with manager"):
        make_manager().publish("feed", 1)


async def test_closing_sends_what_was_published_and_then_closes_with_1001(serve, connect):
    manager = make_manager()
    client = await connect((await serve(manager)).url)
    id = await client.subscribe(FEED)
    await manager.publish("feed", 1)
    await manager.close(drain=10.0)
    assert await client.receive_data(id) == {"feed": 1}
    await client.expect_close(1001)


async def test_draining_waits_for_resolvers_under_way(connect, within):
    call = HeldCall()
    manager = SubscriptionManager([call.declare()])
    async with manager.serve(port=0) as server:
        client = await connect(server.url)
        id = await client.subscribe("subscription { slow }")
        await manager.publish("feed", 7)
        await within(call.entered.wait())
        closing = asyncio.ensure_future(manager.close(drain=60.0))
        await asyncio.sleep(0)
        call.let_go.set()
        assert await client.receive_data(id) == {"slow": 7}
        await client.expect_close(1001)
        await within(closing)


async def test_after_the_drain_resolvers_that_never_end_are_cancelled(connect, within):
    entered, cancelled = asyncio.Event(), asyncio.Event()

    @subscription(channel="feed")
    async def stuck(event) -> int:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 1

    manager = SubscriptionManager([stuck])
    async with manager.serve(port=0) as server:
        client = await connect(server.url)
        await client.subscribe("subscription { stuck }")
        await manager.publish("feed", 7)
        await within(entered.wait())
        await manager.close(drain=0.05)
        await client.expect_close(1001)
        await within(cancelled.wait())


async def test_a_second_server_of_one_manager_is_refused():
    manager = make_manager()
    async with manager.serve(port=0):
        with pytest.raises(ConfigurationError, match=r"serving on .* already"):
            async with manager.serve(port=0):
                pass
        await one_event(manager, 1)


async def test_leaving_the_server_leaves_a_manager_that_was_started_before():
    async with make_manager() as manager:
        async with manager.serve(port=0, drain=0):
            pass
        await one_event(manager, 1)
        async with manager.serve(port=0, drain=0) as server:
            assert server.port > 0


@pytest.mark.alone
async def test_an_unreferenced_manager_ends_its_threads():
    before = threads()
    manager = make_manager()
    await manager.start()
    await one_event(manager, 1)
    gone = weakref.ref(manager)
    del manager
    gc.collect()
    assert gone() is None
    assert threads() <= before


async def test_an_unreferenced_subscription_ends():
    async with make_manager() as manager:
        stream = manager.subscribe(FEED)
        await stream.__aenter__()
        assert manager.metrics().subscriptions == 1
        del stream
        gc.collect()
        await eventually(lambda: not manager.metrics().subscriptions, "it is ended")


async def test_leaving_an_iteration_ends_the_subscription():
    async with make_manager() as manager:

        async def first() -> None:
            async with manager.subscribe(FEED) as stream:
                async for _ in stream:
                    break

        task = asyncio.ensure_future(first())
        await asyncio.sleep(0)
        async with manager.subscribe(FEED):
            await manager.publish("feed", 1)
            await task
        async with manager.subscribe(FEED):
            assert manager.metrics().subscriptions == 1


async def test_a_cancelled_subscriber_leaves_nothing_behind():
    async with make_manager() as manager:

        async def follow() -> None:
            async with manager.subscribe(FEED) as stream:
                opened.set()
                async for _ in stream:
                    pass

        opened = asyncio.Event()
        task = asyncio.ensure_future(follow())
        await opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with manager.subscribe(FEED):
            assert manager.metrics().subscriptions == 1


async def test_publishing_from_other_threads_and_their_loops():
    async with make_manager() as manager:
        async with manager.subscribe(FEED) as stream:

            async def publish(start: int) -> None:
                for number in range(start, start + 100):
                    await manager.publish("feed", number)

            threads = [
                threading.Thread(target=lambda n=n: asyncio.run(publish(n * 100))) for n in range(4)
            ]
            for thread in threads:
                thread.start()
            seen = [(await anext(stream)).data["feed"] for _ in range(400)]
            for thread in threads:
                await asyncio.to_thread(thread.join)
        assert sorted(seen) == list(range(400))
        for start in range(0, 400, 100):
            own = [number for number in seen if start <= number < start + 100]
            assert own == sorted(own)


async def test_the_executor_registers_publishes_and_completes():
    async with make_manager() as manager:
        executor = manager.executor
        id = await executor.register_subscription(FEED, subscription_id="mine")
        assert id == "mine"
        with pytest.raises(ValidationError, match="`mine` is in use"):
            await executor.register_subscription(FEED, subscription_id="mine")
        receipt = await executor.publish_event("feed", 5)
        assert receipt.offset == 1
        assert await executor.next_event("mine") == b'{"data":{"feed":5}}'
        await eventually(
            lambda: executor.get_metrics().results_sent == 1, "all results are counted"
        )
        assert await executor.complete_subscription("mine")
        assert not await executor.complete_subscription("mine")
        with pytest.raises(ConfigurationError, match="no subscription 'mine'"):
            await executor.next_event("mine")
