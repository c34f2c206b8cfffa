"""Calls that block, on threads that the end of the program does not wait for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def on_daemon_thread(function: Callable[[], _T]) -> _T:
    """Call a function that blocks, and return its result.

    `asyncio.to_thread` would hold up the end of the event loop, such as after Ctrl-C, until the
    function returns.
    """
    loop = asyncio.get_running_loop()
    called: asyncio.Future[_T] = loop.create_future()

    def settle(method: Callable[[Any], None], outcome: Any) -> None:
        if not called.done():
            method(outcome)

    def run() -> None:
        settled: tuple[Callable[[Any], None], Any]
        try:
            settled = (called.set_result, function())
        except Exception as error:
            settled = (called.set_exception, error)
        # The loop may have ended.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, *settled)

    threading.Thread(target=run, daemon=True).start()
    return await called
