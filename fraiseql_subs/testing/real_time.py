"""Waits whose time no `Clock` advances: a test waits for a result in real time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from fraiseql_subs.testing.clock import advanced_by, is_advanced


async def wait(future: asyncio.Future[Any], seconds: float | None) -> None:
    """Wait until a future is done, at most for some time (seconds); None: as long as it takes.

    The future goes on when the time is over, or when this is cancelled.
    """
    if seconds is None:
        await asyncio.wait([future])
        return
    event_loop = asyncio.get_running_loop()
    if not is_advanced(event_loop):
        before = advanced_by(event_loop)
        await asyncio.wait([future], timeout=seconds)
        # A clock that has begun since may have ended it early: then the whole time begins anew.
        if future.done() or advanced_by(event_loop) == before:
            return
    late: asyncio.Future[None] = event_loop.create_future()

    def end() -> None:
        if not late.done():
            late.set_result(None)

    # A timer of the event loop would be advanced with those of the test.
    timer = threading.Timer(seconds, event_loop.call_soon_threadsafe, [end])
    timer.daemon = True
    timer.start()
    try:
        await asyncio.wait([future, late], return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        late.cancel()
