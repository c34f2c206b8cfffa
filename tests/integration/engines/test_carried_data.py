"""An event arrives on another node as it does in one process: data, names, sizes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from typing import Any

import pytest
from nodes import managers, take

from fraiseql_subs import (
    Event,
    Identity,
    Limits,
    PublishError,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
    subscription,
)

UTC = datetime.timezone.utc


class Status(enum.Enum):
    PAID = "paid"


@dataclasses.dataclass
class Order:
    id: int
    at: datetime.datetime


DATA: list[Any] = [
    *[None, True, False, 0, -1, 1, "", "text", [], {}, [[]], {"": {"": []}}, [None]],
    # Numbers keep their kind, and every digit.
    *[0.0, -0.0, 1.0, 0.1, 1e16, 1e300, 5e-324, 1.7976931348623157e308, -1.5e-7],
    *[0.30000000000000004, 123456789.123456789, 1e22, 1e23],
    *[2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1],
    *["é", "日本", "🎉", "\0", "\x1f", '"\\/\b\f\n\r\t', "\u2028", "\ufeff", "\x7f"],
    {"ключ": 1, "\0": 2, "a.b": {"c": 3}, "$each": [1.0, 1, True]},
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
    datetime.datetime(2026, 1, 2, 3, 4, 5),
    *[datetime.date(2026, 1, 2), datetime.time(3, 4, 5), decimal.Decimal("1.50")],
    *[uuid.UUID(int=5), Status.PAID, Order(1, datetime.datetime(2026, 1, 2, tzinfo=UTC))],
    {"z": 1, "a": 2, "m": 3},
    [0] * 10_000,
]


def shown(data: Any) -> str:
    """Return data as a text in which 1, 1.0 and True differ, and the order of keys counts."""
    return json.dumps(data, ensure_ascii=False)


async def read_from(publishing: SubscriptionManager, receiving: Any, seen: list[str]) -> list[str]:
    """Publish all data; return them as the resolver of another manager has read them."""
    async with receiving.subscribe("subscription { read }") as results:
        for data in DATA:
            await publishing.publish("feed", data)
            await take(results, 1)
    return seen


def reading(bus: str) -> tuple[SubscriptionManager, list[str]]:
    seen: list[str] = []

    @subscription(channel="feed")
    async def read(event: Event) -> int:
        seen.append(shown(event.data))
        return 1

    return SubscriptionManager([read], bus=bus, workers=1), seen


async def test_resolvers_read_the_data_that_they_read_in_one_process(redis):
    alone, in_one_process = reading("memory://")
    async with alone:
        await read_from(alone, alone, in_one_process)
    (a, _), (b, on_another_node) = reading(redis.url), reading(redis.url)
    async with a, b:
        await read_from(a, b, on_another_node)
    assert on_another_node == in_one_process


async def test_clients_are_sent_the_data_that_they_are_sent_in_one_process(redis):
    fields = [passthrough("plain", dict[str, Any], channel="feed")]
    sdl = "scalar JSON type Query { ok: Int } type Subscription { plain: JSON }"

    def make(bus: str) -> SubscriptionManager:
        return SubscriptionManager(fields, schema=sdl, bus=bus, workers=1)

    async def sent(publishing: SubscriptionManager, receiving: SubscriptionManager) -> list[str]:
        async with receiving.subscribe("subscription { plain }") as results:
            await publishing.publish_many([("feed", {"data": data}) for data in DATA])
            return [shown(value) for value in await take(results, len(DATA))]

    async with make("memory://") as alone:
        in_one_process = await sent(alone, alone)
    async with make(redis.url) as a, make(redis.url) as b:
        assert await sent(a, b) == in_one_process
        assert await sent(b, b) == in_one_process


NAMES = [
    *["a", "A", ":", ".", "%", " ", "a:b", "a%3Ab", "a%3ab", "a.b", "a b", "a*b", "a?b", "[ab]"],
    *["{a}", "{", "}", "{}", "a{b}c", "fs1", "fs1:{0}:m", "layout", "\n", "\r\n", "\t", "\0"],
    *["é", "e\u0301", "日本", "🎉", "-", "_", "~", "/", "\\", "'", '"', "$", "#", "a\ud7ffb"],
    *["x" * 100, "x" * 199, "x" * 200, "x" * 201, "x" * 250, "x" * 249 + "y", "é" * 120],
    *[" " * 80, " " * 81, "~" + "0" * 64],
]


async def test_channels_of_every_name_are_told_apart_on_another_node(redis):
    query = "subscription Feed($channel: String!) { anyChannel(channel: $channel) }"
    async with managers(redis.url) as (a, b), contextlib.AsyncExitStack() as stack:
        subscribers = [
            await stack.enter_async_context(b.subscribe(query, {"channel": name})) for name in NAMES
        ]
        for _ in range(2):
            await a.publish_many([(name, number) for number, name in enumerate(NAMES)])
        for number, results in enumerate(subscribers):
            assert await take(results, 2) == [number, number], NAMES[number]


async def test_tenants_of_every_name_are_told_apart_on_another_node(redis):
    security = Security(tenant=TenantIsolation())
    query = "subscription Feed($channel: String!) { anyChannel(channel: $channel) }"
    # The same text, split at every place.
    places = [("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("a", "b%3Ac"), ("a.b", "c")]
    places += [(name, "feed") for name in NAMES] + [("feed", name) for name in NAMES]
    async with (
        managers(redis.url, security=security) as (a, b),
        contextlib.AsyncExitStack() as stack,
    ):
        subscribers = [
            await stack.enter_async_context(
                b.subscribe(query, {"channel": channel}, identity=Identity("ada", tenant_id=tenant))
            )
            for tenant, channel in places
        ]
        for _ in range(2):
            for number, (tenant, channel) in enumerate(places):
                await a.publish(channel, number, tenant_id=tenant)
        for number, results in enumerate(subscribers):
            assert await take(results, 2) == [number, number], places[number]


async def test_ids_and_types_of_every_text_arrive(redis):
    async with managers(redis.url) as (a, b):
        async with b.subscribe("subscription { envelope }") as results:
            for number, text in enumerate(NAMES, 1):
                receipt = await a.publish("envelopes", {}, event_type=text, event_id=text)
                assert receipt.event_id == text
                assert await b.publish("envelopes", {}, event_id=text) == receipt
                found = await take(results, 1)
                assert found == [[text, text, None, str(number), "envelopes"]]


@pytest.mark.parametrize("where", ["channel", "event_type", "tenant_id", "event_id"])
async def test_texts_that_are_too_long_are_refused_at_the_call(where, redis):
    async with managers(redis.url) as (a, b):
        async with b.subscribe("subscription { feed }") as results:
            event = {"channel": "feed", "data": 1, where: "x" * 100_000}
            with pytest.raises(PublishError, match="100000 bytes") as refused:
                await a.publish(**event)
            assert not refused.value.retryable and refused.value.outcome == "not_sent"
            with pytest.raises(PublishError, match="100000 bytes"):
                await a.publish_many([("feed", 2), event])
            await a.publish("feed", 3)
            assert await take(results, 1) == [3]


def big(bytes: int) -> str:
    return "x" * bytes


async def test_big_events_arrive_on_the_other_node(redis):
    texts = passthrough("texts", str, channel="texts")

    def make() -> SubscriptionManager:
        limits = Limits(max_pending_bytes=64 * 2**20)
        return SubscriptionManager([texts], bus=redis.url, workers=1, limits=limits)

    async with make() as a, make() as b, b.subscribe("subscription { texts }") as results:
        for size in (10, 64 * 1024, 900 * 1024, 1):
            await a.publish("texts", big(size))
        assert [len(text) for text in await take(results, 4)] == [10, 65536, 921600, 1]
        await a.publish_many([("texts", big(900 * 1024)) for _ in range(20)])
        for _ in range(20):
            assert [len(text) for text in await take(results, 1)] == [900 * 1024]


async def test_an_event_that_is_too_large_is_refused_at_the_call_and_harms_no_other(redis):
    async with managers(redis.url) as (a, b):
        async with b.subscribe("subscription { feed }") as results:
            for call in (
                lambda: a.publish("feed", big(2**20)),
                lambda: a.publish_many([("feed", 1), ("feed", big(2**20))]),
            ):
                with pytest.raises(PublishError, match="bytes") as refused:
                    call()
                assert not refused.value.retryable and refused.value.outcome == "not_sent"
                assert "x" * 100 not in str(refused.value)
            with pytest.raises(PublishError, match=r"events\[1\]: the event has"):
                await a.publish_many([("feed", 1), ("feed", big(2**20))])
            await a.publish("feed", 3)
            assert await take(results, 1) == [3]


async def test_data_that_are_too_deep_are_refused_or_arrive(redis):
    """What one process accepts, another can read: no event is lost because of its depth."""
    deepest: Any = 1
    async with managers(redis.url) as (a, b):
        async with b.subscribe("subscription { envelope }") as results:
            for depth in range(1, 200):
                deepest = [deepest]
                try:
                    await a.publish("envelopes", deepest)
                except PublishError:
                    assert depth > 64
                    break
                await asyncio.wait_for(anext(results), 60)
            await a.publish("envelopes", 1, event_id="last")
            assert (await take(results, 1))[0][0] == "last"
