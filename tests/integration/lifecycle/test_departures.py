"""How a drain sends clients away: over every server, in which order and how fast.

What each of them still receives is in `test_drain.py`. With `ONE_BY_ONE`, the second connection is
closed more than a quarter of an hour after the first one, so a test sees who is the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import httpx
import pytest
from support import PATIENCE, eventually
from support.event_streams import EVENTS, PARTS, opened
from support.protocol_client import ProtocolClient
from support.raw_websocket import CLOSE, PING, PONG, RawWebSocket
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url

from fraiseql_subs import Drain, Limits, SubscriptionManager, passthrough

FEED = "subscription { feed }"

ONE_BY_ONE = Drain(24 * 3600, closes_per_second=0.001)

LONG = 0.25
"""A round trip that the server takes for long (seconds)."""

feed = passthrough("feed", int, channel="feed")
blob = passthrough("blob", str, channel="blob")


@contextlib.asynccontextmanager
async def closing(manager: SubscriptionManager, drain: float | Drain = ONE_BY_ONE):
    """Close a manager; at the end, without waiting for anything."""
    task = asyncio.ensure_future(manager.close(drain=drain))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def subscribed(
    stack: contextlib.AsyncExitStack, url: str, count: int
) -> list[ProtocolClient]:
    clients = []
    for _ in range(count):
        client = await ProtocolClient.connect(url)
        stack.push_async_callback(client.close)
        await client.init()
        await client.subscribe(FEED)
        clients.append(client)
    return clients


async def one_has_left(manager: SubscriptionManager, count: int) -> None:
    """Wait until one of so many connections is gone."""
    await eventually(lambda: len(manager.connections()) == count - 1, "one of them has left")


def told(caplog: pytest.LogCaptureFixture) -> dict[str | None, logging.LogRecord]:
    """Return the records of the log, by the name of their event."""
    return {getattr(record, "event_name", None): record for record in caplog.records}


async def close_code(client: RawWebSocket) -> int:
    """Read until the close."""
    while (frame := await client.read()).opcode != CLOSE:
        pass
    return int.from_bytes(frame.payload[:2], "big")


@pytest.mark.parametrize("name", SERVERS)
async def test_a_client_that_is_behind_is_the_first(name, caplog):
    """It is closed as soon as it has read what waits for it."""
    caplog.set_level(logging.INFO, logger="fraiseql_subs")
    limits = Limits(slow_consumer="drop_oldest", max_pending_bytes=100_000, keepalive=None)
    manager = SubscriptionManager([feed, blob], limits=limits, workers=1)
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(SERVERS[name](manager))
        other, *_ = await subscribed(stack, url, 4)
        behind = await stack.enter_async_context(RawWebSocket.connect(url))
        await subscribed(stack, url, 4)
        await behind.subscribe("subscription { blob }")
        id = await other.subscribe("subscription { blob }")
        await eventually(lambda: manager.metrics().subscriptions == 10, "all are subscribed")
        while manager.metrics().results_dropped < 5:
            await manager.publish("blob", "x" * 50_000)
            # One at a time, so that the server writes what the network takes.
            await other.receive_data(id)
            await other.settle()
        await stack.enter_async_context(closing(manager))
        await eventually(
            lambda: "drain.closes" in told(caplog),
            "the order is determined",
        )
        assert await close_code(behind) == 1001
        behind.writer.close()
        await one_has_left(manager, 9)


async def answer_late(client: RawWebSocket) -> None:
    """Answer the next ping after a long time, and return when the server has the answer."""
    while True:
        frame = await client.read()
        if frame.opcode == PING or b'"ping"' in frame.payload:
            break
    await asyncio.sleep(LONG)
    if frame.opcode == PING:
        await client.send(frame.payload, PONG)
    else:
        # Behind an adapter, the ping is a message of the subprotocol.
        await client.send({"type": "pong"})
    await client.send({"type": "ping", "payload": {"mark": 1}})
    while b'"mark"' not in (await client.read()).payload:
        pass


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_client_that_is_far_away_is_the_first(name):
    """The others have streams over HTTP, on which nothing is measured."""
    manager = SubscriptionManager([feed], limits=Limits(keepalive=1.0))
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(SERVERS[name](manager))
        far = await stack.enter_async_context(RawWebSocket.connect(url))
        for _ in range(8):
            await stack.enter_async_context(opened(http_url(url), FEED, EVENTS))
        await eventually(lambda: manager.metrics().subscriptions == 8, "all are subscribed")
        await answer_late(far)
        await stack.enter_async_context(closing(manager))
        assert await close_code(far) == 1001
        far.writer.close()
        await one_has_left(manager, 9)


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_connections_of_all_protocols_are_closed_no_faster_than_they_may(name):
    manager = SubscriptionManager([feed])
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(SERVERS[name](manager))
        await subscribed(stack, url, 1)
        older = await ProtocolClient.connect(url, subprotocols=["graphql-ws"])
        stack.push_async_callback(older.close)
        await older.init()
        bodies = [
            (await stack.enter_async_context(opened(http_url(url), FEED, accept)))[1]
            for accept in (EVENTS, PARTS)
        ]
        await eventually(lambda: manager.metrics().subscriptions == 3, "all are subscribed")
        async with closing(manager):
            await one_has_left(manager, 4)
            assert len(manager.connections()) == 3
        # The end of the drain closes all the others.
        for body in bodies:
            with pytest.raises(StopAsyncIteration):
                await body.read_until("complete")


@pytest.mark.parametrize("name", SERVERS)
async def test_a_drain_without_time_closes_all_at_once(name):
    manager = SubscriptionManager([feed])
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(SERVERS[name](manager))
        clients = await subscribed(stack, url, 5)
        await manager.close(drain=Drain(0, closes_per_second=0.001))
        for client in clients:
            await client.expect_close(1001)


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_clients_are_let_in_while_they_are_sent_elsewhere(name, within):
    """A load balancer notices readiness first; then no client comes, and the drain begins."""
    manager = SubscriptionManager([feed])
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(SERVERS[name](manager))
        (before,) = await subscribed(stack, url, 1)
        assert manager.is_ready()
        async with closing(manager, Drain(60, ready_delay=3600)):
            await eventually(lambda: not manager.is_ready(), "it is not ready")
            (after,) = await subscribed(stack, url, 1)
            async with httpx.AsyncClient(timeout=PATIENCE) as http:
                response = await http.post(http_url(url), json={"query": "{ __typename }"})
                assert response.status_code == 200
            await manager.publish("feed", 1)
            for client in (before, after):
                assert await client.receive_data() == {"feed": 1}
        # The close was cancelled, which ends the delay as well.
        for client in (before, after):
            await client.expect_close(1001)


async def test_the_status_pages_tell_of_the_delay(connect):
    manager = SubscriptionManager([feed])
    async with manager.serve(port=0, drain=Drain(60, ready_delay=3600)) as server:
        base = server.http_url.removesuffix("/graphql")
        ending = asyncio.ensure_future(server.wait_closed())
        also = asyncio.ensure_future(server.wait_closed())
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE) as probe:
            assert (await probe.get("/health/ready")).status_code == 200
            server.close()

            async def is_unready() -> bool:
                return (await probe.get("/health/ready")).status_code == 503

            await eventually(is_unready, "it says so")
            assert (await probe.get("/health/ready")).json() == {"status": "draining"}
            assert (await probe.get("/health/live")).status_code == 200
            client = await connect(server.url)
            await client.subscribe(FEED)
        assert not ending.done() and not also.done()
        server.hurry()
        await asyncio.wait_for(asyncio.gather(ending, also), PATIENCE)
    await client.expect_close(1001)


async def test_a_manager_that_goes_on_is_ready_after_the_end_of_its_server(within):
    async with SubscriptionManager([feed]) as manager:
        async with manager.serve(port=0, drain=Drain(1, ready_delay=0.01)) as server:
            late = asyncio.ensure_future(server.wait_closed())
            await asyncio.sleep(0)
        await within(late)
        assert manager.is_ready()


@pytest.mark.parametrize(
    ("drain", "warns"),
    [
        (Drain(0.1, closes_per_second=2), True),
        (Drain(0.1), False),
        (Drain(60, closes_per_second=1000), False),
    ],
)
async def test_a_drain_that_is_too_short_for_its_bound_is_logged(connect, caplog, drain, warns):
    caplog.set_level(logging.INFO, logger="fraiseql_subs")
    manager = SubscriptionManager([feed])
    async with manager.serve(port=0) as server:
        clients = [await connect(server.url) for _ in range(10)]
        await manager.close(drain=drain)
        for client in clients:
            await client.expect_close(1001)
    events = told(caplog)
    assert "draining: 10 connections are closed within " in events["drain.closes"].getMessage()
    assert ("drain.too_short" in events) is warns
    if warns:
        text = events["drain.too_short"].getMessage()
        assert events["drain.too_short"].levelno == logging.WARNING
        assert "closes_per_second=2: set it to 9 s, or allow more" in text
