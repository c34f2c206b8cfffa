"""How one resolver call runs on the event loop; called by the compiled module only.

The functions here have no rule of the protocol and none of GraphQL: they start a coroutine as a
task, hand its result over, and end what a subscription leaves behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeAlias

from ._causes import add_cause
from ._faults import faults
from .types import SKIP

__all__ = ["SKIP", "abandon", "close_stream", "pump", "pump_initial", "resolve", "task_factory"]

_log = logging.getLogger("fraiseql_subs")

_MAX_YIELDS = 100
"""Values that a generator may yield after it was asked to end (count)."""

_STUBBORN = (
    "the source stream of %s yielded after it was asked to end: leave it when `yield` or `await`"
    " raises CancelledError or GeneratorExit"
)

_MAX_AWAITS = 10
"""Awaits in its clean-up that a call is cancelled at when there is no event loop (count)."""

StartTask: TypeAlias = Callable[[Coroutine[Any, Any, None], Context], asyncio.Task[None]]
"""Starts a coroutine as a task in the context of a subscription."""


class Answer(Protocol):
    """Takes the result of one call, or the items of one source stream."""

    field: str
    """The subscription field, for the log."""

    def begins(self) -> None:
        """Note that the function for the initial value is entered now."""

    def returned(self, value: object) -> None:
        """Take the resolver's value."""

    def raised(self, exception: BaseException) -> None:
        """Take the resolver's exception."""

    def item(self, value: object) -> bool:
        """Take one value of a stream; False: await `room` before the next one."""

    def room(self) -> Awaitable[None] | None:
        """Return a future that is done when there is room for a value; None: its client is gone."""

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

    Cancelled when the client leaves: the generator's `finally` runs then, also that of one which
    yields in place of ending.
    """
    try:
        async for value in generator:
            if not answer.item(value):
                room = answer.room()
                if room is None:
                    break
                await room
    except Exception as exception:
        add_cause(exception)
        answer.broke(exception)
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        answer.ended()
        raise
    except BaseException as exception:
        answer.broke(exception)
        raise
    else:
        answer.ended()
    finally:
        # One that waited for room stands at its `yield` and has not seen the cancellation.
        await close_stream(generator, answer.field)


async def close_stream(generator: AsyncIterator[object], field: str) -> None:
    """End a stream and let its clean-up run; what it raises then is logged."""
    try:
        if inspect.isasyncgen(generator):
            # Not `aclose`, after which one that yields again cannot be ended any more.
            for _ in range(_MAX_YIELDS):
                with contextlib.suppress(GeneratorExit, StopAsyncIteration):
                    await generator.athrow(GeneratorExit())
                if generator.ag_frame is None:
                    return
                faults.report((close_stream, field), _log, logging.WARNING, _STUBBORN % field)
            # Given up: the garbage collector is not to try it on an event loop again.
            with contextlib.suppress(RuntimeError):
                await generator.aclose()
        elif (close := getattr(generator, "aclose", None)) is not None:
            await close()
    except Exception as exception:
        faults.raised(f"the source stream of {field} raised while it was ended", exception)


def abandon(task: asyncio.Future[Any], what: str) -> None:
    """End a call whose event loop is closed: its clean-up runs as far as it needs no loop."""
    # The task itself cannot end any more, and is none that somebody forgot.
    with contextlib.suppress(AttributeError):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    get_coro = getattr(task, "get_coro", None)
    coroutine: Any = None if get_coro is None else get_coro()
    if coroutine is None:
        return
    try:
        # Not `close`, which Pythons before 3.13 do not pass on to a generator that awaits.
        for _ in range(_MAX_AWAITS):
            coroutine.throw(asyncio.CancelledError())
    except (StopIteration, asyncio.CancelledError):
        pass
    except Exception as exception:
        faults.raised(f"{what} raised while its event loop ended", exception)
    finally:
        coroutine.close()


async def pump_initial(function: Callable[[], AsyncIterator[object]], answer: Answer) -> None:
    """Hand the initial values over, one after the other; events follow when they have ended."""
    answer.begins()
    await pump(function(), answer)


def task_factory(event_loop: asyncio.AbstractEventLoop) -> tuple[StartTask, bool]:
    """Return what starts a task on the loop, and whether it does so eagerly: from Python 3.12 on.

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
