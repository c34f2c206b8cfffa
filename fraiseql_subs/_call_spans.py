"""The span of a call, which is current in each of its steps.

Imported only where tracing is on, as it needs the package `opentelemetry-api`. Not here: names and
attributes of spans (`_spans`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Token
from functools import partial
from typing import Any

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context
from typing_extensions import Self

from ._resolving import await_it
from ._tracer_faults import report


def fail(span: Span, exception: BaseException) -> None:
    """Record an exception as the error of a span."""
    kind = type(exception)
    try:
        span.set_attribute("error.type", f"{kind.__module__}.{kind.__qualname__}")
        span.set_status(Status(StatusCode.ERROR, kind.__qualname__))
        # Last, as it may fail: it needs the text of the exception.
        span.record_exception(exception)
    except Exception as fault:
        report(fault)


def end(span: Span) -> None:
    """End a span."""
    try:
        span.end()
    except Exception as fault:
        report(fault)


class CallSpan:
    """The span of a call: begins with its first step, and is current in each of its steps.

    A subscription's calls share a context of `contextvars`, also while several of them wait. So the
    span is set for each step alone, with what the call itself has made current. Without a span,
    which a fault of the tracer may cost, the call runs as if it were not traced.
    """

    __slots__ = ("_begin", "_context", "_span")

    def __init__(self, begin: Callable[[], Span]) -> None:
        self._begin: Callable[[], Span] | None = begin
        self._span: Span | None = None
        self._context: Context | None = None

    def enter(self) -> Token[Context] | None:
        """Make it current; returns what `leave` needs."""
        try:
            if self._context is None:
                begin, self._begin = self._begin, None
                if begin is None:
                    return None
                self._span = begin()
                self._context = set_span_in_context(self._span)
            return attach(self._context)
        except Exception as fault:
            report(fault)
            return None

    def leave(self, token: Token[Context] | None) -> None:
        """Make the span current that was so before."""
        if token is None:
            return
        try:
            self._context = get_current()
            detach(token)
        except Exception as fault:
            report(fault)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the span."""
        token = self.enter()
        try:
            return function(*arguments)
        finally:
            self.leave(token)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls another one in the span."""
        return partial(self.run, function)

    def wrap_async(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """Return a function that calls another one in the span, and follows its awaitable."""
        return lambda *arguments: self.follow(self.run(function, *arguments))

    def follow(self, awaitable: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
        """Return a coroutine whose steps run in the span."""
        return _Followed(self, awaitable)

    def failed(self, exception: BaseException) -> None:
        """Record the exception of the call."""
        if self._span is not None:
            fail(self._span, exception)

    def end(self) -> None:
        """End it."""
        if self._span is not None:
            end(self._span)


class _Followed(Coroutine[Any, Any, Any]):
    """A coroutine whose steps run in a span."""

    __slots__ = ("_coroutine", "_span")

    def __init__(self, span: CallSpan, awaitable: Awaitable[Any]) -> None:
        is_coroutine = asyncio.iscoroutine(awaitable)
        self._span = span
        self._coroutine: Any = awaitable if is_coroutine else await_it(awaitable)

    def __await__(self) -> Self:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        return self._span.run(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        return self._span.run(self._coroutine.throw, *error)

    def close(self) -> None:
        self._coroutine.close()


class _FollowedHook(_Followed):
    """A coroutine of a hook, whose span ends with it."""

    __slots__ = ()

    def send(self, value: Any) -> Any:
        return self._step(super().send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(super().throw, *error)

    def close(self) -> None:
        super().close()
        self._span.end()

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return step(*arguments)
        except StopIteration:
            self._span.end()
            raise
        except BaseException as exception:
            _end_hook(self._span, exception)
            raise


def call_hook(make: Callable[[], CallSpan], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a hook in a span that ends with it; return what it returns."""
    span = make()
    try:
        result = span.run(function, *arguments)
    except BaseException as exception:
        _end_hook(span, exception)
        raise
    if inspect.isawaitable(result):
        return _FollowedHook(span, result)
    span.end()
    return result


def _end_hook(span: CallSpan, exception: BaseException) -> None:
    # Its client has disconnected.
    if not isinstance(exception, asyncio.CancelledError):
        span.failed(exception)
    span.end()
