"""Takes the first step of a call without making a task for it.

Most calls end in their first step. Until one suspends, the calls of one turn of the event loop
share a task: it is the current task while a call takes its first step, and the call that suspends
keeps it. So what a call sees as its task is a task of asyncio, the same one until the call ends. A
call that keeps or changes the shared task gets it for itself too. Not here: what follows from
results (`_core`).
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Awaitable, Callable
from contextvars import Context
from sys import getrefcount
from types import CoroutineType
from typing import Any, TypeAlias
from weakref import getweakrefcount

from ._resolving import (
    Answer,
    ReportingTask,
    await_it,
    is_abandoned,
    is_cancelled,
    make_task,
    resolve,
    task_factory,
)

__all__ = ["call_starter"]

StartCall: TypeAlias = Callable[
    [Context, Callable[..., Awaitable[object]], "object | None", Answer], "asyncio.Task[Any] | None"
]
"""Starts a call; returns its task, unless the call has ended."""


_NOTHING: Any = object()


def call_starter(event_loop: asyncio.AbstractEventLoop) -> tuple[StartCall, bool]:
    """Return a function that starts calls, and whether it takes their first step.

    A loop with its own task factory makes a task for each call.
    """
    if event_loop.get_task_factory() is None:
        return _FirstSteps(event_loop).start, True
    start_task, is_eager = task_factory(event_loop)
    return (
        lambda context, function, event, answer: start_task(
            resolve(function, event, answer), context
        ),
        is_eager,
    )


class _FirstSteps:
    """Starts the calls of one event loop."""

    def __init__(self, event_loop: asyncio.AbstractEventLoop) -> None:
        self._event_loop = event_loop
        self._task: _SharedTask | None = None
        self._references = 0
        self._weak_references = 0

    def start(
        self,
        context: Context,
        function: Callable[..., Awaitable[object]],
        event: object | None,
        answer: Answer,
    ) -> asyncio.Task[Any] | None:
        """Run a call until it suspends or ends; return its task if it has suspended.

        Raises:
            KeyboardInterrupt, SystemExit: The call raised it.
        """
        task = self._task
        if task is None or task.is_touched or task.done():
            task = self._task = _SharedTask.make(self._event_loop)
            self._references = getrefcount(task)
            self._weak_references = getweakrefcount(task)
        seat = task.seat
        seat.context = context
        try:
            _enter_task(self._event_loop, task)
        except RuntimeError:
            # The loop runs inside one of its own tasks, as some libraries have it.
            return context.run(make_task, self._event_loop, resolve(function, event, answer))
        try:
            rest = context.run(_first_step, function, event, answer)
        finally:
            _leave_task(self._event_loop, task)
        if rest is not None:
            self._task = None
            seat.take(answer, *rest)
            task.is_taken()
            return task
        if getrefcount(task) != self._references or getweakrefcount(task) != self._weak_references:
            # Something knows the task as that of this call. It ends, and others get another one.
            self._task = None
        return None


def _first_step(
    function: Callable[..., Awaitable[object]], event: object | None, answer: Answer
) -> tuple[Any, Any] | None:
    """Return the coroutine of the call and what it awaits; None: it has ended.

    This is the first step of `resolve`, for which no coroutine is needed.
    """
    try:
        if event is None:
            answer.begins()
            awaitable = function()
        else:
            awaitable = function(event)
        coroutine: Any = awaitable if type(awaitable) is CoroutineType else await_it(awaitable)
        try:
            return coroutine, coroutine.send(None)
        except StopIteration as end:
            value = end.value
    except asyncio.CancelledError as exception:
        if is_cancelled():
            answer.cancelled()
        else:
            answer.raised(exception)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exception:
        answer.raised(exception)
    else:
        answer.returned(value)
    return None


class _Seat:
    """The place of a call in a shared task: an awaitable that runs the rest of the call.

    It ends at once if no call has taken it. All steps run in the context of the call.
    """

    __slots__ = ("_answer", "_awaited", "_coroutine", "_is_waiting", "context")

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._coroutine: Any = None
        self._awaited: Any = _NOTHING
        self._is_waiting = False
        self.context: Any = None

    def take(self, answer: Answer, coroutine: Any, awaited: Any) -> None:
        """Give the seat to a call that has suspended."""
        self._answer, self._coroutine, self._awaited = answer, coroutine, awaited

    def wait(self, _event: object) -> _Seat:
        """Return the rest of the call, as the function of a resolver does."""
        return self

    # The awaitable.

    def __await__(self) -> _Seat:
        return self

    def __iter__(self) -> _Seat:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Take the next step."""
        if not self._is_waiting:
            # The coroutine of the task is started before the task has a call.
            self._is_waiting = True
            return None
        if self._coroutine is None:
            raise StopIteration
        awaited, self._awaited = self._awaited, _NOTHING
        if awaited is not _NOTHING:
            return awaited
        return self.context.run(self._coroutine.send, value)

    def throw(self, kind: Any, value: Any = None, _traceback: Any = None) -> Any:
        """Raise an exception where the call waits."""
        exception = value if isinstance(value, BaseException) else kind
        if self._coroutine is None:
            raise exception
        awaited, self._awaited = self._awaited, _NOTHING
        if awaited is not _NOTHING and isinstance(exception, asyncio.CancelledError):
            # The call was cancelled before its task has seen what it awaits.
            if (
                not is_abandoned()
                and asyncio.isfuture(awaited)
                and awaited.cancel(*exception.args[:1])
            ):
                return awaited
        return self.context.run(self._coroutine.throw, exception)

    def close(self) -> None:
        """Close the call."""
        if self._coroutine is not None:
            self.context.run(self._coroutine.close)

    # The answer of the coroutine of the task.

    @property
    def field(self) -> str:
        """The subscription field, for the log."""
        return "" if self._answer is None else self._answer.field

    def returned(self, value: object) -> None:
        """Pass the value of the call on."""
        if self._answer is not None:
            self.context.run(self._answer.returned, value)

    def raised(self, exception: BaseException) -> None:
        """Pass the exception of the call on."""
        if self._answer is not None:
            self.context.run(self._answer.raised, exception)

    def cancelled(self) -> None:
        """Pass on that the call was cancelled."""
        if self._answer is not None:
            self._answer.cancelled()


class _SharedTask(ReportingTask):
    """A task that calls share until one of them takes it or touches it.

    It ends in the next turn of the loop.
    """

    is_touched = False
    seat: _Seat

    @classmethod
    def make(cls, event_loop: asyncio.AbstractEventLoop) -> _SharedTask:
        """Make a task whose seat is free."""
        seat = _Seat()
        coroutine = resolve(seat.wait, seat, seat)  # type: ignore[arg-type]
        # From now on an exception is raised where the call waits.
        coroutine.send(None)
        task = cls(coroutine, loop=event_loop)
        # A loop may be closed before it ends.
        ReportingTask.__setattr__(task, "_log_destroy_pending", False)
        ReportingTask.__setattr__(task, "seat", seat)
        return task

    def is_taken(self) -> None:
        """Record that it belongs to one call."""
        ReportingTask.__setattr__(self, "_log_destroy_pending", True)

    def get_context(self) -> Context:
        """Return the context of the call, as tasks do from Python 3.12 on."""
        context: Context = self.seat.context
        return context

    # What a call may change.

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__("is_touched", True)
        super().__setattr__(name, value)

    def cancel(self, msg: Any = None) -> bool:
        super().__setattr__("is_touched", True)
        return super().cancel(msg)

    def set_name(self, value: object, /) -> None:
        super().__setattr__("is_touched", True)
        super().set_name(value)

    def add_done_callback(self, fn: Callable[[Any], object], /, **options: Any) -> None:
        super().__setattr__("is_touched", True)
        super().add_done_callback(fn, **options)
