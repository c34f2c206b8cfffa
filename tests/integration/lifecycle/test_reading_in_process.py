"""In-process readers: they leave nothing behind, and leave turns to the other tasks of the loop."""

from __future__ import annotations

import asyncio

import pytest
from support import eventually

from fraiseql_subs import SubscriptionManager, passthrough


def manager_of() -> SubscriptionManager:
    return SubscriptionManager([passthrough("orders", int, channel="orders")], workers=1)


@pytest.mark.parametrize("turns", range(6))
async def test_a_task_that_is_cancelled_while_it_enters_leaves_no_subscription(turns):
    async with manager_of() as manager:

        async def read() -> None:
            async with manager.subscribe("subscription { orders }") as results:
                await anext(results)

        # The tasks, and with them the streams, are kept until the end of the test.
        tasks = [asyncio.ensure_future(read()) for _ in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended)
        # One worker registers them in their order, so those before this one are registered too.
        async with manager.subscribe("subscription { orders }"):
            pass
        await eventually(
            lambda: manager.metrics().subscriptions == 0, "the subscriptions have ended"
        )


async def test_other_tasks_run_while_a_reader_has_results():
    count = 1_000
    async with manager_of() as manager:
        async with manager.subscribe("subscription { orders }") as results:
            await manager.publish_many([("orders", n) for n in range(count)])
            await eventually(
                lambda: manager.metrics().results_sent == count, "all results are ready"
            )
            received = 0
            turns = []

            async def note() -> None:
                while received < count:
                    turns.append(received)
                    await asyncio.sleep(0)

            noting = asyncio.ensure_future(note())
            async for result in results:
                assert result.data == {"orders": received}
                received += 1
                if received == count:
                    break
            await noting
    # It ran again and again, not only before and after.
    assert len(turns) >= 10


async def test_a_reader_that_is_cancelled_in_its_pause_loses_no_result():
    count = 500
    async with manager_of() as manager:
        async with manager.subscribe("subscription { orders }") as results:
            await manager.publish_many([("orders", n) for n in range(count)])
            await eventually(
                lambda: manager.metrics().results_sent == count, "all results are ready"
            )
            received: list[int] = []

            async def read() -> None:
                async for result in results:
                    received.append(result.data["orders"])

            while len(received) < count:
                task = asyncio.ensure_future(read())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    assert received == list(range(count))
