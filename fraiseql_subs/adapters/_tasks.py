"""What adapters share: the first of several things to happen ends the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Peer:
    """What an adapter knows about a client.

    Attributes:
        headers: HTTP headers, names in lower case.
        remote_address: Address of the client as `host:port`; None: unknown.
        context: What resolvers find as `context.value`, and hooks as `params.context`.
        query_string: What follows the `?` of the target, undecoded.
    """

    headers: list[tuple[str, str]] = field(default_factory=list)
    remote_address: str | None = None
    context: Any = None
    query_string: str = ""


async def first_of(
    ended: asyncio.Future[None], *work: Coroutine[Any, Any, None] | asyncio.Task[None]
) -> None:
    """Run until one of several is done, or `ended` is; cancel the others and wait for them.

    Raises:
        Exception: What one of them raised.
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


LAST_WORD = 1.0
"""Seconds that a cancelled task has to end its response or socket."""


async def last_word(sending: Awaitable[Any]) -> None:
    """Tell a client, from a task that is cancelled, that it should come back elsewhere.

    The client may be gone, or take nothing: neither is an error.
    """
    with contextlib.suppress(Exception):
        await asyncio.wait_for(sending, LAST_WORD)
