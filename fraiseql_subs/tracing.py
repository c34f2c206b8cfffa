"""Settings of tracing by OpenTelemetry, which is optional.

Not here: spans (`_spans`), which need the package `opentelemetry-api`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from typing_extensions import Self

from ._tracer_faults import report
from .config import is_number, refuse
from .errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from ._spans import PublishSpan, Spans
    from .definition import Definition

__all__ = ["Tracing"]

SAMPLE_DELIVERIES = 0.01
"""The part of the deliveries that have a span."""

TraceContext: TypeAlias = tuple[bytes, bytes, int, "str | None"]
"""Trace id, span id, flags and `tracestate` of an event."""

PublisherSpan: TypeAlias = Literal["parent", "link"]
"""What the span that published an event is to the spans of what the event causes."""


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """How spans of OpenTelemetry are made.

    Attributes:
        tracer_provider: What makes them; None: the provider that the program has set by
            `opentelemetry.trace.set_tracer_provider`. Without one, tracing is off.
        sample_deliveries: The part of the deliveries to clients that have a span, from 0 to 1, of
            events in sampled traces. One event may have thousands.
        publisher_span: `"parent"`: calls of resolvers and deliveries are part of the trace of the
            program that published the event, and have a link to its span. `"link"`: each begins a
            trace of its own with that link, so that an event with many subscribers does not make
            one large trace.

    Raises:
        ConfigurationError: A value is not one of these, it is no provider, or the package
            `opentelemetry-api` is not installed.
    """

    tracer_provider: TracerProvider | None = None
    sample_deliveries: float = SAMPLE_DELIVERIES
    publisher_span: PublisherSpan = "parent"

    def __post_init__(self) -> None:
        sample = self.sample_deliveries
        if not (is_number(sample) and 0 <= sample <= 1):
            refuse("Tracing.sample_deliveries", sample, "pass a number from 0 to 1")
        if self.publisher_span not in get_args(PublisherSpan):
            refuse("Tracing.publisher_span", self.publisher_span, 'use "parent" or "link"')
        provider = self.tracer_provider
        if not (provider is None or callable(getattr(provider, "get_tracer", None))):
            refuse("Tracing.tracer_provider", provider, "pass a TracerProvider, or None")
        if "opentelemetry.trace" not in sys.modules and not _is_installed():
            raise ConfigurationError(
                "Tracing(...) needs the package opentelemetry-api: install"
                " `fraiseql-subs[otel]`, or leave tracing= out"
            )


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.trace") is not None
    except ModuleNotFoundError:
        return False


def check_tracing(value: object) -> bool | Tracing:
    """Refuse what is neither a flag nor a Tracing."""
    if not isinstance(value, bool | Tracing):
        refuse("tracing", value, "pass True, False, or Tracing(...)")
    return value


def starting(
    tracing: bool | Tracing, definitions: Iterable[Definition] = ()
) -> Callable[[], Spans | None] | None:
    """Return a function that returns what makes spans, or None where there is no provider.

    Args:
        tracing: As the application has set it.
        definitions: Subscriptions whose channels may be in names of spans, unless they are made of
            arguments.
    """
    if tracing is False:
        return None
    channels = {each.channel for each in definitions if each.channel and "{" not in each.channel}
    return partial(_start, None if tracing is True else tracing, frozenset(channels))


def _start(tracing: Tracing | None, channels: frozenset[str]) -> Spans | None:
    provider: Any = None if tracing is None else tracing.tracer_provider
    try:
        if provider is None:
            api: Any = sys.modules.get("opentelemetry.trace")
            if api is None:
                # A program that has set a provider has imported it.
                return None
            provider = api.get_tracer_provider()
            if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
                return None
        from ._spans import Spans

        sample = SAMPLE_DELIVERIES if tracing is None else tracing.sample_deliveries
        relation = "parent" if tracing is None else tracing.publisher_span
        return Spans(provider, channels, sample, relation)
    except Exception as fault:
        report(fault)
        return None


class NoSpan:
    """In place of a span where tracing is off.

    Args:
        context: What events carry in place of that of the span.
    """

    def __init__(self, context: TraceContext | None = None) -> None:
        self.context = context

    def published(self, result: object) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


_NO_SPAN = NoSpan()

_ABSENT = object()
"""In place of a provider where the package is not imported."""


def _set_provider() -> object:
    """Return the provider that the program has set, None if it has set none; cheap."""
    api = sys.modules.get("opentelemetry.trace")
    # A new object where the package has it elsewhere: it has to be asked.
    return _ABSENT if api is None else getattr(api, "_TRACER_PROVIDER", object())


class PublisherTracing:
    """The spans of a publisher, which begin when the program has set a provider.

    Args:
        tracing: As the application has set it.
    """

    def __init__(self, tracing: object) -> None:
        value = check_tracing(tracing)
        self._start = starting(value)
        self._spans: Spans | None = None
        self._seen: object = _ABSENT
        if isinstance(value, Tracing) and value.tracer_provider is not None:
            self._spans = self._start and self._start()
            self._start = None

    def publishing(self, channel: object) -> PublishSpan | NoSpan:
        """Begin a span in which an event is published."""
        return self._begin(channel if isinstance(channel, str) else None, None)

    def publishing_many(self, events: object) -> PublishSpan | NoSpan:
        """Begin a span in which a batch is published."""
        return self._begin(None, len(events) if isinstance(events, Sized) else None)

    def _begin(self, channel: str | None, count: int | None) -> PublishSpan | NoSpan:
        if self._spans is None:
            if self._start is None or (provider := _set_provider()) is self._seen:
                return _NO_SPAN
            self._seen, self._spans = provider, self._start()
            if self._spans is None:
                return _NO_SPAN
        return self._spans.publish(channel, count)
