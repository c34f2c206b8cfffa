"""Many hostile clients at once: connected clients are served, and new ones too.

A larger run: `ATTACK_CLIENTS=10000 make attack`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest
from support import PATIENCE, eventually
from support.raw_http import handshake
from support.raw_websocket import CLOSE, RawWebSocket, message
from support.server_process import ServerProcess, manager

pytestmark = pytest.mark.attack

CLIENTS = int(os.environ.get("ATTACK_CLIENTS", "500"))

DOCUMENT_SCHEMA = """
schema = '''
type Query { a: Node }
type Subscription { ticks: String node: Node }
type Node { id: Int node: Node nodes(xs: [Int]): [Node!] }
'''
"""


def cut(sent: bytes) -> bytes:
    """Leave out the last bytes of a request."""
    return sent[:-5]


INIT = {"type": "connection_init"}
SUBSCRIBE = {"type": "subscribe", "id": "1", "payload": {"query": "subscription { ticks }"}}

BEGUN = {
    "nothing": b"",
    "a part of a head": b"GET /graphql HTTP/1.1\r\nHost: local",
    "a head without its body": (
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n"
    ),
    "a part of the body": (
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 1000\r\n\r\n{"query":'
    ),
    "a part of a chunk": (
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Transfer-Encoding: chunked\r\n\r\n100\r\n{"query":'
    ),
    "a part of TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "a preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a handshake": handshake(),
    "a part of a frame": handshake() + cut(message(INIT)),
    "a part of a later frame": handshake() + message(INIT) + cut(message(SUBSCRIBE)),
    "a subscription": handshake() + message(INIT) + message(SUBSCRIBE),
    "an older subscription": (
        handshake(subprotocol="graphql-ws")
        + message(INIT)
        + message({**SUBSCRIBE, "type": "start"})
    ),
}


@contextlib.contextmanager
def flood(port: int, sent: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Connect clients that send this; at the end they disconnect at once, as after `kill -9`."""
    sockets = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", port)))
            sockets[-1].sendall(sent)
        yield sockets
    finally:
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


@pytest.fixture
def neighbour(connect):
    """Connect a client; returns a function that publishes an event and receives it."""

    async def begin(server: ServerProcess) -> Callable[[], Awaitable[None]]:
        client = await connect(server.url)
        await client.subscribe("subscription { ticks }")

        async def goes_on() -> None:
            await server.publish()
            assert await client.receive_data() == {"ticks": "tick"}

        await goes_on()
        return goes_on

    return begin


@pytest.mark.parametrize("begun", BEGUN)
async def test_clients_that_vanish_halfway_leave_nothing_behind(begun, neighbour):
    async with ServerProcess(manager()) as server:
        goes_on = await neighbour(server)
        before = server.descriptors
        with flood(server.port, BEGUN[begun], CLIENTS):
            await goes_on()
            assert await server.answers()
        await eventually(lambda: server.descriptors <= before, "all sockets are closed")
        await goes_on()
        assert await server.metric("connections") == 1


def hostile_documents() -> dict[str, str]:
    def cycle(count: int, more: str = "") -> str:
        fragments = "".join(
            f"fragment F{n} on Node {{ {more} ...F{n + 1} ...F0 }} " for n in range(count)
        )
        return f"subscription {{ node {{ ...F0 }} }} {fragments}fragment F{count} on Node {{ id }}"

    operations = "".join(f"query Q{n} {{ a {{ ...F }} }} " for n in range(450))
    undefined = " ".join(f"$v{n}" for n in range(900))
    return {
        "a cycle of fragments": cycle(150),
        "a cycle of fragments with fields": cycle(150, "id"),
        "a cycle of fragments through fields": cycle(100, "node { ...F1 }"),
        "many operations of one fragment": operations + f"fragment F on Node {{ {'id ' * 900} }}",
        "conflicting fields": f"{{ a {{ {'a: id a: node { id } ' * 99} }} }}",
        "deep fields": "{ a " + "{ node " * 2_000 + "{ id }" + "}" * 2_001,
        "deep lists": "{ a { nodes(xs: " + "[" * 20_000 + "]" * 20_000 + ") { id } } }",
        "a long name": "{ " + "a" * 60_000 + " }",
        "undefined variables": operations
        + f"fragment F on Node {{ nodes(xs: [{undefined}]) {{ id }} }}",
    }


@pytest.mark.parametrize("name", hostile_documents())
async def test_a_hostile_document_is_refused_and_others_are_served(name, neighbour):
    document = hostile_documents()[name]
    code = DOCUMENT_SCHEMA + manager("schema=schema")
    async with ServerProcess(code) as server:
        goes_on = await neighbour(server)
        url = server.http_url
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            answers = await asyncio.gather(
                *(client.post(url, json={"query": f"#{n}\n{document}"}) for n in range(20))
            )
        for answer in answers:
            assert answer.status_code in (200, 400)
            assert answer.json()["errors"]
            # No amplification.
            assert len(answer.content) < 200_000
        await goes_on()
        assert server.peak_memory < 400


def masked(first: int, payload: bytes = b"") -> bytes:
    return bytes([first, 0x80 | len(payload)]) + bytes(4) + payload


FRAMES = {
    "pings": (b"", masked(0x89)),
    "pongs that answer no ping": (b"", masked(0x8A, b"a")),
    "empty fragments": (masked(0x01), masked(0x00)),
    "fragments of one byte": (masked(0x01), masked(0x00, b"a")),
    "fragments of a binary message": (masked(0x02), masked(0x00, b"a")),
    "pongs between fragments": (masked(0x01), masked(0x00, b"a") + masked(0x8A)),
}


@pytest.mark.parametrize(("begin", "one"), FRAMES.values(), ids=FRAMES)
async def test_a_flood_of_useless_frames_is_closed(begin, one, neighbour):
    async with ServerProcess(manager()) as server:
        goes_on = await neighbour(server)
        url = server.url
        async with RawWebSocket.connect(url) as client:
            client.writer.write(begin + one * 20_000)
            received = await client.ended()
        close = received[-1]
        assert close.opcode == CLOSE
        assert close.payload[:2] == struct.pack(">H", 1008)
        assert close.payload[2:] == b"Too many pings, pongs or small fragments"
        await goes_on()


RESERVE = """
manager = SubscriptionManager(
    [passthrough("ticks", str, channel="ticks")],
    workers=1,
    limits=Limits(connection_init_timeout=0.001, max_connections=5),
)
"""


async def test_an_event_stream_that_ends_as_it_is_reserved_leaves_its_place():
    async with ServerProcess(RESERVE) as server:
        url = server.http_url
        async with httpx.AsyncClient(timeout=PATIENCE) as client:

            async def reserve() -> bool:
                return (await client.put(url)).status_code == 201

            for _ in range(200):
                await eventually(reserve, "there is a place for another stream")
