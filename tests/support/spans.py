"""Spans of OpenTelemetry that a test finds in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from fraiseql_subs import Tracing


class Exported:
    """A provider of its own, and the spans that have ended.

    Attributes:
        tracer: Makes spans of the application.
        tracing: What a manager is given.
    """

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("application")
        self.tracing = Tracing(tracer_provider=self.provider)

    @property
    def names(self) -> list[str]:
        """Names of all spans, in the order of their ends."""
        return [span.name for span in self._exporter.get_finished_spans()]

    def all(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of a name."""
        found = self.all(name)
        assert len(found) == 1, self.names
        return found[0]

    def text(self) -> str:
        """Return all that an exporter may write of the spans."""
        return "".join(span.to_json() for span in self._exporter.get_finished_spans())


def is_child(child: ReadableSpan, parent: ReadableSpan | SpanContext) -> bool:
    """Whether a span is a child of another."""
    context = parent.get_span_context() if isinstance(parent, ReadableSpan) else parent
    assert child.context is not None and context is not None
    is_same = child.context.trace_id == context.trace_id
    return is_same and child.parent is not None and child.parent.span_id == context.span_id


def traceparent(span: ReadableSpan) -> str:
    """Return the context of a span as a header."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
