"""Spans of connections, operations and the ways of events, which end on threads of Rust."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from support import PATIENCE, eventually
from support.spans import Exported, is_child

from fraiseql_subs import (
    ConfigurationError,
    Event,
    SubscriptionManager,
    Tracing,
    passthrough,
    subscription,
)

feed = passthrough("feed", int, channel="feed")
FEED = "subscription { feed }"


@pytest.fixture
def spans() -> Exported:
    return Exported()


def all_deliveries(spans: Exported, subscriptions: Any = (feed,)) -> SubscriptionManager:
    tracing = Tracing(tracer_provider=spans.provider, sample_deliveries=1)
    return SubscriptionManager(subscriptions, tracing=tracing, workers=1)


async def ended(spans: Exported, name: str, count: int = 1) -> None:
    await eventually(lambda: len(spans.all(name)) == count, f"there are {count} spans {name}")


async def test_the_way_of_an_event_is_part_of_its_trace(spans: Exported, serve, connect):
    manager = all_deliveries(spans)
    server = await serve(manager)
    clients = [await connect(server.url) for _ in range(3)]
    ids = [await client.subscribe(FEED) for client in clients]
    with spans.tracer.start_as_current_span("request"):
        await manager.publish("feed", 1)
    for client, id in zip(clients, ids, strict=True):
        assert await client.receive_data(id) == {"feed": 1}
    await ended(spans, "deliver feed", 3)
    published, routed = spans.one("publish feed"), spans.one("route")
    assert is_child(published, spans.one("request")) and is_child(routed, published)
    assert routed.attributes is not None
    assert routed.attributes["messaging.destination.name"] == "feed"
    for delivered in spans.all("deliver feed"):
        assert is_child(delivered, published) and delivered.kind is SpanKind.INTERNAL
        assert delivered.start_time is not None and delivered.end_time is not None
        assert delivered.start_time <= delivered.end_time


async def test_deliveries_after_a_resolver_are_traced_too(spans: Exported, serve, connect):
    @subscription(channel="values")
    async def value(event: Event) -> int:
        return int(event.data)

    manager = all_deliveries(spans, [value])
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription { value }")
    await manager.publish("values", 1)
    assert await client.receive_data(id) == {"value": 1}
    await ended(spans, "deliver value")
    for name in ("resolve value", "deliver value", "route"):
        assert is_child(spans.one(name), spans.one("publish values"))


async def test_connections_and_operations_have_spans(spans: Exported, serve, connect):
    manager = all_deliveries(spans)
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe("subscription Mine { feed }")
    await manager.publish("feed", 1)
    await client.receive_data(id)
    await client.send({"type": "complete", "id": id})
    await ended(spans, "subscription feed")
    operation = spans.one("subscription feed")
    await client.close()
    await ended(spans, "connection")
    connection = spans.one("connection")
    assert operation.parent is connection.parent is None
    assert operation.kind is connection.kind is SpanKind.SERVER
    known = {
        "fraiseql_subs.connection.id": connection.attributes["fraiseql_subs.connection.id"],
        "fraiseql_subs.protocol": "graphql-transport-ws",
    }
    assert operation.attributes == {
        **known,
        "graphql.operation.type": "subscription",
        "graphql.operation.name": "Mine",
        "graphql.field.name": "feed",
        "fraiseql_subs.end": "the client has ended it",
    }
    assert connection.attributes.items() >= known.items()
    assert connection.start_time <= operation.start_time <= operation.end_time
    assert operation.end_time <= connection.end_time


async def test_an_operation_that_fails_is_an_error(spans: Exported, serve, connect):
    @subscription()
    async def broken() -> Any:
        raise ValueError("broken")
        yield 1

    schema = "type Query { a: Int } type Subscription { broken: Int }"
    tracing = Tracing(tracer_provider=spans.provider)
    server = await serve(SubscriptionManager([broken], schema=schema, tracing=tracing))
    client = await connect(server.url)
    await client.subscribe("subscription { broken }")
    await ended(spans, "subscription broken")
    span = spans.one("subscription broken")
    assert span.status.status_code is StatusCode.ERROR
    assert spans.one("stream broken").status.status_code is StatusCode.ERROR


async def test_what_waits_is_told_when_the_manager_ends(spans: Exported):
    manager = all_deliveries(spans)
    async with manager, manager.subscribe(FEED) as results:
        await manager.publish("feed", 1)
        await anext(results)
    assert is_child(spans.one("route"), spans.one("publish feed"))


async def test_an_event_that_is_not_sampled_has_no_spans(serve, connect):
    spans = Exported(sampler=ParentBased(ALWAYS_OFF))
    manager = all_deliveries(spans)
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe(FEED)
    await manager.publish("feed", 1)
    await client.receive_data(id)
    await manager.close()
    assert spans.names == []


async def test_no_delivery_has_a_span_where_none_is_sampled(spans: Exported, serve, connect):
    tracing = Tracing(tracer_provider=spans.provider, sample_deliveries=0)
    manager = SubscriptionManager([feed], tracing=tracing)
    server = await serve(manager)
    client = await connect(server.url)
    id = await client.subscribe(FEED)
    await manager.publish("feed", 1)
    await client.receive_data(id)
    await manager.close()
    assert "route" in spans.names and "deliver feed" not in spans.names


async def test_nothing_secret_is_in_these_spans(spans: Exported, serve, connect):
    manager = all_deliveries(spans)
    server = await serve(manager)
    url = f"{server.url}?token=s3cret-query"
    client = await connect(url, {"token": "s3cret-token"})
    id = await client.subscribe(FEED)
    await manager.publish("feed", 1)
    await client.receive_data(id)
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        headers = {"authorization": "Bearer s3cret-header"}
        await http.post(server.http_url, json={"query": "{ __typename }"}, headers=headers)
    await client.close()
    await ended(spans, "deliver feed")
    await ended(spans, "subscription feed")
    assert "s3cret" not in spans.text()


@pytest.mark.parametrize("part", [-0.1, 1.1, "all", True, float("nan")])
def test_a_part_that_is_none_is_refused(part):
    with pytest.raises(ConfigurationError, match=r"Tracing\.sample_deliveries is .*from 0 to 1"):
        Tracing(sample_deliveries=part)
