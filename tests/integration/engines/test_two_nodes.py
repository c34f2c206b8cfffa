"""Two nodes of one bus: events of each node reach the subscribers of both."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from declared import node
from nodes import KINDS, managers, take, two

from fraiseql_subs import Identity, Security, SubscriptionManager, TenantIsolation, subscription

LAST = 999
"""The last event: after it, a subscriber has received all others."""

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
async def test_events_of_either_node_reach_clients_of_both_once_and_in_order(kind, redis, connect):
    async with two(kind, redis.url) as nodes:
        clients = [await connect(each.url) for each in nodes for _ in range(2)]
        for client in clients:
            await client.subscribe("subscription { feed }")
        for number in range(20):
            await nodes[number % 2].publish(("feed", number))
        await nodes[0].publish(("feed", LAST))
        for client in clients:
            received = [(await client.receive_data())["feed"] for _ in range(21)]
            assert received == [*range(20), LAST]


@every_kind
async def test_nodes_that_publish_at_once_are_received_in_one_order(kind, redis, connect):
    async with two(kind, redis.url) as nodes:
        clients = [await connect(each.url) for each in nodes]
        for client in clients:
            await client.subscribe("subscription { feed }")

        async def publish(which, numbers) -> None:
            for number in numbers:
                await nodes[which].publish(("feed", number))

        halves = [range(0, 100), range(100, 200)]
        await asyncio.gather(*[publish(which, half) for which, half in enumerate(halves)])
        orders = []
        for client in clients:
            orders.append([(await client.receive_data())["feed"] for _ in range(200)])
        assert orders[0] == orders[1]
        for half in halves:
            assert [number for number in orders[0] if number in half] == list(half)


@every_kind
async def test_a_batch_keeps_its_order_on_the_other_node(kind, redis, connect):
    async with two(kind, redis.url) as (a, b):
        client = await connect(b.url)
        await client.subscribe("subscription { feed }")
        receipts = await a.publish(*[("feed", number) for number in range(500)])
        assert [(await client.receive_data())["feed"] for _ in range(500)] == list(range(500))
        offsets = [int(position.rpartition("-")[2]) for _, position in receipts]
        assert offsets == list(range(offsets[0], offsets[0] + 500))


@every_kind
async def test_the_position_of_a_receipt_is_the_id_that_clients_of_both_nodes_are_told(
    kind, redis, connect
):
    async with two(kind, redis.url) as (a, b):
        clients = [await connect(each.url) for each in (a, b)]
        for client in clients:
            await client.subscribe("subscription { feed }", extensions={"resume": {}})
            assert (await client.receive_next())["extensions"]["resume"]["missed"] is False
        told = [*await a.publish(("feed", 1)), *await b.publish(("feed", 2))]
        for client in clients:
            for number, (event_id, position) in enumerate(told, 1):
                result = await client.receive_next()
                assert result["data"] == {"feed": number}
                assert result["extensions"]["resume"]["id"] == position == event_id


@every_kind
async def test_an_event_that_is_published_again_with_its_id_is_one_event(kind, redis, connect):
    async with two(kind, redis.url) as (a, b):
        clients = [await connect(each.url) for each in (a, b)]
        for client in clients:
            await client.subscribe("subscription { feed }")
        event = {"channel": "feed", "data": 1, "event_id": "mine"}
        first = await a.publish(event)
        again = [*await a.publish(event), *await b.publish({**event, "data": 2})]
        assert first[0][0] == "mine" and again == first * 2
        await b.publish(("feed", LAST))
        for client in clients:
            assert [(await client.receive_data())["feed"] for _ in range(2)] == [1, LAST]


async def test_receipts_of_a_retried_event_are_equal_on_every_node(redis):
    async with managers(redis.url) as (a, b):
        first = await a.publish("feed", 1, event_id="mine")
        assert await a.publish("feed", 1, event_id="mine") == first
        assert await b.publish("feed", 1, event_id="mine") == first
        assert (await b.publish("feed", 1, event_id="other")).offset == first.offset + 1
        # The same id on another channel is another event.
        elsewhere = await b.publish("orders", 1, event_id="mine")
        assert elsewhere != first and elsewhere.offset == 1


async def test_a_subscriber_is_sent_every_event_that_is_published_after_it_is_registered(redis):
    """A node gets an interest in the channel before the subscription is confirmed."""
    async with managers(redis.url) as (a, b):
        for attempt in range(20):
            channel = f"channel {attempt}"
            query = "subscription Feed($channel: String!) { anyChannel(channel: $channel) }"
            async with b.subscribe(query, {"channel": channel}) as results:
                await a.publish(channel, attempt)
                assert await take(results, 1) == [attempt]


async def test_types_and_filters_select_the_events_of_the_other_node(redis):
    events = [
        {"channel": "orders", "data": {"id": id, "user_id": user}, "event_type": kind}
        for id, (user, kind) in enumerate(
            [(7, "paid"), (8, "paid"), (7, "sent"), (7, None), (7, "placed"), (8, "placed")]
        )
    ]
    async with managers(redis.url) as (a, b):
        async with (
            b.subscribe("subscription { order(userId: 7) }") as of_one,
            b.subscribe("subscription { order }") as of_all,
        ):
            await a.publish_many(events)
            assert await take(of_one, 2) == ["paid 0", "placed 4"]
            assert await take(of_all, 4) == ["paid 0", "paid 1", "placed 4", "placed 5"]


async def test_resolvers_of_every_kind_see_the_events_of_the_other_node(redis):
    fields = ["feed", "even", "shared", "shared", "counted"]
    async with managers(redis.url) as (a, b), contextlib.AsyncExitStack() as stack:
        feed, even, shared, also_shared, counted = [
            await stack.enter_async_context(b.subscribe(f"subscription {{ {field} }}"))
            for field in fields
        ]
        # The initial value is from before the events.
        assert await take(counted, 1) == [0]
        await a.publish_many([("feed", number) for number in range(1, 5)])
        await b.publish("feed", 6)
        assert await take(even, 3) == [2, 4, 6]
        for results in (feed, shared, also_shared, counted):
            assert await take(results, 5) == [1, 2, 3, 4, 6]


async def test_a_shared_resolver_is_called_once_for_an_event_on_each_node(redis):
    calls = []

    def make():
        @subscription(channel="feed", shared=True)
        async def feed(event) -> int:
            calls.append(event.data)
            return event.data

        return SubscriptionManager([feed], bus=redis.url, workers=1)

    async with make() as a, make() as b, contextlib.AsyncExitStack() as stack:
        subscribers = [
            await stack.enter_async_context(each.subscribe("subscription { feed }"))
            for each in (a, a, b, b)
        ]
        await a.publish_many([("feed", 1), ("feed", 2)])
        for results in subscribers:
            assert await take(results, 2) == [1, 2]
        assert sorted(calls) == [1, 1, 2, 2]


async def test_resolvers_find_the_envelope_of_an_event_of_the_other_node(redis):
    async with managers(redis.url) as (a, b):
        async with (
            a.subscribe("subscription { envelope }") as there,
            b.subscribe("subscription { envelope }") as here,
        ):
            named = await b.publish(
                "envelopes", {}, event_type="paid", tenant_id="acme", event_id="mine"
            )
            plain = await b.publish("envelopes", {})
            for results in (there, here):
                assert await take(results, 2) == [
                    ["mine", "paid", "acme", str(named.offset), "envelopes"],
                    [plain.event_id, None, None, str(plain.offset), "envelopes"],
                ]


async def test_an_event_of_a_tenant_never_reaches_another_on_any_node(redis):
    security = Security(tenant=TenantIsolation())
    tenants = ["acme", "other", "acme:feed", "a%cme", "ACME", "ácme", "*"]
    async with (
        managers(redis.url, security=security) as nodes,
        contextlib.AsyncExitStack() as stack,
    ):
        subscribers = [
            (
                tenant,
                await stack.enter_async_context(
                    each.subscribe(
                        "subscription { feed }", identity=Identity("ada", tenant_id=tenant)
                    )
                ),
            )
            for each in nodes
            for tenant in tenants
        ]
        numbers = {tenant: [] for tenant in tenants}
        for number in range(5 * len(tenants)):
            tenant = tenants[number % len(tenants)]
            receipt = await nodes[number % 2].for_tenant(tenant).publish("feed", number)
            numbers[tenant].append(number)
            assert receipt.offset == len(numbers[tenant])
        for tenant, results in subscribers:
            assert await take(results, 5) == numbers[tenant]
        for each in nodes:
            await each.publish("feed", LAST, tenant_id="acme")
        for tenant, results in subscribers:
            if tenant == "acme":
                assert await take(results, 2) == [LAST, LAST]


async def test_the_tenant_that_the_data_names_is_that_of_the_stream(redis):
    security = Security(tenant=TenantIsolation(event_field="user_id"))
    async with managers(redis.url, security=security) as (a, b):
        ada = Identity("ada", tenant_id="acme")
        async with b.subscribe("subscription { order }", identity=ada) as results:
            for id, tenant in enumerate(["other", "acme", "other", "acme"]):
                await a.publish("orders", {"id": id, "user_id": tenant}, event_type="paid")
            assert await take(results, 2) == ["paid 1", "paid 3"]


async def test_without_isolation_tenants_share_the_channel_of_all_nodes(redis):
    async with managers(redis.url) as (a, b):
        async with b.subscribe("subscription { feed }") as results:
            offsets = [
                (await each.publish("feed", number, tenant_id=tenant)).offset
                for number, (each, tenant) in enumerate([(a, "acme"), (b, "other"), (a, None)])
            ]
            assert await take(results, 3) == [0, 1, 2]
            assert offsets == [1, 2, 3]


async def test_buses_with_different_prefixes_share_a_server_and_no_events(redis):
    async with (
        node(f"{redis.url}?prefix=one") as one,
        node(f"{redis.url}?prefix=two") as two,
        one.subscribe("subscription { feed }") as of_one,
        two.subscribe("subscription { feed }") as of_two,
    ):
        for number in range(4):
            await (one, two)[number % 2].publish("feed", number)
        assert await take(of_one, 2) == [0, 2]
        assert await take(of_two, 2) == [1, 3]


async def test_a_bus_without_history_reaches_the_subscribers_of_every_node(redis):
    async with managers(f"{redis.url}?history=off") as (a, b):
        async with (
            a.subscribe("subscription { feed }") as of_a,
            b.subscribe("subscription { feed }") as of_b,
        ):
            await a.publish("feed", 1)
            await b.publish("feed", 2)
            assert await take(of_a, 2) == await take(of_b, 2) == [1, 2]
