"""How one resolver call runs on the event loop; called by the compiled module only.

The functions here have no rule of the protocol and none of GraphQL: they start a coroutine as a
task, hand its result over, and write what went wrong to the log.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from .types import SKIP

__all__ = ["SKIP", "log_authenticate", "log_failure", "resolve", "task_factory"]

_log = logging.getLogger("fraiseql_subs")


class Answer(Protocol):
    """Takes the result of one call."""

    def returned(self, value: object) -> None:
        """Take the resolver's value."""

    def raised(self, exception: BaseException) -> None:
        """Take the resolver's exception."""


async def resolve(
    function: Callable[[Any], Awaitable[object]], event: object, answer: Answer
) -> None:
    """Await one resolver and hand its result over in the same step of its task."""
    try:
        value = await function(event)
    except Exception as exception:
        answer.raised(exception)
    except BaseException as exception:
        # Cancellation, Ctrl-C and exit go on; the client is told that there is no result.
        answer.raised(exception)
        raise
    else:
        answer.returned(value)


def task_factory(
    event_loop: asyncio.AbstractEventLoop,
) -> Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]:
    """Give what starts a task on the loop: eagerly from Python 3.12 on.

    A loop that has a task factory of its own keeps it.
    """
    if sys.version_info >= (3, 12) and event_loop.get_task_factory() is None:

        def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return asyncio.Task(coroutine, loop=event_loop, eager_start=True)

        return start
    return event_loop.create_task


def log_failure(field: str, exception: BaseException) -> None:
    """Write a resolver's exception to the log, with its traceback."""
    _log.error("the resolver of %s raised", field, exc_info=exception)


def log_authenticate(exception: BaseException) -> None:
    """Write an exception of the `authenticate` hook to the log, with its traceback."""
    _log.error("authenticate raised; the client was refused", exc_info=exception)
