"""HTTP/2: bounds of connections and streams in memory and time, for any client."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Iterator

import hpack
import pytest
from support import PATIENCE, eventually
from support.certificates import Credentials
from support.raw_http2 import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GET,
    HEADERS,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    POST,
    PRIORITY,
    QUERY,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    SUBSCRIBE,
    Http2Client,
    frame,
    window,
)
from support.server_process import ServerProcess, manager

pytestmark = pytest.mark.attack

EVENTS = [*POST, ("accept", "text/event-stream")]
PAGE = [*GET, ("accept", "text/html")]


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Credentials:
    return Credentials(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusting(tls) -> ssl.SSLContext:
    return tls.trusting


@pytest.fixture
async def connect(trusting):
    """Connect clients; they leave when the test ends."""
    clients: list[Http2Client] = []

    async def open_client(server: ServerProcess, window: int | None = None) -> Http2Client:
        clients.append(await Http2Client.connect(server.port, trusting, window))
        return clients[-1]

    yield open_client
    for client in clients:
        await client.close()


async def is_answered(client: Http2Client) -> bool:
    response = await client.answer(client.ask(POST, QUERY))
    return response.status == 200 and b"Query" in response.body


async def test_bounds_are_announced(connect, tls):
    limits = "limits=Limits(max_head_bytes=20_000)"
    async with ServerProcess(manager(limits), tls.option) as server:
        client = await connect(server)
        assert client.settings[MAX_CONCURRENT_STREAMS] == 100
        assert client.settings[MAX_HEADER_LIST_SIZE] == 20_000


async def test_streams_past_the_bound_are_refused(connect, tls):
    async with ServerProcess(manager(), tls.option) as server:
        client = await connect(server)
        held = [client.ask(EVENTS, SUBSCRIBE) for _ in range(100)]
        await client.until(lambda: all(client.responses[stream].body for stream in held))
        assert (await client.answer(client.ask(POST, QUERY))).reset == REFUSED_STREAM
        client.send(frame(RST_STREAM, 0, held[0], struct.pack(">I", CANCEL)))
        assert await is_answered(client)


def bomb(client: Http2Client, copies: int) -> bytes:
    """Headers that are named once and repeated by one byte each."""
    head = hpack.Encoder().encode([*EVENTS, ("x", "a" * 3500)], huffman=False)
    # The entry of `x` is the newest of the table: index 62.
    return head + b"\xbe" * copies


@pytest.mark.parametrize("ends", [True, False], ids=["subscriptions", "bodies without an end"])
async def test_a_header_bomb_costs_little_and_affects_no_other_client(ends, connect, tls):
    async with ServerProcess(manager(), tls.option) as server:
        before = server.memory
        other = await connect(server)
        client = await connect(server)
        for _ in range(40):
            stream = client.next_stream()
            client.send(frame(HEADERS, END_HEADERS, stream, bomb(client, 4500)))
            client.send(frame(DATA, END_STREAM if ends else 0, stream, SUBSCRIBE))
            await client.writer.drain()
        await client.until(lambda: client.responses[1].status or client.responses[1].reset)
        assert client.responses[1].status == 431
        assert await is_answered(other)
        assert server.peak_memory - before < 200


async def test_heads_below_the_bound_cost_little_together(connect, tls):
    """Heads of 60 kB each, on every stream of many connections, with bodies that do not end."""
    async with ServerProcess(manager(), tls.option) as server:
        before = server.memory
        for _ in range(5):
            client = await connect(server)
            for _ in range(100):
                stream = client.next_stream()
                client.send(frame(HEADERS, END_HEADERS, stream, bomb(client, 15)))
                await client.writer.drain()
            last = client.responses[stream]
            await client.until(lambda last=last: last.reset is not None)
            assert last.reset == ENHANCE_YOUR_CALM
        assert await is_answered(await connect(server))
        assert server.peak_memory - before < 200


async def test_a_head_with_too_many_fields_is_refused(connect, tls):
    async with ServerProcess(manager(), tls.option) as server:
        client = await connect(server)
        many = [*POST, *((f"x-{number}", "") for number in range(300))]
        assert (await client.answer(client.ask(many, QUERY))).status == 431
        assert await is_answered(client)


async def test_cookies_that_come_one_by_one_are_one_header(connect, tls):
    """In the form that browsers send over HTTP/2."""
    before = """
    async def authenticate(params):
        return Identity(user_id="ada") if params.headers["cookie"] == "a=1; b=2" else None

    manager = SubscriptionManager(
        [passthrough("ticks", str, channel="ticks")],
        workers=1,
        security=Security(authenticate=authenticate, origins=["https://a.example"]),
    )
    """
    async with ServerProcess(before, tls.option) as server:
        client = await connect(server)
        fields = [*POST, ("origin", "https://a.example"), ("cookie", "a=1"), ("cookie", "b=2")]
        response = await client.answer(client.ask(fields, QUERY))
        assert (response.status, response.body[:7]) == (200, b'{"data"')


async def test_a_body_that_does_not_end_is_answered_with_408(connect, tls):
    limits = "limits=Limits(request_timeout=0.5)"
    async with ServerProcess(manager(limits), tls.option) as server:
        client = await connect(server)
        events = client.ask(EVENTS, SUBSCRIBE)
        await client.until(lambda: client.responses[events].body)
        slow = [client.ask(POST, b"{", is_whole=False) for _ in range(50)]
        for stream in slow:
            assert (await client.answer(stream)).status == 408
        assert client.responses[events].reset is None
        assert await is_answered(client)


async def test_bodies_without_an_end_hold_no_more_than_the_places(connect, tls):
    limits = "limits=Limits(max_connections=3, request_timeout=30)"
    async with ServerProcess(manager(limits), tls.option) as server:
        client = await connect(server)
        held = [client.ask(POST, b"{", is_whole=False) for _ in range(3)]
        for _ in range(20):
            refused = await client.answer(client.ask(POST, b"{", is_whole=False))
            assert refused.status == 503
        client.send(frame(RST_STREAM, 0, held[0], struct.pack(">I", CANCEL)))
        await eventually(lambda: is_answered(client), "the place that was left is free")


async def test_responses_that_no_window_lets_through_are_ended(connect, tls):
    limits = "limits=Limits(send_timeout=0.5, slow_consumer='drop_oldest')"
    async with ServerProcess(manager(limits), tls.option) as server:
        client = await connect(server, window=0)
        streams = [client.ask(PAGE) for _ in range(50)]
        streams.append(client.ask(EVENTS, SUBSCRIBE))
        for stream in streams:
            assert (await client.answer(stream)).reset == CANCEL
        await eventually(
            lambda: is_answered_by_another(server, connect), "another client is answered"
        )


async def is_answered_by_another(server: ServerProcess, connect) -> bool:
    return await is_answered(await connect(server))


async def test_a_client_that_reads_nothing_at_all_is_ended(connect, tls):
    limits = "limits=Limits(send_timeout=0.5)"
    async with ServerProcess(manager(limits), tls.option) as server:
        before = server.descriptors
        client = await connect(server)
        client.writer.transport.pause_reading()

        async def ask() -> None:
            while not client.writer.transport.is_closing():
                window = struct.pack(">I", 1 << 20)
                client.send(frame(8, 0, 0, window))
                client.ask(PAGE)
                await asyncio.sleep(0)
                if server.descriptors <= before:
                    return

        await asyncio.wait_for(ask(), PATIENCE)
        await eventually(lambda: server.descriptors <= before, "its socket is closed")


async def test_a_connection_without_streams_is_closed_with_a_farewell(connect, tls):
    limits = "limits=Limits(request_timeout=0.5)"
    async with ServerProcess(manager(limits), tls.option) as server:
        before = server.descriptors
        silent = await connect(server)
        asked = await connect(server)
        assert await is_answered(asked)
        assert await silent.closed() == NO_ERROR
        assert await asked.closed() == NO_ERROR
        await eventually(lambda: server.descriptors <= before, "both sockets are closed")


async def test_a_connection_with_a_stream_stays(connect, tls):
    limits = "limits=Limits(request_timeout=0.2, keepalive=0.2)"
    async with ServerProcess(manager(limits), tls.option) as server:
        client = await connect(server)
        stream = client.ask(EVENTS, SUBSCRIBE)
        body = client.responses[stream]
        # Heartbeats for much longer than that time.
        await client.until(lambda: body.body.count(b":\n\n") >= 10)
        await server.publish()
        await client.until(lambda: b"tick" in body.body)
        assert not client.is_closed.is_set()


async def test_a_client_that_answers_no_ping_is_gone(connect, tls):
    limits = "limits=Limits(keepalive=0.2)"
    async with ServerProcess(manager(limits), tls.option) as server:
        before = server.descriptors
        client = await connect(server)
        client.answers_pings = client.windows = False
        client.ask(EVENTS, SUBSCRIBE)
        await client.closed()
        await eventually(lambda: server.descriptors <= before, "its socket is closed")


def rapid_resets(client: Http2Client) -> Iterator[bytes]:
    while True:
        stream = client.next_stream()
        head = client.encoder.encode(EVENTS)
        cancelled = frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
        yield (
            frame(HEADERS, END_HEADERS, stream, head)
            + frame(DATA, END_STREAM, stream, SUBSCRIBE)
            + cancelled
        )


def continuations(client: Http2Client) -> Iterator[bytes]:
    yield frame(HEADERS, 0, client.next_stream(), client.encoder.encode(EVENTS))
    while True:
        yield frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 1000)


def empty_continuations(client: Http2Client) -> Iterator[bytes]:
    yield frame(HEADERS, 0, client.next_stream(), client.encoder.encode(EVENTS))
    while True:
        yield frame(CONTINUATION, 0, 1) * 100


def streams_past_the_bound(client: Http2Client) -> Iterator[bytes]:
    while True:
        head = client.encoder.encode(EVENTS)
        yield frame(HEADERS, END_HEADERS, client.next_stream(), head)


ENDED = {
    "streams that are reset at once": rapid_resets,
    "streams past the bound": streams_past_the_bound,
    "CONTINUATION": continuations,
    "empty CONTINUATION": empty_continuations,
}


@pytest.mark.parametrize("attack", ENDED.values(), ids=ENDED)
async def test_a_flood_that_no_client_needs_ends_its_connection(attack, connect, tls):
    async with ServerProcess(manager(), tls.option) as server:
        before = server.memory
        other = await connect(server)
        client = await connect(server)
        for sent in attack(client):
            client.send(sent)
            await asyncio.sleep(0)
            if client.is_closed.is_set():
                break
        assert client.goaway in (ENHANCE_YOUR_CALM, None)
        assert await is_answered(other)
        assert server.peak_memory - before < 200


def pings(_: Http2Client) -> bytes:
    return frame(PING, 0, 0, b"12345678")


def answers_to_no_ping(_: Http2Client) -> bytes:
    return frame(PING, ACK, 0, b"12345678")


def windows_of_all_streams(_: Http2Client) -> bytes:
    sizes = (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, size)) for size in (0, 65535))
    return b"".join(sizes)


def windows(_: Http2Client) -> bytes:
    return window(0, 1)


def priorities(_: Http2Client) -> bytes:
    return frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 1))


def unknown_frames(_: Http2Client) -> bytes:
    return frame(0xBE, 0, 0, b"a")


def resets(_: Http2Client) -> bytes:
    return frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL))


def empty_data(client: Http2Client) -> bytes:
    return frame(DATA, 0, client.ask(POST, is_whole=False))


def data_of_one_byte(client: Http2Client) -> bytes:
    return frame(DATA, 0, client.ask(POST, is_whole=False), b" ")


def padding(client: Http2Client) -> bytes:
    return frame(DATA, PADDED, client.ask(POST, is_whole=False), b"\x40" + bytes(0x40))


FLOODS = {
    "PING": pings,
    "answers to no PING": answers_to_no_ping,
    "SETTINGS": windows_of_all_streams,
    "WINDOW_UPDATE": windows,
    "PRIORITY": priorities,
    "RST_STREAM": resets,
    "frames of a kind that is not known": unknown_frames,
    "empty DATA": empty_data,
    "DATA of one byte": data_of_one_byte,
    "padding": padding,
}


@pytest.mark.parametrize("attack", FLOODS.values(), ids=FLOODS)
async def test_a_flood_of_useless_frames_ends_only_its_connection(attack, connect, tls):
    async with ServerProcess(manager(), tls.option) as server:
        before = server.memory
        other = await connect(server)
        events = other.ask(EVENTS, SUBSCRIBE)
        client = await connect(server)
        # A change of all windows would affect each of these streams.
        streams = [client.ask(EVENTS, SUBSCRIBE) for _ in range(60)]
        await client.until(lambda: all(client.responses[stream].body for stream in streams))
        flood = attack(client) * 100
        while not client.is_closed.is_set():
            client.send(flood)
            await asyncio.sleep(0)
        assert client.goaway == ENHANCE_YOUR_CALM
        # A burst of this size, and then a low rate per second.
        assert client.acknowledged < (100 if attack is windows_of_all_streams else 3_000)
        await server.publish()
        await other.until(lambda: b"tick" in other.responses[events].body)
        assert await is_answered(other)
        assert server.peak_memory - before < 200


async def test_window_updates_for_received_data_are_not_a_flood(connect, tls):
    """A client that acknowledges each of many small pieces, like simple ones."""
    async with ServerProcess(manager(), tls.option) as server:
        client = await connect(server)
        streams = [client.ask(EVENTS, SUBSCRIBE) for _ in range(50)]
        await client.until(lambda: all(client.responses[stream].body for stream in streams))
        for count in range(1, 41):
            await server.publish()
            await client.until(
                lambda count=count: all(
                    client.responses[stream].body.count(b"tick") >= count for stream in streams
                )
            )
        assert not client.is_closed.is_set()


ANSWERS = """
from typing import AsyncIterator

import strawberry

@strawberry.type
class Query:
    @strawberry.field
    def text(self) -> str:
        return "a" * 1_000_000

@subscription
async def texts() -> AsyncIterator[str]:
    yield "a" * 1_000_000

manager = SubscriptionManager(
    [texts],
    workers=1,
    schema=strawberry.Schema(Query),
    limits=Limits({limits}),
)
"""
LARGE = b'{"query":"{ text }"}'
LARGE_EVENT = b'{"query":"subscription { texts }"}'
WAYS = {"an answer": (POST, LARGE), "an answer as an event": (EVENTS, LARGE)}
WAYS["an event"] = (EVENTS, LARGE_EVENT)


@pytest.mark.parametrize(("fields", "query"), WAYS.values(), ids=WAYS)
async def test_a_client_that_reads_too_slowly_is_disconnected(fields, query, connect, tls):
    async with ServerProcess(ANSWERS.format(limits="send_timeout=1.0"), tls.option) as server:
        client = await connect(server, window=1)
        streams = [client.ask(fields, query) for _ in range(10)]
        over = asyncio.Event()

        async def take_drops() -> None:
            while not over.is_set():
                client.send(window(0, 10) + b"".join(window(stream, 1) for stream in streams))
                await asyncio.sleep(0.05)

        dropping = asyncio.create_task(take_drops())
        for stream in streams:
            assert (await client.answer(stream)).reset == CANCEL
            assert len(client.responses[stream].body) < 100_000
        over.set()
        await dropping
        assert await is_answered_by_another(server, connect)


async def test_answers_that_wait_for_one_client_are_bounded_together(connect, tls):
    async with ServerProcess(ANSWERS.format(limits=""), tls.option) as server:
        before = server.memory
        client = await connect(server, window=0)
        streams = [client.ask(POST, LARGE) for _ in range(60)]
        responses = [client.responses[stream] for stream in streams]
        await client.until(lambda: all(response.status for response in responses))
        refused = [response for response in responses if response.status == 503]
        # 16 MiB are 16 of them.
        assert len(refused) == 44
        assert all(response.headers["retry-after"] for response in refused)
        assert server.memory - before < 100
        for stream in streams:
            client.send(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
        await client.until(lambda: True)
        again = client.ask(POST, LARGE)
        await client.until(lambda: client.responses[again].status)
        assert client.responses[again].status == 200
