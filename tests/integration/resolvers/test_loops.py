"""Event loops and libraries inside resolvers: uvloop, anyio, task groups, timeouts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import uvloop
from support import eventually_sync

from fraiseql_subs import Event, SubscriptionManager, subscription


async def ask(function: Callable[..., Any], *events: Any) -> list[Any]:
    """The results of a resolver for some events."""
    declared = subscription(channel="events", name="value")(function)
    manager = SubscriptionManager([declared])
    async with manager, manager.subscribe("subscription { value }") as stream:
        for event in events:
            await manager.publish("events", event)
        return [(await anext(stream)).data["value"] for _ in events]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request) -> Callable[[Awaitable[Any]], Any]:
    """Run on a new loop, as `asyncio.run` does."""

    def run(main: Awaitable[Any]) -> Any:
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        try:
            return loop.run_until_complete(main)
        finally:
            loop.close()

    return run


def test_calls_suspend_and_resume(run):
    async def value(event: Event) -> int:
        await asyncio.sleep(0.001)
        return event.data + 1

    assert run(ask(value, 1, 2, 3)) == [2, 3, 4]


def test_each_call_is_a_task_with_a_current_task(run):
    async def value(event: Event) -> bool:
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before is not None and before is asyncio.current_task()

    assert run(ask(value, 1)) == [True]


def test_wait_for_times_out_inside_a_resolver(run):
    async def value(event: Event) -> str:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        except asyncio.TimeoutError:
            return "late"
        return "in time"

    assert run(ask(value, 1)) == ["late"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup is of Python 3.11")
def test_task_groups_and_timeouts_work(run):
    async def value(event: Event) -> int:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(4)]
        return sum(task.result() for task in tasks)

    assert run(ask(value, 1)) == [6]


def test_anyio_works_inside_a_resolver(run):
    async def value(event: Event) -> str:
        found = []
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(lambda n=number: _append(found, n))
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        return f"{sorted(found)} {scope.cancelled_caught}"

    assert run(ask(value, 1)) == ["[0, 1, 2] True"]


async def _append(found: list[int], number: int) -> None:
    await anyio.lowlevel.checkpoint()
    found.append(number)


def test_blocking_work_goes_to_a_thread(run):
    async def value(event: Event) -> int:
        return await asyncio.get_running_loop().run_in_executor(None, sum, [1, 2, event.data])

    assert run(ask(value, 3)) == [6]


def test_a_task_factory_of_the_application_is_used():
    made = []

    def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def value(event: Event) -> int:
        await asyncio.sleep(0)
        return event.data

    async def main() -> list[Any]:
        asyncio.get_running_loop().set_task_factory(factory)
        return await ask(value, 1, 2)

    assert asyncio.run(main()) == [1, 2]
    assert [coroutine.__name__ for coroutine in made].count("resolve") == 2


async def test_a_call_is_cancelled_when_its_subscriber_leaves_while_its_task_is_made(within):
    made = asyncio.get_running_loop().create_future()

    @subscription(channel="events")
    async def value(event: Event) -> int:
        await asyncio.Event().wait()
        return 0

    def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **options)
        if coroutine.__name__ == "resolve":
            responses.close()
            # Another thread ends the subscription; this one waits for it.
            eventually_sync(lambda: not manager.metrics().subscriptions, "it is ended")
            made.set_result(task)
        return task

    asyncio.get_running_loop().set_task_factory(factory)
    manager = SubscriptionManager([value])
    async with manager:
        responses = await manager._handle.subscribe(
            "subscription { value }", None, None, None
        ).responses
        await manager.publish("events", 1)
        task = await within(made)
        await within(asyncio.wait([task]))
        assert task.cancelled()


async def test_calls_that_suspend_neither_block_nor_reorder_others(within):
    gate = asyncio.Event()

    @subscription(channel="events")
    async def waits(event: Event) -> int:
        await gate.wait()
        return event.data

    @subscription(channel="events")
    async def quick(event: Event) -> int:
        return event.data

    manager = SubscriptionManager([waits, quick])
    async with (
        manager,
        manager.subscribe("subscription { waits }") as waiting,
        manager.subscribe("subscription { quick }") as stream,
    ):
        await manager.publish_many(("events", number) for number in range(100))
        assert [(await anext(stream)).data["quick"] for _ in range(100)] == list(range(100))
        gate.set()
        assert [(await anext(waiting)).data["waits"] for _ in range(100)] == list(range(100))


async def test_the_loop_stays_responsive_while_many_calls_wait():
    """A batch is bounded: other callbacks of the loop run between two batches."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    @subscription(channel="events")
    def busy(event: Event) -> int:
        return ticks

    manager = SubscriptionManager([busy])
    async with manager, manager.subscribe("subscription { busy }") as stream:
        ticking = asyncio.ensure_future(tick())
        await manager.publish_many(("events", number) for number in range(4_000))
        seen = {(await anext(stream)).data["busy"] for _ in range(4_000)}
        ticking.cancel()
    # With at most 256 calls in one turn, there are many turns.
    assert len(seen) >= 4_000 // 256
