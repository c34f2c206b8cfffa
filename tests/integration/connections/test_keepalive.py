"""The keepalive: a dead client is disconnected in a stated time, and a slow one is not.

Tests measure time in the server's keepalive intervals, by the pings of an idle client.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support import eventually
from support.certificates import Credentials
from support.progress import clients_left
from support.raw_websocket import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    Metronome,
    RawWebSocket,
    open_connection,
)
from support.servers import SERVERS

from fraiseql_subs import Limits, SubscriptionManager, passthrough

FEED = "subscription { feed }"
INTERVAL = 1.0
MEGABYTE = 1_000_000
NO_ANSWER = Frame(CLOSE, (1013).to_bytes(2, "big") + b"Pings were not answered")


def make_manager(**limits: Any) -> SubscriptionManager:
    limits = {"keepalive": INTERVAL, "max_pending_bytes": 50 * MEGABYTE, **limits}
    feed = passthrough("feed", str, channel="feed")
    # One worker, so that one client can measure the intervals of all clients.
    return SubscriptionManager([feed], workers=1, limits=Limits(**limits))


@pytest.fixture(scope="module")
def credentials(tmp_path_factory) -> Credentials:
    return Credentials(tmp_path_factory.mktemp("tls"))


@contextlib.asynccontextmanager
async def serving(
    manager: SubscriptionManager, transport: str, credentials: Credentials, folder: Any
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Serve; yields the URL, and arguments for connecting."""
    options: dict[str, Any] = {"port": 0}
    reached: dict[str, Any] = {}
    if transport == "tls":
        options["tls"] = credentials.tls
        reached["context"] = credentials.trusting
    elif transport == "unix":
        reached["path"] = str(folder / "socket")
        options = {"unix": reached["path"]}
    async with manager.serve(drain=0.0, **options) as server:
        yield "ws://x/graphql" if transport == "unix" else server.url, reached


TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])


@TRANSPORTS
async def test_a_client_that_takes_one_large_result_slowly_is_no_dead_one(
    transport, credentials, tmp_path
):
    """Pings wait behind the result, so it answers none. Reading the result shows its life."""
    manager = make_manager()
    async with (
        serving(manager, transport, credentials, tmp_path) as (url, reached),
        Metronome.connect(url, **reached) as server_time,
        RawWebSocket.connect(url, **reached) as client,
    ):
        await client.subscribe(FEED)
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        await manager.publish("feed", "x" * (16 * MEGABYTE))
        # Twice the time in which a dead client is disconnected.
        for _ in range(6):
            await server_time.beat()
            await client.read_bytes(2 * MEGABYTE)
        await client.read_bytes(4 * MEGABYTE)
        assert manager.metrics().connections == 2


async def ended_within(beats: int, server_time: Metronome, manager: SubscriptionManager) -> None:
    """Add pending data for a subscriber; check that it is disconnected within a number of
    intervals.
    """
    for _ in range(beats):
        await manager.publish_many([("feed", "x" * 50_000)] * 100)
        await server_time.beat()
        metrics = manager.metrics()
        if (metrics.connections, metrics.subscriptions) == (1, 0):
            return
    raise AssertionError(f"it goes on: {metrics}")


@TRANSPORTS
async def test_a_client_that_takes_nothing_of_what_waits_is_ended_after_five_intervals(
    transport, credentials, tmp_path
):
    manager = make_manager(slow_consumer="drop_oldest", max_pending_bytes=10 * MEGABYTE)
    async with (
        serving(manager, transport, credentials, tmp_path) as (url, reached),
        Metronome.connect(url, **reached) as server_time,
        RawWebSocket.connect(url, **reached) as client,
    ):
        await client.subscribe(FEED)
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        # Five intervals, those in which the network takes what it has room for, and the grace of
        # its close, which it does not take.
        await ended_within(20, server_time, manager)


@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws", "graphql-ws"])
async def test_a_silent_client_is_pinged_twice_and_told_why_it_is_ended(serve, subprotocol):
    server = await serve(make_manager())
    async with RawWebSocket.connect(server.url, subprotocol=subprotocol) as client:
        frames = await client.ended()
    pings = [frame for frame in frames if frame.opcode == PING]
    # A ping is sent at the end of its first and second interval; the third ends it.
    assert len(pings) == 2
    assert frames[-1] == NO_ANSWER


@pytest.mark.parametrize(
    ("opcode", "message"), [(PONG, b""), (PING, b"?"), (TEXT, {"type": "ping"})]
)
async def test_any_frame_is_a_sign_of_life(serve, opcode, message):
    manager = make_manager()
    server = await serve(manager)
    async with (
        Metronome.connect(server.url) as server_time,
        RawWebSocket.connect(server.url) as client,
    ):
        for _ in range(4):
            await server_time.beat()
            await client.send(message, opcode)
        assert manager.metrics().connections == 2


async def publish_much(manager: SubscriptionManager, client: RawWebSocket) -> set[int]:
    """Publish more than the network's buffers have room for; returns the kinds of frames that the
    client reads.
    """
    count = 16
    await manager.publish_many([("feed", "x" * MEGABYTE)] * count)
    opcodes: list[int] = []
    while opcodes.count(TEXT) < count:
        opcodes.append((await client.read()).opcode)
    return set(opcodes)


async def test_without_keepalive_no_client_is_pinged(serve, connect):
    manager = make_manager(keepalive=None)
    server = await serve(manager)
    async with RawWebSocket.connect(server.url) as client:
        await client.subscribe(FEED)
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        assert await publish_much(manager, client) == {TEXT}


async def test_a_client_with_much_to_read_is_pinged_in_between(serve):
    """So it answers while it reads, also if that takes long."""
    manager = make_manager(keepalive=3600.0)
    server = await serve(manager)
    async with RawWebSocket.connect(server.url) as client:
        await client.subscribe(FEED)
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        assert await publish_much(manager, client) == {TEXT, PING}


def request(accept: str) -> bytes:
    body = json.dumps({"query": FEED}).encode()
    return (
        f"POST /graphql HTTP/1.1\r\nHost: x\r\naccept: {accept}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


@contextlib.asynccontextmanager
async def stream(url: str, reached: dict[str, Any], accept: str) -> AsyncIterator[RawWebSocket]:
    """An event stream that is read only when the test calls it."""
    reader, writer = await open_connection(url, **reached)
    try:
        writer.write(request(accept))
        assert await reader.readexactly(12) == b"HTTP/1.1 200"
        yield RawWebSocket(reader, writer)
    finally:
        writer.transport.abort()


EVENTS = "text/event-stream"
PARTS = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'


@TRANSPORTS
async def test_a_stream_over_http_whose_client_reads_nothing_is_ended_after_five_intervals(
    transport, credentials, tmp_path
):
    manager = make_manager(
        keepalive=0.5, slow_consumer="drop_oldest", max_pending_bytes=10 * MEGABYTE
    )
    async with (
        serving(manager, transport, credentials, tmp_path) as (url, reached),
        Metronome.connect(url, **reached) as server_time,
        stream(url, reached, EVENTS),
    ):
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        await ended_within(12, server_time, manager)


@TRANSPORTS
@pytest.mark.parametrize("accept", [EVENTS, PARTS], ids=["sse", "multipart"])
async def test_a_stream_over_http_that_is_read_slowly_goes_on(
    transport, accept, credentials, tmp_path
):
    manager = make_manager(keepalive=0.5)
    async with (
        serving(manager, transport, credentials, tmp_path) as (url, reached),
        Metronome.connect(url, **reached) as server_time,
        stream(url, reached, accept) as client,
    ):
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        await manager.publish("feed", "x" * (16 * MEGABYTE))
        for _ in range(8):
            await server_time.beat()
            await client.read_bytes(MEGABYTE)
        await client.read_bytes(8 * MEGABYTE)
        assert manager.metrics().connections == 2


ADAPTERS = pytest.mark.parametrize("name", [name for name in SERVERS if name != "embedded"])


@ADAPTERS
async def test_behind_an_adapter_a_client_that_answers_no_ping_is_ended(name):
    manager = make_manager(keepalive=0.5)
    async with SERVERS[name](manager) as url, RawWebSocket.connect(url) as client:
        frames = await client.ended()
        await clients_left(manager)
    texts = [json.loads(frame.payload) for frame in frames if frame.opcode == TEXT]
    assert texts == [{"type": "ping"}] * 2
    assert NO_ANSWER in frames


@ADAPTERS
async def test_behind_an_adapter_a_client_that_reads_slowly_is_no_dead_one(name):
    """Pings wait behind results, so its pongs are late; reading results shows that it is alive."""
    manager = make_manager()
    async with (
        SERVERS[name](manager) as url,
        Metronome.connect(url) as server_time,
        RawWebSocket.connect(url) as client,
    ):
        await client.subscribe(FEED)
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        for _ in range(30):
            await manager.publish("feed", "x" * MEGABYTE)
        for _ in range(6):
            await server_time.beat()
            await client.read_bytes(4 * MEGABYTE)
        assert manager.metrics().connections == 2
