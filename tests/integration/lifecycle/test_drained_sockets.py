"""A drain ends HTTP connections with their last response; the next one is to another server."""

from __future__ import annotations

import asyncio

import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.raw_http import ANSWER, post, request
from support.raw_http2 import NO_ERROR, POST, Http2Client
from support.resolvers import HeldCall

from fraiseql_subs import Drain, SubscriptionManager, passthrough

FEED = b'{"query":"subscription { feed }"}'

feed = passthrough("feed", int, channel="other")


async def hold(connect, manager: SubscriptionManager, call: HeldCall, url: str, **options):
    """Connect a client for whose call the drain waits."""
    client = await connect(url, **options)
    await client.subscribe("subscription { slow }")
    await manager.publish("feed", 1)
    await asyncio.wait_for(call.entered.wait(), PATIENCE)


async def test_the_socket_of_an_event_stream_is_closed_after_it(connect, within):
    call = HeldCall()
    manager = SubscriptionManager([call.declare(), feed])
    async with manager.serve(port=0) as server:
        await hold(connect, manager, call, server.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        fields = ("Content-Type: application/json", "Accept: text/event-stream")
        writer.write(request(*fields, f"Content-Length: {len(FEED)}") + FEED)
        await within(reader.readuntil(b"\r\n\r\n"))
        await eventually(lambda: manager.metrics().subscriptions == 2, "it is subscribed")
        closing = asyncio.ensure_future(manager.close(drain=3600))
        body = await within(reader.read())
        # The body is whole, and the drain goes on.
        assert body.endswith(b"0\r\n\r\n")
        assert not closing.done()
        writer.close()
        call.let_go.set()
        await within(closing)


async def test_a_response_in_a_drain_closes_its_connection(connect, within):
    call = HeldCall()
    manager = SubscriptionManager([call.declare(), feed])
    async with manager.serve(port=0) as server:
        await hold(connect, manager, call, server.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post())
        await within(reader.readuntil(ANSWER))
        closing = asyncio.ensure_future(manager.close(drain=3600))
        await eventually(lambda: not manager.is_ready(), "it drains")
        writer.write(post())
        assert b"connection: close" in (await within(reader.readuntil(b"\r\n\r\n"))).lower()
        await within(reader.read())
        writer.close()

        async def refused() -> bytes | None:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(post())
            head = await within(reader.read())
            writer.close()
            return head if b" 503 " in head else None

        head = (await eventually(refused, "a new one is refused")).lower()
        assert b"connection: close" in head and b"retry-after: 1" in head
        call.let_go.set()
        await within(closing)


@pytest.mark.parametrize("way", ["ready_delay", "stop_accepting"])
async def test_a_response_before_a_drain_closes_its_connection(way, within):
    """So that the next request of the client is for a server that stays."""
    manager = SubscriptionManager([feed])
    async with manager.serve(port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post())
        await within(reader.readuntil(ANSWER))
        if way == "ready_delay":
            closing = asyncio.ensure_future(manager.close(drain=Drain(10, ready_delay=3600)))
        else:
            closing = asyncio.ensure_future(server.stop_accepting())
        await eventually(lambda: not manager.is_ready(), "it is about to drain")
        writer.write(post())
        response = await within(reader.read())
        assert b" 200 " in response and b"connection: close" in response.lower()
        writer.close()
        closing.cancel()
        await asyncio.wait([closing])


async def test_an_http2_connection_is_told_to_go_away(connect, within, tmp_path):
    call, credentials = HeldCall(), Credentials(tmp_path)
    manager = SubscriptionManager([call.declare(), feed])
    async with manager.serve(port=0, tls=credentials.tls) as server:
        await hold(connect, manager, call, server.url, ssl=credentials.trusting)
        client = await Http2Client.connect(server.port, credentials.trusting)
        stream = client.ask([*POST, ("accept", "text/event-stream")], FEED)
        await eventually(lambda: manager.metrics().subscriptions == 2, "it is subscribed")
        closing = asyncio.ensure_future(manager.close(drain=3600))
        response = await client.answer(stream)
        assert response.is_over and response.reset is None
        assert await client.closed() == NO_ERROR
        assert not closing.done()
        await client.close()
        call.let_go.set()
        await within(closing)
