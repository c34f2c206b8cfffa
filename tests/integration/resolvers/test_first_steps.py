"""What a resolver may do in its first step, and what other calls may not see of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
import sniffio

from fraiseql_subs import Event, SubscriptionManager, subscription

needs_311 = pytest.mark.skipif(sys.version_info < (3, 11), reason="of Python 3.11")


async def ask(function: Callable[..., Any], *events: Any) -> list[Any]:
    """The results of a resolver for events that are published together; an error is a text."""
    declared = subscription(channel="events", name="value")(function)
    manager = SubscriptionManager([declared])
    async with manager, manager.subscribe("subscription { value }") as stream:
        await manager.publish_many(("events", event) for event in events)
        results = [await anext(stream) for _ in events]
        return [r.errors[0]["message"] if r.errors else r.data["value"] for r in results]


async def test_a_call_that_ends_at_once_has_a_task():
    async def value(event: Event) -> bool:
        task = asyncio.current_task()
        return (
            isinstance(task, asyncio.Task)
            and task in asyncio.all_tasks()
            and not task.done()
            and task.get_loop() is asyncio.get_running_loop()
            and asyncio.iscoroutine(task.get_coro())
            and task.get_name() != ""
            and sniffio.current_async_library() == "asyncio"
        )

    assert await ask(value, 1, 2) == [True, True]
    assert asyncio.current_task() is not None


async def test_a_call_keeps_its_task_when_it_suspends():
    async def value(event: Event) -> bool:
        before = asyncio.current_task()
        for _ in range(3):
            await asyncio.sleep(0)
        return asyncio.current_task() is before

    assert await ask(value, 1, 2, 3) == [True] * 3


async def test_a_kept_task_belongs_to_one_call():
    kept: list[Any] = []

    async def value(event: Event) -> bool:
        task = asyncio.current_task()
        is_new = all(other is not task for other in kept)
        kept.append(task)
        return is_new

    assert await ask(value, *range(5)) == [True] * 5
    await asyncio.sleep(0)
    assert all(task.done() for task in kept)


async def test_a_weakly_kept_task_belongs_to_one_call():
    states: Any = weakref.WeakKeyDictionary()

    async def value(event: Event) -> bool:
        return states.setdefault(asyncio.current_task(), event.data) == event.data

    assert await ask(value, *range(5)) == [True] * 5


@pytest.mark.parametrize("change", ["cancel", "name", "attribute", "callback"])
async def test_a_changed_task_belongs_to_one_call(change):
    ended = []

    async def value(event: Event) -> bool:
        task: Any = asyncio.current_task()
        if event.data == 0:
            if change == "cancel":
                task.cancel()
            elif change == "name":
                task.set_name("mine")
            elif change == "attribute":
                task.mine = True
            else:
                task.add_done_callback(lambda _: ended.append(True))
            return True
        await asyncio.sleep(0)
        return task.get_name() != "mine" and not hasattr(task, "mine")

    assert await ask(value, 0, 1, 2) == [True] * 3
    assert ended == [True] * (change == "callback")


async def test_cancelling_the_task_of_a_call_that_has_ended_ends_no_other_call():
    async def value(event: Event) -> int:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        if event.data:
            await asyncio.sleep(0)
        return event.data

    assert (await ask(value, 0))[0] == 0
    assert await ask(value, 1) == ["Internal server error"]


async def test_a_call_that_cancels_itself_cancels_what_it_awaits():
    inner: list[Any] = []

    async def value(event: Event) -> str:
        task: Any = asyncio.current_task()
        task.cancel("enough")
        inner.append(asyncio.ensure_future(asyncio.Event().wait()))
        try:
            await inner[0]
        except asyncio.CancelledError:
            return f"{inner[0].cancelled()}"
        return "not cancelled"

    assert await ask(value, 1) == ["True"]


async def test_a_call_that_is_cancelled_before_its_second_step_cleans_up(within):
    cleaned = asyncio.get_running_loop().create_future()

    @subscription(channel="events")
    async def value(event: Event) -> int:
        task: Any = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set_result(None)
        return 1

    manager = SubscriptionManager([value])
    async with manager, manager.subscribe("subscription { value }") as stream:
        await manager.publish("events", 1)
        assert (await anext(stream)).errors is not None
        await within(cleaned)


async def test_context_variables_of_one_subscription_are_not_those_of_another():
    number: ContextVar[int] = ContextVar("number", default=0)

    @subscription(channel="events")
    async def value(event: Event, suspends: bool) -> int:
        number.set(number.get() + 1)
        before = number.get()
        if suspends:
            await asyncio.sleep(0)
            assert number.get() == before
            child = asyncio.create_task(read())
            return await child
        return number.get()

    async def read() -> int:
        return number.get()

    manager = SubscriptionManager([value])
    async with (
        manager,
        manager.subscribe("subscription { value(suspends: true) }") as suspending,
        manager.subscribe("subscription { value(suspends: false) }") as ending,
    ):
        await manager.publish_many(("events", None) for _ in range(3))
        assert [(await anext(suspending)).data["value"] for _ in range(3)] == [1, 2, 3]
        assert [(await anext(ending)).data["value"] for _ in range(3)] == [1, 2, 3]
    assert number.get() == 0


@needs_311
async def test_a_timeout_of_the_first_step_ends_a_later_one():
    async def value(event: Event) -> str:
        try:
            async with asyncio.timeout(0.001 if event.data else 0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "in time"

    assert await ask(value, 0, 1) == ["late", "late"]


async def test_scopes_of_anyio():
    async def value(event: Event) -> str:
        with anyio.CancelScope() as scope:
            scope.cancel()
            if event.data:
                await anyio.sleep_forever()
        return f"{scope.cancelled_caught}"

    assert await ask(value, 0, 1, 0, 1) == ["False", "True", "False", "True"]


async def test_children_and_gathered_awaitables():
    async def one(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def value(event: Event) -> int:
        child = asyncio.create_task(one(1))
        return sum(await asyncio.gather(one(2), one(3), child))

    assert await ask(value, 1) == [6]


async def test_what_is_no_future_of_the_loop_is_an_error(caplog):
    class Odd:
        def __await__(self) -> Any:
            yield "odd"

    async def value(event: Event) -> str:
        try:
            await Odd()
        except RuntimeError as error:
            return f"{error}"
        return "accepted"

    assert "bad yield" in (await ask(value, 1))[0]


async def test_exceptions_of_first_steps_are_of_their_call(caplog):
    caplog.set_level(logging.CRITICAL, "fraiseql_subs")

    async def value(event: Event) -> int:
        if event.data % 2:
            raise ValueError
        return event.data

    expected = [0, "Internal server error", 2, "Internal server error", 4]
    assert await ask(value, *range(5)) == expected


def test_a_loop_that_closes_after_a_call_reports_no_task(caplog):
    async def value(event: Event) -> int:
        return event.data

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(ask(value, 1)) == [1]
    loop.close()
    gc.collect()
    assert "Task was destroyed" not in caplog.text
