"""Slow consumers: queues are bounded, the policy applies, other clients are unaffected."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from support import eventually
from support.progress import clients_left
from support.raw_http import handshake
from support.raw_websocket import message
from support.resolvers import HeldCall
from websockets.exceptions import ConnectionClosed

from fraiseql_subs import Limits, SubscriptionManager, ValidationError, passthrough, subscription

pytestmark = pytest.mark.attack

BIG = "x" * 10_000
FEED = "subscription { feed }"

SDL = "scalar JSON type Query { ok: Boolean } type Subscription { feed: JSON other: JSON }"


def make_manager(
    policy: str, pending: int = 100_000, keepalive: float | None = None
) -> SubscriptionManager:
    return SubscriptionManager(
        [passthrough("feed", channel="feed"), passthrough("other", channel="feed")],
        schema=SDL,
        limits=Limits(slow_consumer=policy, max_pending_bytes=pending, keepalive=keepalive),
    )


def small_socket(port: int) -> socket.socket:
    """A connected socket with a small receive buffer, so that the server's side fills soon."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", port))
    return plain


async def slow_client(connect: Any, server: Any) -> Any:
    """A client whose library reads a message only when the test calls it."""
    return await connect(server.url, sock=small_socket(server.port), max_queue=1)


async def publish(manager: SubscriptionManager, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        await manager.publish("feed", {"n": number, "text": BIG})


async def publish_to(healthy: Any, id: str, manager: SubscriptionManager) -> None:
    """Publish a thousand events, each after a client has received the one before."""
    for number in range(1000):
        await publish(manager, 1, number)
        assert (await healthy.receive_data(id))["feed"]["n"] == number


async def test_disconnect_ends_the_connection_that_does_not_read(serve, connect):
    manager = make_manager("disconnect")
    server = await serve(manager)
    healthy = await connect(server.url)
    id = await healthy.subscribe(FEED)
    slow = await slow_client(connect, server)
    await slow.subscribe(FEED)
    publishing = asyncio.ensure_future(publish_to(healthy, id, manager))
    # The client has some seconds to read the close; it reads as soon as it is disconnected.
    await eventually(lambda: manager.metrics().slow_consumer_disconnects, "it is disconnected")
    # The messages in the kernel's buffers arrive in order, then the close.
    with pytest.raises(ConnectionClosed) as ended:
        for number in range(1000):
            assert (await slow.receive_data())["feed"]["n"] == number
    assert ended.value.rcvd.code == 1013
    assert ended.value.rcvd.reason == "Results were taken too slowly"
    await publishing
    assert manager.metrics().slow_consumer_disconnects == 1


async def test_drop_oldest_keeps_the_newest_in_order_and_counts_the_rest(serve, connect):
    manager = make_manager("drop_oldest")
    server = await serve(manager)
    healthy = await connect(server.url)
    id = await healthy.subscribe(FEED)
    slow = await slow_client(connect, server)
    await slow.subscribe(FEED)
    await publish_to(healthy, id, manager)
    seen = []
    while not seen or seen[-1] != 999:
        seen.append((await slow.receive_data())["feed"]["n"])
    assert seen == sorted(set(seen))
    metrics = manager.metrics()
    assert metrics.results_dropped == 1000 - len(seen) > 0
    assert metrics.slow_consumer_disconnects == 0


async def test_latest_keeps_the_newest_of_each_subscription(serve, connect):
    manager = make_manager("latest")
    server = await serve(manager)
    healthy = await connect(server.url)
    id = await healthy.subscribe(FEED)
    slow = await slow_client(connect, server)
    ids = {await slow.subscribe(FEED), await slow.subscribe("subscription { other }")}
    await publish_to(healthy, id, manager)
    last: dict[str, list[int]] = {id: [] for id in ids}
    while any(999 not in seen for seen in last.values()):
        message = await slow.receive()
        (value,) = message["payload"]["data"].values()
        last[message["id"]].append(value["n"])
    for seen in last.values():
        assert seen == sorted(set(seen))
    assert manager.metrics().results_dropped > 0


async def test_a_client_that_sends_and_never_reads_is_ended(serve, within):
    """The server does not read from a client that takes no answers; then the keepalive ends it."""
    manager = make_manager("drop_oldest", keepalive=0.2)
    server = await serve(manager)
    plain = small_socket(server.port)
    _, writer = await asyncio.open_connection(sock=plain, limit=1)
    writer.write(handshake())
    frame = message({"type": "ping", "payload": {"text": "x" * 100}})

    async def flood() -> None:
        try:
            while True:
                writer.write(frame * 100)
                await writer.drain()
        except ConnectionError:
            pass

    await within(flood())
    await clients_left(manager)
    writer.close()


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("drop_oldest", list(range(991, 1000))), ("latest", [999])],
)
async def test_an_in_process_subscriber_that_iterates_late_gets_what_the_policy_kept(policy, kept):
    manager = make_manager(policy)
    async with manager, manager.subscribe(FEED) as stream, manager.subscribe(FEED) as healthy:
        for number in range(1000):
            await publish(manager, 1, number)
            assert (await anext(healthy)).data["feed"]["n"] == number
        # One thread serves both: when it answers one client, it has sent to the other.
        async with manager.subscribe(FEED):
            pass
        assert [(await anext(stream)).data["feed"]["n"] for _ in kept] == kept
        assert manager.metrics().results_dropped == 1000 - len(kept)


async def test_an_in_process_subscriber_that_does_not_iterate_is_ended_with_an_error():
    manager = make_manager("disconnect")
    async with manager, manager.subscribe(FEED) as stream, manager.subscribe(FEED) as healthy:
        for number in range(20):
            await publish(manager, 1, number)
            assert (await anext(healthy)).data["feed"]["n"] == number
        with pytest.raises(ValidationError, match="more than 100000 bytes of results"):
            await anext(stream)
        assert manager.metrics().slow_consumer_disconnects == 1


@pytest.mark.parametrize(
    ("policy", "dropped"),
    [("disconnect", None), ("drop_oldest", 1), ("latest", 16_384)],
)
async def test_the_policy_applies_to_a_slow_resolver_and_affects_no_other(policy, dropped, within):
    call = HeldCall()

    @subscription(channel="feed")
    def quick(event) -> int:
        return event.data

    limits = Limits(slow_consumer=policy)
    manager = SubscriptionManager([call.declare(timeout=None), quick], limits=limits)
    async with (
        manager,
        manager.subscribe("subscription { slow }") as stream,
        manager.subscribe("subscription { quick }") as healthy,
    ):
        await manager.publish("feed", 0)
        await within(call.entered.wait())
        assert (await anext(healthy)).data == {"quick": 0}
        # One event is being resolved and 16,384 may wait. One more is too many.
        for number in range(1, 16_386):
            await manager.publish("feed", number)
            if number % 1000 == 0 or number == 16_385:
                while (await anext(healthy)).data["quick"] != number:
                    pass
        metrics = manager.metrics()
        if dropped is None:
            assert metrics.events_dropped == 16_385
            with pytest.raises(ValidationError, match="more than 16384 events behind"):
                await anext(stream)
            return
        assert metrics.events_dropped == dropped
        call.let_go.set()
        seen = [(await anext(stream)).data["slow"]]
        while seen[-1] != 16_385:
            seen.append((await anext(stream)).data["slow"])
        assert seen == [0, *range(dropped + 1, 16_386)]


async def test_a_publisher_waits_while_the_bus_is_behind_and_loses_nothing():
    manager = make_manager("drop_oldest", pending=100_000_000)
    async with manager, manager.subscribe(FEED) as stream:
        # The event loop does not run between them, so the bus cannot keep up.
        publications = [manager.publish("feed", number) for number in range(20_000)]
        receipts = [await publication for publication in publications]
        assert len({receipt.offset for receipt in receipts}) == 20_000
        seen = [(await anext(stream)).data["feed"] for _ in range(20_000)]
    assert sorted(seen) == list(range(20_000))


async def test_the_counters_tell_what_happened():
    @subscription(channel="feed")
    async def numbers(event) -> int:
        return event.data

    manager = SubscriptionManager([numbers, passthrough("feed", int, channel="feed")])
    assert manager.metrics().events_published == 0
    async with (
        manager,
        manager.subscribe("subscription { numbers }") as resolved,
        manager.subscribe("subscription { feed }") as one,
        manager.subscribe("subscription { feed }") as two,
    ):
        assert manager.metrics().subscriptions == 3
        await manager.publish("nobody", 1)
        await manager.publish("feed", 1)
        await manager.publish("feed", "no number")
        for stream in (resolved, one, two):
            assert (await anext(stream)).errors is None
            assert (await anext(stream)).errors is not None
        # A result is counted on the worker's thread, once it was handed over.
        await eventually(lambda: manager.metrics().results_sent == 6, "all results are counted")
        metrics = manager.metrics()
    assert metrics.events_published == 3
    assert metrics.events_matched == 2
    assert metrics.resolver_calls == 2
    assert metrics.groups == 1
    assert metrics.group_projections == 2
