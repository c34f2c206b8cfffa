"""Links of spans to the span that published an event, and traces of their own."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from support import eventually
from support.spans import Exported, is_child

from fraiseql_subs import (
    Call,
    ConfigurationError,
    Event,
    SubscriptionManager,
    Tracing,
    passthrough,
    subscription,
)

feed = passthrough("feed", int, channel="values")


@subscription(channel="values")
async def value(event: Event) -> int:
    return int(event.data)


@subscription(channel="values", shared=True)
async def together(event: Event) -> int:
    return int(event.data)


@subscription(channel="values", batch=True)
async def batched(calls: list[Call]) -> list[int]:
    return [int(call.event.data) for call in calls]


@pytest.fixture
def spans() -> Exported:
    return Exported()


def manager_of(spans: Exported, **options: Any) -> SubscriptionManager:
    tracing = Tracing(tracer_provider=spans.provider, sample_deliveries=1, **options)
    return SubscriptionManager([feed, value, together, batched], tracing=tracing, workers=1)


async def deliver(spans: Exported, manager: SubscriptionManager, serve: Any, connect: Any) -> None:
    """Publish one event to a client of each field."""
    server = await serve(manager)
    client = await connect(server.url)
    ids = [await client.subscribe(f"subscription {{ {name} }}") for name in FIELDS]
    await manager.publish("values", 1)
    for _ in ids:
        await client.receive()
    names = [f"deliver {name}" for name in FIELDS]
    await eventually(lambda: set(names) <= set(spans.names), "the deliveries have spans")


FIELDS = ("feed", "value", "together", "batched")
CAUSED = [*(f"deliver {name}" for name in FIELDS), *(f"resolve {name}" for name in FIELDS[1:])]


def is_linked(span: ReadableSpan, to: ReadableSpan) -> bool:
    """Whether a span has one link, which is to this one."""
    context = to.get_span_context()
    assert context is not None
    linked = [(link.context.trace_id, link.context.span_id) for link in span.links]
    return linked == [(context.trace_id, context.span_id)]


async def test_what_an_event_causes_is_a_child_and_linked(spans: Exported, serve, connect):
    await deliver(spans, manager_of(spans), serve, connect)
    published = spans.one("publish values")
    for name in CAUSED:
        assert is_child(spans.one(name), published), name
        assert is_linked(spans.one(name), published), name
    assert not published.links
    assert not any(span.links for span in spans.all("route"))


async def test_what_an_event_causes_can_be_traces_of_their_own(spans: Exported, serve, connect):
    await deliver(spans, manager_of(spans, publisher_span="link"), serve, connect)
    published = spans.one("publish values")
    for name in CAUSED:
        assert spans.one(name).parent is None, name
        assert is_linked(spans.one(name), published), name
    traces = {
        span.context.trace_id for name in ("publish values", *CAUSED) for span in spans.all(name)
    }
    assert len(traces) == 1 + len(CAUSED)
    # There are few of them, whatever the number of subscribers.
    assert all(is_child(span, published) for span in spans.all("route"))


async def test_a_trace_of_its_own_is_sampled_on_its_own(serve, connect):
    spans = Exported(sampler=ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_OFF))
    manager = manager_of(spans, publisher_span="link")
    other = Exported(sampler=ALWAYS_OFF)
    async with manager, manager.subscribe("subscription { value }") as results:
        with other.tracer.start_as_current_span("not sampled"):
            await manager.publish("values", 1)
        await anext(results)
    assert "publish values" not in spans.names
    assert not spans.one("resolve value").links[0].context.trace_flags.sampled


@pytest.mark.parametrize("relation", ["child", "", None, True, []])
def test_an_unknown_relation_is_refused(relation):
    with pytest.raises(ConfigurationError, match=r"Tracing\.publisher_span is .*use .parent. or"):
        Tracing(publisher_span=relation)
