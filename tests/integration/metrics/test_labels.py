"""Metrics with labels: what is counted by field, protocol, reason, and how long things take."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from support import eventually
from support.resolvers import HeldCall

from fraiseql_subs import (
    Event,
    GraphQLError,
    History,
    MetricSample,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)

feed = passthrough("feed", int, channel="feed")
alarm = passthrough("alarm", int, channel="alarm")
WEBSOCKET = "graphql-transport-ws"


@subscription(channel="feed")
async def halved(event: Event) -> int:
    if event.data % 2:
        raise GraphQLError("odd")
    return int(event.data) // 2


def found(manager: SubscriptionManager, name: str, **labels: str) -> MetricSample:
    (sample,) = [s for s in manager.samples() if s.name == name and s.labels == labels]
    return sample


def value(manager: SubscriptionManager, name: str, **labels: str) -> int:
    return found(manager, name, **labels).value


async def test_there_are_no_samples_before_a_start():
    assert SubscriptionManager([feed]).samples() == []


async def test_results_and_subscriptions_are_counted_by_field_and_protocol(serve, connect):
    manager = SubscriptionManager([feed, alarm])
    server = await serve(manager)
    client = await connect(server.url)
    of_feed = await client.subscribe("subscription { feed }")
    await client.subscribe("subscription { alarm }")
    async with manager.subscribe("subscription { feed }") as inside:
        await manager.publish_many([{"channel": "feed", "data": n} for n in (1, 2)])
        for _ in range(2):
            await client.receive_data(of_feed)
            await inside.__anext__()
        labels = {"field": "feed", "protocol": WEBSOCKET}
        assert value(manager, "results_sent", **labels) == 2
        assert value(manager, "results_sent", field="feed", protocol="in-process") == 2
        assert value(manager, "results_sent", field="alarm", protocol=WEBSOCKET) == 0
        assert value(manager, "subscriptions", **labels) == 1
        assert value(manager, "subscriptions_started", **labels) == 1
        assert value(manager, "connections", protocol=WEBSOCKET) == 1
        assert manager.metrics().results_sent == 4
    await client.complete(of_feed)
    await eventually(
        lambda: value(manager, "subscriptions", **labels) == 0, "the subscription has ended"
    )
    assert value(manager, "subscriptions_started", **labels) == 1


async def test_a_result_is_timed_from_its_event_to_the_socket(serve, connect):
    manager = SubscriptionManager([feed, halved])
    server = await serve(manager)
    client = await connect(server.url)
    for field in ("feed", "halved"):
        id = await client.subscribe(f"subscription {{ {field} }}")
        await manager.publish("feed", 2)
        await client.receive_data(id)
        await client.complete(id)
        delay = found(manager, "event_to_socket_seconds", field=field, protocol=WEBSOCKET)
        assert delay.value == 1
        assert delay.sum > 0
        assert sum(count for _, count in delay.buckets) == 1
        assert delay.buckets[-1][0] == float("inf")


async def test_missed_events_that_are_replayed_are_not_timed():
    manager = SubscriptionManager([feed], history=History())
    document = "subscription { feed }"
    async with manager:
        async with manager.subscribe(document, extensions={"resume": {}}) as first:
            await manager.publish("feed", 1)
            begin = await first.__anext__()
            result = await first.__anext__()
            assert begin.data is None and result.extensions is not None
            after = result.extensions["resume"]["id"]
        await manager.publish("feed", 2)
        labels = {"field": "feed", "protocol": "in-process"}
        before = value(manager, "event_to_socket_seconds", **labels)
        resume: dict[str, Any] = {"resume": {"after": after}}
        async with manager.subscribe(document, extensions=resume) as second:
            data = None
            while data is None:
                data = (await second.__anext__()).data
            assert data == {"feed": 2}
        assert value(manager, "results_sent", **labels) == 2
        assert value(manager, "event_to_socket_seconds", **labels) == before


async def test_a_description_of_the_schema_is_counted_as_other():
    async with SubscriptionManager([feed]) as manager:
        async with manager.subscribe("{ __typename }") as answer:
            await answer.__anext__()
        assert value(manager, "results_sent", field="other", protocol="in-process") == 1
        assert manager.metrics().results_sent == 1


async def test_resolver_calls_are_counted_and_timed_by_field():
    async with SubscriptionManager([feed, halved]) as manager:
        async with manager.subscribe("subscription { halved }") as results:
            for n in range(4):
                await manager.publish("feed", n)
                await results.__anext__()
        assert value(manager, "resolver_calls", field="halved") == 4
        assert value(manager, "resolver_errors", field="halved") == 2
        assert value(manager, "resolver_seconds", field="halved") == 4
        counters = manager.metrics()
        assert (counters.resolver_calls, counters.resolver_errors) == (4, 2)


async def test_a_call_is_timed_when_it_ends(within):
    call = HeldCall()
    async with SubscriptionManager([call.declare()]) as manager:
        async with manager.subscribe("subscription { slow }") as results:
            await manager.publish("feed", 1)
            await within(call.entered.wait())
            assert value(manager, "resolver_calls", field="slow") == 1
            assert value(manager, "resolver_seconds", field="slow") == 0
            call.let_go.set()
            await results.__anext__()
            assert value(manager, "resolver_seconds", field="slow") == 1


async def test_calls_that_time_out_are_timed_too():
    @subscription(channel="feed", timeout=0.01)
    async def never(event: Event) -> int:
        await asyncio.Event().wait()
        return 0

    async with SubscriptionManager([never]) as manager:
        async with manager.subscribe("subscription { never }") as results:
            await manager.publish("feed", 1)
            await results.__anext__()
        assert value(manager, "resolver_timeouts", field="never") == 1
        assert found(manager, "resolver_seconds", field="never").sum == pytest.approx(0.01)


async def test_the_memory_bus_is_timed_up_to_the_worker():
    async with SubscriptionManager([feed]) as manager:
        async with manager.subscribe("subscription { feed }") as results:
            await manager.publish("feed", 1)
            await results.__anext__()
        delay = found(manager, "bus_delay_seconds", engine="memory")
        assert delay.value == 1
        assert delay.sum > 0


async def test_the_age_of_a_connection_is_counted_when_it_ends(serve, connect):
    manager = SubscriptionManager([feed])
    server = await serve(manager)
    client = await connect(server.url)
    assert value(manager, "connection_age_seconds", protocol=WEBSOCKET) == 0
    await client.close()
    await eventually(
        lambda: value(manager, "connection_age_seconds", protocol=WEBSOCKET) == 1,
        "the connection has ended",
    )
    assert value(manager, "connections", protocol=WEBSOCKET) == 0


async def test_denials_are_counted_by_reason(serve):
    manager = SubscriptionManager([feed], security=Security(hosts=["example.org"]))
    server = await serve(manager)
    async with httpx.AsyncClient() as client:
        await client.post(server.http_url, json={"query": "{ __typename }"})
    assert value(manager, "denied", reason="host") == manager.metrics().denied_host == 1
    assert value(manager, "denied", reason="rate") == 0


async def test_many_fields_are_counted_together_past_a_bound():
    fields = [passthrough(f"field{n}", int, channel=f"c{n}") for n in range(60)]
    async with SubscriptionManager(fields) as manager:
        for n in range(60):
            async with manager.subscribe(f"subscription {{ field{n} }}"):
                pass
        started = [s for s in manager.samples() if s.name == "subscriptions_started"]
        assert len(started) == 51
        assert value(manager, "subscriptions_started", field="field0", protocol="in-process") == 1
        assert value(manager, "subscriptions_started", field="other", protocol="in-process") == 10
