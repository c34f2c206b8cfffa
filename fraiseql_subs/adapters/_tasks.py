"""Helpers of the adapters: waits for the first of several tasks and cancels the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Peer:
    """The client of an adapter's connection.

    Attributes:
        headers: HTTP headers, names in lower case.
        remote_address: Address of the client as `host:port`; None: unknown.
        context: Value that resolvers find as `context.value`, and hooks as `params.context`.
        query_string: The part of the target after the `?`, undecoded.
    """

    headers: list[tuple[str, str]] = field(default_factory=list)
    remote_address: str | None = None
    context: Any = None
    query_string: str = ""


async def first_of(
    ended: asyncio.Future[None], *work: Coroutine[Any, Any, None] | asyncio.Task[None]
) -> None:
    """Run until one of several is done, or `ended` is done; cancel the others and wait for them.

    Raises:
        Exception: The exception of one of them.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        finished = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
    for task in finished:
        task.result()


_NOTICED_LATE = 1.0
"""How late a deadline may be noticed before it begins anew (seconds): the process was stopped."""


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Run something that has so long; it is cancelled past that.

    Raises:
        asyncio.TimeoutError: It was not done in time.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    try:
        while True:
            due = loop.time() + seconds
            await asyncio.wait([task], timeout=seconds)
            if task.done():
                return task.result()
            if loop.time() <= due + _NOTICED_LATE:
                raise asyncio.TimeoutError
    finally:
        task.cancel()


LAST_WORD = 1.0
"""Seconds that a cancelled task has to end its response or socket."""


async def last_word(sending: Awaitable[Any]) -> None:
    """Send a client its last message from a task that is being cancelled.

    It is not an error if the client is gone or reads nothing.
    """
    with contextlib.suppress(Exception):
        await asyncio.wait_for(sending, LAST_WORD)
