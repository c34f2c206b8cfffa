"""When a publisher looks for the provider of the program."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from support.spans import Exported

from fraiseql_subs.tracing import PublisherTracing


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows with each look."""
    found: list[None] = []
    find = trace.get_tracer_provider

    def look() -> trace.TracerProvider:
        found.append(None)
        return find()

    monkeypatch.setattr(trace, "get_tracer_provider", look)
    return found


def publish(publisher: PublisherTracing) -> bool:
    """Publish, and return whether it has a span."""
    with publisher.publishing("values") as span:
        return span.context is not None


def test_it_looks_again_only_when_one_is_set(looks: list[None], monkeypatch):
    publisher = PublisherTracing(True)
    assert not any(publish(publisher) for _ in range(3))
    assert len(looks) == 1
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", trace.NoOpTracerProvider())
    assert not any(publish(publisher) for _ in range(3))
    assert len(looks) == 2
    spans = Exported()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", spans.provider)
    assert publish(publisher)
    assert spans.names == ["publish"]


def test_it_always_looks_where_it_cannot_see_a_change(looks: list[None], monkeypatch):
    publisher = PublisherTracing(True)
    monkeypatch.delattr(trace, "_TRACER_PROVIDER")
    spans = Exported()
    found = [trace.ProxyTracerProvider(), spans.provider]
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: found.pop(0))
    assert [publish(publisher), publish(publisher)] == [False, True]


def test_tracing_that_is_off_never_looks(looks: list[None]):
    assert not publish(PublisherTracing(False))
    assert looks == []
