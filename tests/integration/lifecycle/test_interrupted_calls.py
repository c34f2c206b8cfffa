"""Ctrl-C at any line of the event loop is raised, and the manager continues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support import PATIENCE, eventually

from fraiseql_subs import SubscriptionManager, passthrough, subscription


class InterruptedLoop(asyncio.SelectorEventLoop):
    """Its `call_soon` raises once, like a signal handler that runs within it."""

    is_wanted: Callable[[Any, tuple[Any, ...]], bool] | None = None

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        if self.is_wanted is not None and self.is_wanted(callback, args):
            self.is_wanted = None
            raise KeyboardInterrupt
        return super().call_soon(callback, *args, context=context)


numbers = passthrough("numbers", int, channel="numbers")


def test_an_interrupt_inside_a_callback_of_the_core():
    loop = InterruptedLoop()
    gate, interrupted = asyncio.Event(), asyncio.Event()

    @subscription(channel="numbers")
    async def doubled(event) -> int:
        await gate.wait()
        await asyncio.sleep(0)
        return 2 * event.data

    manager = SubscriptionManager([doubled, numbers])
    received: list[int] = []

    async def read(results: Any) -> None:
        async for result in results:
            received.append(result.data["doubled"])

    async def use() -> None:
        async with (
            manager.subscribe("subscription { numbers }") as delivered,
            manager.subscribe("subscription { doubled }") as results,
        ):
            for number in range(40):
                await manager.publish("numbers", number)
                await anext(delivered)
            # Events wait, and nothing is read, so the end of each call schedules the next one.
            loop.is_wanted = lambda callback, _: type(callback).__name__ == "Turn"
            gate.set()
            await asyncio.wait_for(interrupted.wait(), PATIENCE)
            await read(results)

    task = loop.create_task(use())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)

    async def go_on() -> None:
        interrupted.set()
        await eventually(lambda: len(received) == 40, "all results are received")
        await manager.close()
        await task

    loop.run_until_complete(asyncio.wait_for(go_on(), PATIENCE))
    loop.close()
    assert received == [2 * number for number in range(40)]


def test_an_interrupt_at_the_end_of_an_awaited_future():
    loop = InterruptedLoop()
    manager = SubscriptionManager([numbers])

    async def use() -> None:
        async with manager.subscribe("subscription { numbers }") as results:
            reading = asyncio.ensure_future(anext(results))
            await asyncio.sleep(0)
            loop.is_wanted = lambda _, args: bool(args) and isinstance(args[0], asyncio.Future)
            await manager.publish("numbers", 1)
            await asyncio.wait([reading], timeout=PATIENCE)

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(use())
    loop.run_until_complete(asyncio.wait_for(manager.close(), PATIENCE))
    loop.close()
