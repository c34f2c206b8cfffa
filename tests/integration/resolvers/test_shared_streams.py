"""One in-process subscription that several tasks use: none of them waits forever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support import eventually

from fraiseql_subs import SubscriptionManager, passthrough, subscription

numbers = passthrough("numbers", int, channel="numbers")
DOCUMENT = "subscription { numbers }"


async def test_closing_one_while_another_task_opens_it():
    async with SubscriptionManager([numbers]) as manager:
        results = manager.subscribe(DOCUMENT)
        reading = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        await results.aclose()
        with pytest.raises(StopAsyncIteration):
            await reading
        await eventually(lambda: manager.metrics().subscriptions == 0, "it has ended")


async def test_a_reader_that_is_cancelled_ends_it_for_no_other():
    async with SubscriptionManager([numbers]) as manager:
        results = manager.subscribe(DOCUMENT)
        for _ in range(3):
            reading = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        reading = asyncio.ensure_future(anext(results))
        await eventually(lambda: manager.metrics().subscriptions == 1, "it is registered")
        await manager.publish("numbers", 1)
        assert (await reading).data == {"numbers": 1}
        await results.aclose()


async def test_each_result_goes_to_one_of_several_readers():
    async with (
        SubscriptionManager([numbers]) as manager,
        manager.subscribe(DOCUMENT) as results,
    ):
        readers = [asyncio.ensure_future(anext(results)) for _ in range(3)]
        await asyncio.sleep(0)
        readers.append(asyncio.ensure_future(anext(results)))
        readers[0].cancel()
        for number in range(3):
            await manager.publish("numbers", number)
        read = [(await reader).data["numbers"] for reader in readers[1:]]
        assert sorted(read) == [0, 1, 2]


async def test_closing_ends_all_readers():
    async with SubscriptionManager([numbers]) as manager:
        async with manager.subscribe(DOCUMENT) as results:
            readers = [asyncio.ensure_future(anext(results)) for _ in range(3)]
            await asyncio.sleep(0)
        for reader in readers:
            with pytest.raises(StopAsyncIteration):
                await reader


async def test_the_id_of_a_subscription_that_has_ended_is_free():
    @subscription
    async def once() -> AsyncIterator[int]:
        yield 1

    async with SubscriptionManager([once]) as manager:
        for _ in range(3):
            name = await manager.executor.register_subscription(
                "subscription { once }", subscription_id="mine"
            )
            assert await manager.executor.next_event(name) == b'{"data":{"once":1}}'
            assert await manager.executor.next_event(name) is None
            assert not await manager.executor.complete_subscription(name)
