"""Nodes of one bus, in this process and in others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

from declared import node
from support import PATIENCE
from support.logged_process import LoggedProcess
from support.programs import ENVIRONMENT, read_line, suspend

from fraiseql_subs import SubscriptionManager

PATHS = os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(Path(__file__).parent)])

Told: TypeAlias = tuple[str, str]
"""The `event_id` and the `position` of a receipt."""


class OwnProcess(LoggedProcess):
    """A node in another process; `async with OwnProcess(redis.url) as node`."""

    def __init__(self, bus: str) -> None:
        self.bus = bus

    async def __aenter__(self) -> OwnProcess:
        code = f"import asyncio, declared; asyncio.run(declared.serve({self.bus!r}))"
        await self.start(code, PYTHONPATH=PATHS)
        self.url = await self._read_line()
        return self

    def stop(self) -> None:
        """Stop it, so that it answers nothing and its connections stay."""
        suspend(self.process.pid)

    def go_on(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    async def _read_line(self) -> str:
        try:
            return await read_line(self.process)
        except AssertionError:
            raise AssertionError(self.log) from None

    async def publish(self, *events: Any) -> list[Told]:
        """Publish a batch there; return the content of the receipts."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(events).encode() + b"\n")
        await self.process.stdin.drain()
        return [tuple(told) for told in json.loads(await self._read_line())]


class ThisProcess:
    """A node in the process of the test."""

    def __init__(self, manager: SubscriptionManager, url: str) -> None:
        self.manager = manager
        self.url = url

    async def publish(self, *events: Any) -> list[Told]:
        """Publish a batch; return the content of the receipts."""
        receipts = await self.manager.publish_many(events)
        return [(receipt.event_id, str(receipt.position)) for receipt in receipts]


@contextlib.asynccontextmanager
async def in_this_process(bus: str) -> AsyncIterator[ThisProcess]:
    manager = node(bus)
    async with manager.serve(port=0, drain=0.0) as server:
        yield ThisProcess(manager, server.url)


KINDS: dict[str, Callable[[str], AbstractAsyncContextManager[Any]]] = {
    "this process": in_this_process,
    "own process": OwnProcess,
}


@contextlib.asynccontextmanager
async def two(kind: str, bus: str) -> AsyncIterator[tuple[Any, Any]]:
    """Run two nodes of a kind."""
    async with KINDS[kind](bus) as a, KINDS[kind](bus) as b:
        yield a, b


@contextlib.asynccontextmanager
async def managers(bus: str, count: int = 2, **options: Any) -> AsyncIterator[list[Any]]:
    """Run managers of one bus in this process."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(node(bus, **options)) for _ in range(count)]


async def take(results: Any, count: int) -> list[Any]:
    """Return the values of the next results of an in-process subscription."""
    values = []
    for _ in range(count):
        result = await asyncio.wait_for(anext(results), PATIENCE)
        assert result.errors is None, result
        (value,) = result.data.values()
        values.append(value)
    return values
