"""Runs resolver calls on the event loop; called by the compiled module only.

These functions start a coroutine as a task, pass its result on, and close the generators of ended
subscriptions. Not here: rules of the protocol or of GraphQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, Protocol, TypeAlias

from ._causes import add_cause
from ._faults import faults
from .types import SKIP, Snapshot

__all__ = [
    "SKIP",
    "Answer",
    "ReportingTask",
    "Snapshot",
    "abandon",
    "await_it",
    "close_stream",
    "hook_error",
    "is_abandoned",
    "is_cancelled",
    "make_task",
    "pump",
    "pump_initial",
    "resolve",
    "start_hook",
    "task_factory",
]

_log = logging.getLogger("fraiseql_subs")

_MAX_YIELDS = 100
"""Values that a generator may yield while it is being closed (count)."""

_STUBBORN = (
    "the source stream of %s yielded after it was asked to end: leave it when `yield` or `await`"
    " raises CancelledError or GeneratorExit"
)

_MAX_AWAITS = 10
"""Awaits at which the clean-up of a call is cancelled if its event loop is closed (count)."""

_ABANDONED: ContextVar[bool] = ContextVar("fraiseql_subs_abandoned", default=False)
"""Whether a call is being ended because its event loop is closed."""

StartTask: TypeAlias = Callable[[Coroutine[Any, Any, None], Context], asyncio.Task[None]]
"""Starts a coroutine as a task in the context of a subscription."""


class Answer(Protocol):
    """Receives the result of one call, or the items of one source stream."""

    field: str
    """The subscription field, for the log."""

    def begins(self) -> None:
        """Record that the function for the initial value starts now."""

    def returned(self, value: object) -> None:
        """Receive the resolver's value."""

    def raised(self, exception: BaseException) -> None:
        """Receive the resolver's exception."""

    def cancelled(self) -> None:
        """Record that the call was cancelled."""

    def item(self, value: object) -> bool:
        """Receive one value of a stream; False: await `room` before the next one."""

    def room(self) -> Awaitable[None] | None:
        """Return a future that is done when there is room for a value; None: the client is gone."""

    def ended(self) -> None:
        """Receive the end of a stream."""

    def broke(self, exception: BaseException) -> None:
        """Receive the exception that ended a stream."""


async def resolve(
    function: Callable[..., Awaitable[object]], event: object | None, answer: Answer
) -> None:
    """Await one resolver and pass its result on in the same step of its task.

    Without an event, the resolver is the function for the initial value.
    """
    try:
        if event is None:
            answer.begins()
            value = await function()
        else:
            value = await function(event)
    except asyncio.CancelledError as exception:
        # Propagates like `KeyboardInterrupt` and `SystemExit`; the client receives no result.
        if is_cancelled():
            answer.cancelled()
        else:
            answer.raised(exception)
        raise
    except (KeyboardInterrupt, SystemExit) as exception:
        answer.raised(exception)
        raise
    except BaseException as exception:
        answer.raised(exception)
    else:
        try:
            answer.returned(value)
        except BaseException as exception:
            # A call always ends, also if its value cannot be read.
            answer.raised(exception)
            raise


def is_abandoned() -> bool:
    """Whether the running call is being ended because its event loop is closed."""
    return _ABANDONED.get()


def is_cancelled() -> bool:
    """Whether the running call was cancelled, as opposed to raising `CancelledError` itself."""
    if is_abandoned():
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return _was_cancelled(task)


def _was_cancelled(task: asyncio.Task[Any] | None) -> bool:
    # A loop may have its own task class; before Python 3.11 tasks do not report this.
    cancelling = getattr(task, "cancelling", None)
    return cancelling is None or cancelling() > 0


def start_hook(
    event_loop: asyncio.AbstractEventLoop, hook: Awaitable[object]
) -> asyncio.Task[object]:
    """Start the awaitable that a hook returned as a task.

    A coroutine runs as the task itself. Wrapped in another coroutine, it would never be awaited if
    the task were cancelled before its first step.
    """
    return make_task(event_loop, hook if asyncio.iscoroutine(hook) else await_it(hook))


async def await_it(awaitable: Awaitable[object]) -> object:
    """Await what is not a coroutine."""
    return await awaitable


def hook_error(task: asyncio.Task[object], exception: BaseException) -> BaseException:
    """Return why the task of a hook has failed.

    It is a `RuntimeError` if the hook raised `CancelledError` without being cancelled.
    """
    if not isinstance(exception, asyncio.CancelledError) or _was_cancelled(task):
        return exception
    error = RuntimeError("CancelledError was raised, and nothing had cancelled it")
    error.__cause__ = exception
    return error


async def pump(generator: AsyncIterator[object], answer: Answer) -> None:
    """Pass on the values of one source stream, no faster than its client reads them.

    Cancelled when the client disconnects: the generator's `finally` then runs, also if the
    generator yields again instead of ending.
    """
    try:
        async for value in generator:
            if not answer.item(value):
                room = answer.room()
                if room is None:
                    break
                await room
    except (KeyboardInterrupt, SystemExit):
        answer.ended()
        raise
    except BaseException as exception:
        is_told_to_end = isinstance(exception, asyncio.CancelledError) and is_cancelled()
        if is_told_to_end:
            answer.ended()
        else:
            add_cause(exception)
            answer.broke(exception)
        if isinstance(exception, asyncio.CancelledError):
            raise
    else:
        answer.ended()
    finally:
        # A generator that waited for room is suspended at its `yield`, where the cancellation is
        # not raised.
        await close_stream(generator, answer.field)


async def close_stream(generator: AsyncIterator[object], field: str) -> None:
    """Close a stream and run its clean-up; exceptions of the clean-up are logged."""
    try:
        if inspect.isasyncgen(generator):
            # Not `aclose`: a generator that yields during it cannot be closed any more.
            for _ in range(_MAX_YIELDS):
                with contextlib.suppress(GeneratorExit, StopAsyncIteration):
                    await generator.athrow(GeneratorExit())
                if generator.ag_frame is None:
                    return
                key, text = (close_stream, field), _STUBBORN % field
                fields, event = {"field": field}, "stream.stubborn"
                faults.report(key, _log, logging.WARNING, text, event=event, fields=fields)
            # Prevents the garbage collector from closing it on an event loop again.
            with contextlib.suppress(RuntimeError):
                await generator.aclose()
        elif (close := getattr(generator, "aclose", None)) is not None:
            await close()
    except Exception as exception:
        what = f"the source stream of {field} raised while it was ended"
        faults.raised(what, exception, fields={"field": field})


def abandon(task: asyncio.Future[Any], what: str) -> None:
    """End a call whose event loop is closed; run its clean-up as far as it needs no loop."""
    # The task can never end, and asyncio must not report it as forgotten.
    with contextlib.suppress(AttributeError):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
    get_coro = getattr(task, "get_coro", None)
    coroutine: Any = None if get_coro is None else get_coro()
    if coroutine is None or task.done():
        return
    token = _ABANDONED.set(True)
    try:
        # Not `close`, which Python before 3.13 does not forward to an awaiting generator.
        for _ in range(_MAX_AWAITS):
            coroutine.throw(asyncio.CancelledError())
    except (StopIteration, asyncio.CancelledError):
        pass
    except Exception as exception:
        faults.raised(f"{what} raised while its event loop ended", exception)
    finally:
        try:
            coroutine.close()
        except Exception as exception:
            faults.raised(f"{what} raised while it was ended", exception)
        finally:
            _ABANDONED.reset(token)


async def pump_initial(function: Callable[[], AsyncIterator[object]], answer: Answer) -> None:
    """Pass on the initial values, one after the other; events follow when they have ended."""
    answer.begins()
    await pump(function(), answer)


if sys.version_info < (3, 11):

    class ReportingTask(asyncio.Task[Any]):
        """A task that reports whether it was cancelled, like the tasks of Python 3.11."""

        _requests = 0

        def cancel(self, msg: Any = None) -> bool:
            self._requests += 1
            return super().cancel(msg)

        def cancelling(self) -> int:
            return self._requests

else:
    ReportingTask: TypeAlias = asyncio.Task[Any]


def make_task(
    event_loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]
) -> asyncio.Task[Any]:
    """Start a coroutine as a task that reports whether it was cancelled."""
    if sys.version_info < (3, 11) and event_loop.get_task_factory() is None:
        return ReportingTask(coroutine, loop=event_loop)
    return event_loop.create_task(coroutine)


def task_factory(event_loop: asyncio.AbstractEventLoop) -> tuple[StartTask, bool]:
    """Return a function that starts tasks on the loop, and whether it starts them eagerly.

    Tasks start eagerly from Python 3.12 on. A loop with its own task factory keeps it.
    """
    if event_loop.get_task_factory() is not None:
        # The task runs in a copy.
        return lambda coroutine, context: context.run(event_loop.create_task, coroutine), False
    if sys.version_info < (3, 11):
        # Here too: before Python 3.11 a task does not accept a context.
        return lambda coroutine, context: context.run(make_task, event_loop, coroutine), False
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
