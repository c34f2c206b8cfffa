"""The trace in which a command was called, which the events that it publishes carry on.

Programs pass it to those that they start as the environment variables `TRACEPARENT` and
`TRACESTATE`, as OpenTelemetry specifies it.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from ..publisher import Publisher
from ..tracing import NoSpan, PublisherTracing, TraceContext

if TYPE_CHECKING:
    from .._spans import PublishSpan

_PARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
"""W3C Trace Context, section 3.2; later versions may have more fields."""

_MAX_PARENT, _MAX_STATE = 512, 4096
"""Longest values that are read (characters): servers bound the headers of a request."""


@dataclass(frozen=True)
class CallersTrace:
    """The trace of the program that has called the command.

    Attributes:
        headers: The headers that carry it, `traceparent` and `tracestate`.
        context: The same, as publishers take it.
    """

    headers: dict[str, str]
    context: TraceContext

    @classmethod
    def of_environment(cls) -> Self | None:
        """Read it; None: there is none, or it is malformed."""
        parent, state = _variable("TRACEPARENT", _MAX_PARENT), _variable("TRACESTATE", _MAX_STATE)
        read = _PARENT.fullmatch(parent)
        if read is None or (read["version"] == "00" and read["rest"]):
            return None
        headers = {"traceparent": parent} | ({"tracestate": state} if state else {})
        trace, span = bytes.fromhex(read["trace"]), bytes.fromhex(read["span"])
        flags = int(read["flags"], 16)
        return cls(headers, (trace, span, flags, headers.get("tracestate")))

    def enter(self) -> None:
        """Make it the parent of the spans of this command, if OpenTelemetry makes some."""
        if "opentelemetry.trace" not in sys.modules:
            return
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context.attach(TraceContextTextMapPropagator().extract(self.headers))


def _variable(name: str, longest: int) -> str:
    """Return a variable of the environment; "": it is missing, or no header can have it."""
    value = os.environ.get(name, "")
    is_plain = value.isascii() and value.isprintable() and len(value) <= longest
    return value if is_plain else ""


class CallersPublisher(Publisher):
    """A publisher whose events carry the trace of the caller, or that of their own spans.

    Args:
        trace: That of the caller; None: there is none.
        arguments: Those of `Publisher`.
    """

    def __init__(self, *arguments: Any, trace: CallersTrace | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if trace is not None:
            self._tracing = _PassedOn(trace.context)


class _PassedOn(PublisherTracing):
    def __init__(self, context: TraceContext) -> None:
        super().__init__(tracing=True)
        self._passed = NoSpan(context)

    def _begin(self, channel: str | None, count: int | None) -> PublishSpan | NoSpan:
        span = super()._begin(channel, count)
        return self._passed if isinstance(span, NoSpan) else span
