"""Matching of events and subscriptions: channels, templates, types, filters."""

from __future__ import annotations

from typing import Any

import pytest

from fraiseql_subs import SubscriptionManager, passthrough, subscription

SDL = """
    scalar JSON
    type Query { ok: Boolean }
    enum Region { EU US }
    type Subscription {
        orders(userId: ID, region: Region, vip: Boolean, ids: [Int!]): JSON
    }
"""


async def matched(options: dict[str, Any], arguments: str, events: list[Any]) -> list[int]:
    """The numbers `n` of the events that a subscription with these arguments receives.

    An event is the data on the channel `orders`, or a dict of what `publish` takes.
    """
    field = passthrough("orders", **{"channel": "orders", **options})
    manager = SubscriptionManager([field], schema=SDL)
    async with manager, manager.subscribe(f"subscription {{ orders{arguments} }}") as stream:
        await manager.publish_many(
            event if "channel" in event else {"channel": "orders", "data": event}
            for event in events
        )
        await manager.close(drain=60.0)
        return [result.data["orders"]["n"] async for result in stream]


@pytest.mark.parametrize(
    ("options", "arguments", "events", "expected"),
    [
        (
            {},
            "",
            [{"n": 0}, {"channel": "other", "data": {"n": 1}}, {"n": 2}],
            [0, 2],
        ),
        (
            {"channel": "orders.{userId}"},
            '(userId: "7")',
            [
                {"channel": "orders.7", "data": {"n": 0}},
                {"channel": "orders.8", "data": {"n": 1}},
                {"channel": "orders", "data": {"n": 2}},
                {"channel": "orders.{userId}", "data": {"n": 3}},
            ],
            [0],
        ),
        (
            {"channel": "{region}.orders.{vip}"},
            "(region: EU, vip: true)",
            [
                {"channel": "EU.orders.true", "data": {"n": 0}},
                {"channel": "US.orders.true", "data": {"n": 1}},
                {"channel": "EU.orders.false", "data": {"n": 2}},
            ],
            [0],
        ),
        (
            {"event_types": ["new", "paid"]},
            "",
            [
                {"channel": "orders", "data": {"n": 0}, "event_type": "new"},
                {"channel": "orders", "data": {"n": 1}, "event_type": "gone"},
                {"channel": "orders", "data": {"n": 2}},
                {"channel": "orders", "data": {"n": 3}, "event_type": "paid"},
            ],
            [0, 3],
        ),
        (
            {"filter": {"user_id": "$userId"}},
            '(userId: "7")',
            [
                {"n": 0, "user_id": 7},
                {"n": 1, "user_id": "7"},
                {"n": 2, "user_id": 8},
                {"n": 3},
                {"n": 4, "user_id": None},
            ],
            [0, 1],
        ),
        (
            {"filter": {"user_id": "$userId"}},
            "",
            [{"n": 0, "user_id": 7}, {"n": 1}],
            [0, 1],
        ),
        (
            {"filter": {"user_id": "$userId"}},
            "(userId: null)",
            [{"n": 0, "user_id": 7}, {"n": 1, "user_id": None}, {"n": 2}],
            [1, 2],
        ),
        (
            {"filter": {"region": "eu", "vip": True}},
            "",
            [
                {"n": 0, "region": "eu", "vip": True},
                {"n": 1, "region": "eu", "vip": False},
                {"n": 2, "region": "us", "vip": True},
                {"n": 3, "region": "eu", "vip": "true"},
            ],
            [0],
        ),
        (
            {"filter": {"customer.address.region": "$region"}},
            "(region: EU)",
            [
                {"n": 0, "customer": {"address": {"region": "EU"}}},
                {"n": 1, "customer": {"address": {"region": "US"}}},
                {"n": 2, "customer": {"address": "EU"}},
                {"n": 3, "customer": None},
            ],
            [0],
        ),
        (
            {"filter": {"ids": "$ids"}},
            "(ids: [1, 2])",
            [{"n": 0, "ids": [1, 2]}, {"n": 1, "ids": [2, 1]}, {"n": 2, "ids": 1}],
            [0],
        ),
        (
            {"filter": {"price": "$$userId"}},
            "",
            [{"n": 0, "price": "$userId"}, {"n": 1, "price": 1}],
            [0],
        ),
        (
            {
                "channel": "orders.{userId}",
                "event_types": ["new"],
                "filter": {"region": "$region"},
            },
            "(userId: 7, region: US)",
            [
                {"channel": "orders.7", "data": {"n": 0, "region": "US"}, "event_type": "new"},
                {"channel": "orders.7", "data": {"n": 1, "region": "EU"}, "event_type": "new"},
                {"channel": "orders.7", "data": {"n": 2, "region": "US"}, "event_type": "old"},
                {"channel": "orders.8", "data": {"n": 3, "region": "US"}, "event_type": "new"},
            ],
            [0],
        ),
    ],
    ids=[
        "the channel",
        "a template",
        "a template of two arguments",
        "event types",
        "a filter on an argument",
        "an argument left out is no condition",
        "an argument that is null",
        "constants",
        "a nested path",
        "a list",
        "a dollar sign",
        "all together",
    ],
)
async def test_only_events_that_match_are_received(options, arguments, events, expected):
    assert await matched(options, arguments, events) == expected


async def test_a_channel_whose_argument_is_missing_is_an_error_of_the_request(serve, connect):
    manager = SubscriptionManager([passthrough("orders", channel="orders.{userId}")], schema=SDL)
    client = await connect((await serve(manager)).url)
    id = await client.subscribe("subscription { orders }")
    (error,) = await client.receive_errors(id)
    assert "userId" in error["message"]


async def test_each_of_many_subscribers_receives_its_own_events_only():
    @subscription(channel="orders.{userId}")
    async def orders(event, *, user_id: int) -> str:
        return f"{user_id}: {event.data}"

    async with SubscriptionManager([orders]) as manager:
        document = "subscription($id: Int!) { orders(userId: $id) }"
        streams = [manager.subscribe(document, {"id": number}) for number in range(200)]
        for stream in streams:
            await stream.__aenter__()
        await manager.publish_many((f"orders.{n}", n) for n in range(200))
        for number, stream in enumerate(streams):
            assert (await anext(stream)).data == {"orders": f"{number}: {number}"}
        assert manager.metrics().events_matched == 200
        assert manager.metrics().resolver_calls == 200


async def test_equal_passthroughs_are_projected_once_for_all(serve, connect):
    manager = SubscriptionManager([passthrough("orders", channel="orders")], schema=SDL, workers=1)
    client = await connect((await serve(manager)).url)
    equal = [await client.subscribe("subscription { orders }") for _ in range(5)]
    other = await client.subscribe("subscription { mine: orders }")
    assert manager.metrics().groups == 2
    await manager.publish("orders", {"n": 1})
    received = {}
    for _ in range(6):
        message = await client.receive()
        received[message["id"]] = message["payload"]["data"]
    assert received == {
        **{id: {"orders": {"n": 1}} for id in equal},
        other: {"mine": {"n": 1}},
    }
    assert manager.metrics().group_projections == 2
    for id in [*equal, other]:
        await client.complete(id)
    # The actor of the last subscription ends after the answer to its `complete`.
    await client.settle()
    assert manager.metrics().groups == manager.metrics().subscriptions == 0
