"""What is dropped, ended and faulty, counted by field and reason."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support import eventually

from fraiseql_subs import Event, Limits, SubscriptionManager, passthrough, subscription

BIG = "x" * 10_000
SDL = "type Query { ok: Boolean } type Subscription { big: String small: String }"


def big_and_small(policy: Any, **limits: Any) -> SubscriptionManager:
    return SubscriptionManager(
        [passthrough("big", channel="big"), passthrough("small", channel="small")],
        schema=SDL,
        limits=Limits(slow_consumer=policy, **limits),
    )


def values(manager: SubscriptionManager, name: str, *labels: str) -> dict[Any, int]:
    """Return what is counted, by these labels; zeros are left out."""
    found: dict[Any, int] = {}
    for sample in manager.samples():
        if sample.name == name and sample.value:
            assert set(sample.labels) == set(labels)
            found[tuple(sample.labels[label] for label in labels)] = sample.value
    return found


@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
async def test_dropped_results_are_counted_by_field(policy):
    manager = big_and_small(policy, max_pending_bytes=100_000)
    async with (
        manager,
        manager.subscribe("subscription { big }"),
        manager.subscribe("subscription { big }") as healthy,
        manager.subscribe("subscription { small }") as small,
    ):
        for _ in range(20):
            await manager.publish("big", BIG)
            await anext(healthy)
        await manager.publish("small", "x")
        await anext(small)
        dropped = manager.metrics().results_dropped
        assert dropped > 0
        by_field = values(manager, "results_dropped", "field", "protocol")
        assert by_field == {("big", "in-process"): dropped}


async def test_what_a_result_displaces_is_counted_for_its_own_field(serve, connect):
    """A connection has one queue: results of one field are dropped for those of another."""
    manager = big_and_small("drop_oldest", max_pending_bytes=100_000, keepalive=None)
    server = await serve(manager)
    slow, healthy = await connect(server.url, max_queue=1), await connect(server.url)
    for document in ("subscription { big }", "subscription { small }"):
        await slow.subscribe(document)
    id = await healthy.subscribe("subscription { small }")
    for _ in range(2000):
        await manager.publish("big", BIG)
        await manager.publish("small", "x")
        await healthy.receive_data(id)
        if len(values(manager, "results_dropped", "field", "protocol")) == 2:
            break
    dropped = values(manager, "results_dropped", "field", "protocol")
    assert set(dropped) == {(name, "graphql-transport-ws") for name in ("big", "small")}
    assert sum(dropped.values()) == manager.metrics().results_dropped


REASONS = ("field", "reason")


async def test_a_client_that_is_ended_is_counted_by_field_and_reason(serve, connect):
    manager = big_and_small("disconnect", max_pending_bytes=100_000)
    async with manager, manager.subscribe("subscription { big }"):
        async with manager.subscribe("subscription { small }") as small:
            for _ in range(20):
                await manager.publish("big", BIG)
            await manager.publish("small", "x")
            await anext(small)
        assert values(manager, "slow_consumer_disconnects", *REASONS) == {("big", "client"): 1}
        assert manager.metrics().slow_consumer_disconnects == 1


async def test_a_resolver_that_is_too_slow_is_another_reason(within):
    entered, let_go = asyncio.Event(), asyncio.Event()

    @subscription(channel="feed", timeout=None)
    async def slow(event: Event) -> int:
        entered.set()
        await let_go.wait()
        return int(event.data)

    async with SubscriptionManager([slow]) as manager:
        async with manager.subscribe("subscription { slow }"):
            await manager.publish("feed", 0)
            await within(entered.wait())
            batch = [{"channel": "feed", "data": n} for n in range(1000)]
            for _ in range(17):
                await manager.publish_many(batch)
            await eventually(lambda: manager.metrics().slow_consumer_disconnects, "it is ended")
        counted = values(manager, "slow_consumer_disconnects", *REASONS)
        assert counted == {("slow", "resolver"): 1}


async def test_values_are_counted_by_field_and_reason():
    class Order:
        @property
        def id(self) -> int:
            raise LookupError("no row")

    @subscription(channel="orders")
    async def order(event: Event) -> Any:
        return Order()

    @subscription(channel="orders")
    async def count(event: Event) -> Any:
        return "many"

    feed = passthrough("feed", channel="orders")
    schema = """
        type Query { a: Int } type Order { id: Int }
        type Subscription { order: Order count: Int feed: Int quiet: Int }
    """
    quiet = passthrough("quiet", channel="quiet")
    manager = SubscriptionManager([order, count, feed, quiet], schema=schema)
    async with manager, manager.subscribe("subscription { quiet }"):
        for document in ("{ order { id } }", "{ count }", "{ feed }", "{ other: feed }"):
            async with manager.subscribe(f"subscription {document}") as results:
                await manager.publish("orders", "none")
                assert (await anext(results)).errors
        assert values(manager, "field_errors", *REASONS) == {
            ("order", "raised"): 1,
            ("count", "misfit"): 1,
            ("feed", "misfit"): 2,
        }
        assert manager.metrics().field_errors == 4
        # A first fault is an increase, so the series is there before it.
        labels = [sample.labels for sample in manager.samples() if sample.name == "field_errors"]
        assert {"field": "quiet", "reason": "misfit"} in labels
