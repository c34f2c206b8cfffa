"""Bounds of resuming: large replays, slow clients, tenants, security rules."""

from __future__ import annotations

import asyncio

import pytest
from histories import FEED, KINDS, after, begin, every_kind, missed, plain, publish, receive
from support import eventually
from support.progress import clients_left, recorded
from support.protocol_client import ProtocolClient

from fraiseql_subs import (
    SKIP,
    History,
    Identity,
    Limits,
    RowFilter,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
    subscription,
)


async def test_a_busy_channel_takes_nothing_from_a_quiet_one(serve, connect):
    busy = passthrough("busy", int, channel="busy")
    manager = SubscriptionManager([plain(), busy], history=History(events=3))
    server = await serve(manager)
    client = await connect(server.url)
    _, stands = await begin(client)
    client.kill()
    await publish(manager, 1)
    for number in range(100):
        await manager.publish("busy", number)
    client = await connect(server.url)
    id = await client.subscribe(FEED, extensions=after(stands))
    assert (await receive(client, id))[0] == 1


async def test_missed_events_are_sent_only_to_the_resuming_subscription(serve, connect):
    manager = SubscriptionManager([plain()])
    client = await connect((await serve(manager)).url)
    id, stands = await begin(client)
    await publish(manager, 1)
    assert (await receive(client, id))[0] == 1
    again = await client.subscribe(FEED, extensions=after(stands))
    assert (await receive(client, again))[0] == 1
    await publish(manager, 2)
    received = sorted([await client.receive(), await client.receive()], key=lambda m: m["id"])
    assert [m["id"] for m in received] == sorted([id, again])
    assert [m["payload"]["data"] for m in received] == [{"feed": 2}] * 2


@pytest.mark.parametrize("kind", ["passthrough", "resolver", "shared"])
async def test_security_rules_apply_to_missed_events(kind, serve, connect):
    async def authenticate(params):
        tenant, user = params.payload["who"].split(".")
        return Identity(user, tenant_id=tenant)

    manager = SubscriptionManager(
        [passthrough("feed", int, channel="feed")]
        if kind == "passthrough"
        else [
            subscription(channel="feed", name="feed", shared=kind == "shared")(
                lambda event: event.data["feed"]
            )
        ],
        schema=None
        if kind == "passthrough"
        else "type Query { ok: Int } type Subscription { feed: Int }",
        security=Security(
            authenticate=authenticate,
            tenant=TenantIsolation(),
            rows=[RowFilter(channel="feed", where={"user": "$identity.user_id"})],
        ),
    )
    server = await serve(manager)
    stands = {}
    for who in ("a.ada", "a.bob", "b.ada"):
        client = await connect(server.url, {"who": who})
        _, stands[who] = await begin(client)
        client.kill()
    for number, who in enumerate(["a.ada", "b.ada", "a.bob", "a.ada"]):
        tenant, user = who.split(".")
        data = {"feed": number, "user": user}
        await manager.publish("feed", data, tenant_id=tenant, event_id=f"own-{number}")
    for who, expected in {"a.ada": [0, 3], "a.bob": [2], "b.ada": [1]}.items():
        client = await connect(server.url, {"who": who})
        id = await client.subscribe(FEED, extensions=after(stands[who]))
        if kind == "passthrough":
            # An object is not an Int, so each event that is received causes an error.
            results = [await client.receive_next(id) for _ in expected]
            assert all("errors" in result for result in results)
        else:
            assert [(await receive(client, id))[0] for _ in expected] == expected
        await client.settle()
        assert not client.has_received
        # A publisher's ids are known only to clients that may see the events.
        operation = await client.subscribe(FEED, extensions=after(f"own-{expected[0]}"))
        for _ in expected[1:]:
            await client.receive_next(operation)
        await client.settle()
        assert not client.has_received
        operation = await client.subscribe(FEED, extensions=after(f"own-{(expected[0] + 1) % 3}"))
        await missed(client, operation)


async def test_routes_are_kept_and_skipped_events_stay_skipped(serve, connect):
    @subscription(
        channel="orders.{user}", event_types=["paid"], filter={"region": "$region"}, name="feed"
    )
    async def feed(event, *, user: int, region: str | None = None) -> int:
        return SKIP if event["n"] % 2 else event["n"]

    manager = SubscriptionManager([feed])
    server = await serve(manager)
    query = 'subscription { feed(user: 7, region: "eu") }'
    client = await connect(server.url)
    _, stands = await begin(client, query)
    client.kill()
    for number in range(20):
        await manager.publish(
            f"orders.{[7, 8][number % 3 == 0]}",
            {"n": number, "region": ["eu", "us"][number % 5 == 0]},
            event_type=["paid", "sent"][number % 7 == 0],
        )
    client = await connect(server.url)
    id = await client.subscribe(query, extensions=after(stands))
    expected = [n for n in range(20) if n % 3 and n % 5 and n % 7 and not n % 2]
    assert [(await receive(client, id))[0] for _ in expected] == expected
    await client.settle()
    assert not client.has_received


async def return_unread(manager: SubscriptionManager, client: ProtocolClient, last: str) -> None:
    """Subscribe as "1" after an id, and read no results."""
    payload = {"query": FEED, "extensions": after(last)}
    await client.send({"id": "1", "type": "subscribe", "payload": payload})
    await eventually(lambda: manager.metrics().events_replayed >= 10, "the replay has begun")


@pytest.mark.parametrize("kind", ["passthrough", "resolver"])
async def test_a_large_replay_keeps_to_the_bound_of_a_slow_client(kind, serve, connect):
    text = "x" * 10_000
    if kind == "passthrough":
        feed = passthrough("feed", str, channel="feed")
    else:

        @subscription(channel="feed", name="feed", concurrency=16)
        async def feed(event) -> str:
            return event.data

    manager = SubscriptionManager([feed], limits=Limits(max_pending_bytes=100_000))
    server = await serve(manager)
    client = await connect(server.url)
    _, stands = await begin(client)
    client.kill()
    await clients_left(manager)
    for _ in range(1000):
        await manager.publish("feed", text)
    client = await connect(server.url, max_queue=1)
    await return_unread(manager, client, stands)
    for _ in range(1000):
        assert (await client.receive_data("1")) == {"feed": text}
    assert manager.metrics().slow_consumer_disconnects == 0


async def test_a_client_that_loses_events_while_it_catches_up_is_notified(serve, connect):
    text = "x" * 10_000
    feed = passthrough("feed", str, channel="feed")
    limits = Limits(max_pending_bytes=50_000)
    manager = SubscriptionManager([feed], limits=limits, history=History(events=2_000))
    server = await serve(manager)
    client = await connect(server.url)
    _, stands = await begin(client)
    client.kill()
    await clients_left(manager)
    for _ in range(2_000):
        await manager.publish("feed", text)
    client = await connect(server.url, max_queue=1)
    await return_unread(manager, client, stands)
    for _ in range(2_000):
        await manager.publish("feed", "later")
    received = 0
    while (result := await client.receive_next("1"))["data"]:
        assert result["data"]["feed"] == text
        received += 1
    assert 10 <= received < 2_000
    assert result["extensions"]["resume"]["missed"] is True
    await manager.publish("feed", "live")
    # It may have gone live before the last one was published.
    while (data := await client.receive_data("1")) == {"feed": "later"}:
        pass
    assert data == {"feed": "live"}


@every_kind
async def test_a_drain_sends_missed_events_to_clients_that_catch_up(kind, connect):
    manager = SubscriptionManager([KINDS[kind]()])
    async with manager.serve(port=0) as server:
        client = await connect(server.url)
        _, stands = await begin(client)
        client.kill()
        await publish(manager, *range(500))
        client = await connect(server.url)
        id = await client.subscribe(FEED, extensions=after(stands))
        closing = asyncio.ensure_future(manager.close())
        assert [(await receive(client, id))[0] for _ in range(500)] == list(range(500))
        await client.expect_close(1001)
        await closing


async def test_memory_is_bounded():
    history = History(events=1_000_000, max_bytes=200_000)
    async with SubscriptionManager([plain()], history=history) as manager:
        await manager.publish_many(("feed", "x" * 1_000) for _ in range(2_000))
        await eventually(
            lambda: manager.metrics().events_published == 2_000, "the bus has taken all events"
        )
        metrics = manager.metrics()
        assert 100 < metrics.history_events < 200
        assert 100_000 < metrics.history_bytes <= 200_000


async def test_a_busy_tenant_takes_nothing_from_another(serve, connect):
    async def authenticate(params):
        return Identity("ada", tenant_id=params.payload["tenant"])

    security = Security(authenticate=authenticate, tenant=TenantIsolation())
    manager = SubscriptionManager([plain()], security=security, history=History(events=2))
    server = await serve(manager)
    stands = {}
    for tenant in ("quiet", "busy"):
        client = await connect(server.url, {"tenant": tenant})
        _, stands[tenant] = await begin(client)
        client.kill()
    await manager.publish("feed", 0, tenant_id="quiet")
    for number in range(1, 100):
        await manager.publish("feed", number, tenant_id="busy")
    await recorded(manager)
    client = await connect(server.url, {"tenant": "quiet"})
    id = await client.subscribe(FEED, extensions=after(stands["quiet"]))
    assert (await receive(client, id))[0] == 0
    client = await connect(server.url, {"tenant": "busy"})
    id = await client.subscribe(FEED, extensions=after(stands["busy"]))
    await missed(client, id)
