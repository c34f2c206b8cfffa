"""Makes the spans of OpenTelemetry: their names, attributes, parents and links.

Imported only where tracing is on, as it needs the package `opentelemetry-api`. An attribute never
has a token, a variable or the data of an event. Not here: when a span begins and ends (`_core`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context as Variables
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias

from opentelemetry.context import Context, attach
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TracerProvider,
    TraceState,
    set_span_in_context,
)
from typing_extensions import Self

from ._call_spans import CallSpan, call_hook, end, fail
from ._core import Receipt, __version__
from ._tracer_faults import report
from .tracing import PublisherSpan, TraceContext

Timing: TypeAlias = tuple[
    str,
    int,
    int,
    "str | None",
    "tuple[str, str | None] | None",
    "str | None",
    "tuple[str, str] | None",
    "str | None",
    bool,
    "TraceContext | None",
]
"""What has ended: its kind, begin and end (nanoseconds since 1970), field, type and name of
its operation, channel, id and protocol of its connection, why it has ended, whether it has failed,
and what published its event."""

_Attributes: TypeAlias = dict[str, "str | int"]

_SYSTEM: _Attributes = {"messaging.system": "fraiseql_subs"}


class Spans:
    """Makes the spans of one manager or publisher.

    Args:
        provider: What makes the tracer.
        channels: Channels that names of spans may have; others may be too many.
        sample_deliveries: The part of the deliveries that have a span, from 0 to 1.
        publisher_span: Whether the span of a publisher is the parent of what its events cause, and
            linked, or linked alone.
    """

    def __init__(
        self,
        provider: TracerProvider,
        channels: frozenset[str],
        sample_deliveries: float,
        publisher_span: PublisherSpan = "parent",
    ) -> None:
        self.sample_deliveries = sample_deliveries
        self._is_parent = publisher_span == "parent"
        self._tracer = provider.get_tracer("fraiseql_subs", __version__)
        self._channels = channels

    def variables(self) -> Variables:
        """Return a copy of the current context of `contextvars`, in which no span is current.

        What starts a manager causes nothing that its clients do later.
        """
        variables = copy_context()
        variables.run(attach, variables.run(set_span_in_context, INVALID_SPAN))
        return variables

    def publish(self, channel: str | None, count: int | None) -> PublishSpan:
        """Begin a span in which events are published.

        Args:
            channel: Their channel; None: they have several.
            count: Their number, if they are a batch.
        """
        attributes = {**_SYSTEM, "messaging.operation.name": "publish"}
        attributes["messaging.operation.type"] = "send"
        if channel is not None:
            attributes["messaging.destination.name"] = channel
        if count is not None:
            attributes["messaging.batch.message_count"] = count
        name = f"publish {channel}" if channel in self._channels else "publish"
        try:
            span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        except Exception as fault:
            report(fault)
            span = INVALID_SPAN
        return PublishSpan(span)

    def resolve(
        self,
        field: str,
        operation: str | None,
        channel: str,
        event_id: str,
        context: TraceContext | None,
    ) -> CallSpan:
        """Make the span of a resolver's call for one event.

        It is linked to its publisher's span, and its child unless the settings say otherwise.
        """
        attributes = {
            **_processing(field, operation),
            "messaging.destination.name": channel,
            "messaging.message.id": event_id,
        }
        published = [] if context is None else [_span_context(context)]
        return self._caused(field, attributes, published, is_one=True)

    def batch(self, field: str, count: int, contexts: Iterable[TraceContext | None]) -> CallSpan:
        """Make the span of a resolver's call for several subscribers.

        It is linked to the spans that published their events. With several events it begins a
        trace; else it is as the call for one event.
        """
        attributes = {**_processing(field, None), "messaging.batch.message_count": count}
        known = list(dict.fromkeys(contexts))
        published = [_span_context(context) for context in known if context is not None]
        return self._caused(field, attributes, published, is_one=len(known) == 1)

    def _caused(
        self, field: str, attributes: _Attributes, published: list[SpanContext], *, is_one: bool
    ) -> CallSpan:
        """Make the span of a resolver's call for what these spans have published."""
        parent = published[0] if published and is_one and self._is_parent else None
        return self._call(f"resolve {field}", SpanKind.CONSUMER, attributes, parent, published)

    def internal(
        self, kind: str, field: str, operation_type: str | None, operation: str | None
    ) -> CallSpan:
        """Make the span of a call that no event causes, a child of the current one."""
        attributes = _operation(field, operation_type, operation)
        name = f"{kind} {field}" if field else kind
        return self._call(name, SpanKind.INTERNAL, attributes, None, (), is_root=False)

    def hook(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls a hook in a span, a child of the current one."""
        make = partial(self._call, name, SpanKind.INTERNAL, {}, None, (), is_root=False)
        return partial(call_hook, make, function)

    def ended(self, timings: Iterable[Timing]) -> None:
        """Make the spans of what has ended on other threads."""
        for timing in timings:
            try:
                self._ended(*timing)
            except Exception as fault:
                report(fault)

    def _ended(
        self,
        kind: str,
        began: int,
        ended: int,
        field: str | None,
        operation: tuple[str, str | None] | None,
        channel: str | None,
        connection: tuple[str, str] | None,
        reason: str | None,
        has_failed: bool,
        parent: TraceContext | None,
    ) -> None:
        attributes: _Attributes = {}
        if kind in ("route", "deliver"):
            attributes.update(_SYSTEM)
        if operation is None and field is not None:
            operation = ("subscription", None)
        attributes.update(_operation(field, *(operation or (None, None))))
        if channel is not None:
            attributes["messaging.destination.name"] = channel
        if connection is not None:
            attributes["fraiseql_subs.connection.id"], protocol = connection
            attributes["fraiseql_subs.protocol"] = protocol
        if reason is not None:
            attributes["fraiseql_subs.end"] = reason
        published = None if parent is None else _span_context(parent)
        # A process has few ways of an event, so they are always part of its trace.
        is_child = self._is_parent or kind != "deliver"
        remote = NonRecordingSpan(published) if published and is_child else INVALID_SPAN
        name = operation[0] if kind == "operation" and operation is not None else kind
        span = self._tracer.start_span(
            name if field is None else f"{name} {field}",
            set_span_in_context(remote, Context()),
            kind=SpanKind.SERVER if parent is None else SpanKind.INTERNAL,
            attributes=attributes,
            links=[Link(published)] if published and kind == "deliver" else None,
            start_time=began,
        )
        if has_failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def _call(
        self,
        name: str,
        kind: SpanKind,
        attributes: _Attributes,
        parent: SpanContext | None,
        links: Iterable[SpanContext],
        *,
        is_root: bool = True,
    ) -> CallSpan:
        def begin() -> Span:
            context = None
            if parent is not None:
                context = set_span_in_context(NonRecordingSpan(parent))
            elif is_root:
                # What subscribed is not what has caused the event.
                context = set_span_in_context(INVALID_SPAN)
            return self._tracer.start_span(
                name,
                context,
                kind=kind,
                attributes=attributes,
                links=[Link(link) for link in links],
            )

        return CallSpan(begin)


def _operation(field: str | None, kind: str | None, name: str | None) -> _Attributes:
    attributes: _Attributes = {}
    if kind is not None:
        attributes["graphql.operation.type"] = kind
    if name is not None:
        attributes["graphql.operation.name"] = name
    if field:
        attributes["graphql.field.name"] = field
    return attributes


def _processing(field: str, operation: str | None) -> _Attributes:
    names = {"messaging.operation.name": "resolve", "messaging.operation.type": "process"}
    return {**_SYSTEM, **names, **_operation(field, "subscription", operation)}


def _span_context(context: TraceContext) -> SpanContext:
    trace_id, span_id, flags, state = context
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=True,
        trace_flags=TraceFlags(flags),
        trace_state=TraceState.from_header([state]) if state else None,
    )


class PublishSpan:
    """A span in which events are published; a context manager ends it with its block."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def context(self) -> TraceContext | None:
        """The context for the events."""
        try:
            context = self._span.get_span_context()
            if not context.is_valid:
                return None
            return (
                context.trace_id.to_bytes(16, "big"),
                context.span_id.to_bytes(8, "big"),
                int(context.trace_flags),
                context.trace_state.to_header() or None,
            )
        except Exception as fault:
            report(fault)
            return None

    def published(self, result: Receipt | list[Receipt]) -> None:
        """Record the id of the event."""
        if isinstance(result, Receipt):
            try:
                self._span.set_attribute("messaging.message.id", result.event_id)
            except Exception as fault:
                report(fault)

    def done(self, result: Receipt | list[Receipt]) -> None:
        """End it: the events are published."""
        self.published(result)
        end(self._span)

    def end(self) -> None:
        """End it."""
        end(self._span)

    def failed(self, exception: BaseException) -> None:
        """End it with the error that was raised."""
        fail(self._span, exception)
        end(self._span)

    def settled(self, future: asyncio.Future[Any]) -> None:
        """End it as a future has ended; nothing need wait for that."""
        if future.cancelled():
            end(self._span)
        elif (exception := future.exception()) is not None:
            self.failed(exception)
        else:
            self.done(future.result())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, Exception):
            fail(self._span, exc)
        end(self._span)
