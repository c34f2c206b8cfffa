"""How one resolver call runs on the event loop; called by the compiled module only.

The functions here have no rule of the protocol and none of GraphQL: they start a coroutine as a
task, hand its result over, and write what went wrong to the log.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeAlias

from .types import SKIP

__all__ = [
    "SKIP",
    "log_authenticate",
    "log_failure",
    "pump",
    "pump_initial",
    "resolve",
    "task_factory",
]

_log = logging.getLogger("fraiseql_subs")

StartTask: TypeAlias = Callable[[Coroutine[Any, Any, None], Context], asyncio.Task[None]]
"""Starts a coroutine as a task in the context of a subscription."""


class Answer(Protocol):
    """Takes the result of one call, or the items of one source stream."""

    def begins(self) -> None:
        """Note that the function for the initial value is entered now."""

    def returned(self, value: object) -> None:
        """Take the resolver's value."""

    def raised(self, exception: BaseException) -> None:
        """Take the resolver's exception."""

    def item(self, value: object) -> bool:
        """Take one value of a stream; False: await `room` before the next one."""

    def room(self) -> Awaitable[None]:
        """Give a future that is done when there is room for another value."""

    def ended(self) -> None:
        """Take the end of a stream."""

    def broke(self, exception: BaseException) -> None:
        """Take the exception that ended a stream."""


async def resolve(
    function: Callable[..., Awaitable[object]], event: object | None, answer: Answer
) -> None:
    """Await one resolver and hand its result over in the same step of its task.

    Without an event it is the function for the initial value.
    """
    try:
        if event is None:
            answer.begins()
            value = await function()
        else:
            value = await function(event)
    except Exception as exception:
        answer.raised(exception)
    except BaseException as exception:
        # Cancellation, Ctrl-C and exit go on; the client is told that there is no result.
        answer.raised(exception)
        raise
    else:
        answer.returned(value)


async def pump(generator: AsyncIterator[object], answer: Answer) -> None:
    """Hand the values of one source stream over, no faster than its client takes them.

    Cancelled when the client leaves: the generator's `finally` runs then.
    """
    try:
        async for value in generator:
            if not answer.item(value):
                await answer.room()
    except Exception as exception:
        answer.broke(exception)
    except BaseException:
        answer.ended()
        raise
    else:
        answer.ended()
    finally:
        # One that waited for room stands at its `yield` and has not seen the cancellation.
        close = getattr(generator, "aclose", None)
        if close is not None:
            await close()


async def pump_initial(function: Callable[[], AsyncIterator[object]], answer: Answer) -> None:
    """Hand the initial values over, one after the other; events follow when they have ended."""
    answer.begins()
    await pump(function(), answer)


def task_factory(event_loop: asyncio.AbstractEventLoop) -> tuple[StartTask, bool]:
    """Give what starts a task on the loop, and whether it does so eagerly: from Python 3.12 on.

    A loop that has a task factory of its own keeps it.
    """
    if event_loop.get_task_factory() is not None or sys.version_info < (3, 11):
        # The task runs in a copy: only later Pythons let a task take a context.
        return lambda coroutine, context: context.run(event_loop.create_task, coroutine), False
    if sys.version_info < (3, 12):
        return (
            lambda coroutine, context: asyncio.Task(coroutine, loop=event_loop, context=context),
            False,
        )
    return (
        lambda coroutine, context: asyncio.Task(
            coroutine, loop=event_loop, context=context, eager_start=True
        ),
        True,
    )


def log_failure(field: str, exception: BaseException) -> None:
    """Write a resolver's exception to the log, with its traceback; a cancellation is no fault."""
    if isinstance(exception, asyncio.CancelledError):
        return
    _log.error("the resolver of %s raised", field, exc_info=exception)


def log_authenticate(exception: BaseException) -> None:
    """Write an exception of the `authenticate` hook to the log, with its traceback."""
    _log.error("authenticate raised; the client was refused", exc_info=exception)
