"""Waits for other tasks, threads or processes, if no event can be awaited."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE = 60.0
"""Time limit of waits (seconds): far more than needed, on any machine."""

PAUSE = 0.01
"""Interval of checks (seconds)."""

T = TypeVar("T")


async def eventually(
    condition: Callable[[], Awaitable[T] | T], what: str, timeout: float = PATIENCE
) -> T:
    """Wait until `condition` returns something true, and return that.

    A condition that raises counts as one that does not hold yet.

    Args:
        condition: A function without arguments, sync or async.
        what: What should happen, as the failure says it: "the client is ended".
        timeout: Seconds after which the test fails.

    Raises:
        AssertionError: With `what`, and the last value or exception of `condition`.
    """
    deadline = time.monotonic() + timeout
    last = "it was never looked at"
    while (left := deadline - time.monotonic()) > 0:
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await asyncio.wait_for(value, left)
        except Exception as error:
            last = f"the last look raised {error!r}"
        else:
            if value:
                return value
            last = f"the last look found {value!r}"
        await asyncio.sleep(PAUSE)
    raise AssertionError(f"waited {timeout:g} s in vain until {what}; {last}")


def eventually_sync(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """The same as `eventually`, for tests without an event loop and for other threads."""
    deadline = time.monotonic() + timeout
    last = "it was never looked at"
    while time.monotonic() < deadline:
        try:
            value = condition()
        except Exception as error:
            last = f"the last look raised {error!r}"
        else:
            if value:
                return value
            last = f"the last look found {value!r}"
        time.sleep(PAUSE)
    raise AssertionError(f"waited {timeout:g} s in vain until {what}; {last}")
