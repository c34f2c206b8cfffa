"""permessage-deflate (RFC 7692): what clients agree on, send and receive, and its bounds."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
from support import PATIENCE, eventually
from support.node import NodeProcess
from support.raw_http import handshake
from support.raw_websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame
from websockets.asyncio.client import connect as connect_websocket
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from fraiseql_subs import Limits, SubscriptionManager, subscription

RSV1 = 4
TAIL = b"\x00\x00\xff\xff"
QUERY = "subscription { texts }"
OFFER = "permessage-deflate"
LIMIT = 200_000


@subscription(channel="texts", initial=lambda: "")
async def texts(event) -> str:
    return event.data


@pytest.fixture
def manager() -> SubscriptionManager:
    limits = Limits(max_message_bytes=LIMIT, max_pending_bytes=400_000)
    return SubscriptionManager([texts], limits=limits)


@pytest.fixture
async def server(manager, serve):
    return await serve(manager, compression=True)


@dataclass
class Received:
    """A frame of the server."""

    opcode: int
    reserved: int
    payload: bytes

    @property
    def text(self) -> bytes:
        """The message, decompressed."""
        if not self.reserved:
            return self.payload
        return inflated(self.payload)

    @property
    def data(self) -> Any:
        return json.loads(self.text)["payload"]["data"]["texts"]


class Wire:
    """A client that compresses by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.agreed = ""

    @classmethod
    async def open(cls, server: Any, stack: Any, *offers: str) -> Wire:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        stack.callback(writer.close)
        offered = (f"Sec-WebSocket-Extensions: {offer}" for offer in offers)
        writer.write(handshake(*offered, path=server.path))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 101")
        wire = cls(reader, writer)
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            if name.lower() == "sec-websocket-extensions":
                wire.agreed = value
        return wire

    def send(self, opcode: int, payload: bytes = b"", reserved: int = 0, fin: bool = True) -> None:
        self.writer.write(frame(opcode, payload, reserved=reserved, fin=fin))

    async def read(self) -> Received:
        return await asyncio.wait_for(self._read(), PATIENCE)

    async def _read(self) -> Received:
        first, size = await self.reader.readexactly(2)
        assert first & 0x80, "the server does not fragment"
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        payload = await self.reader.readexactly(size)
        return Received(first & 0x0F, (first >> 4) & 7, payload)

    async def subscribe(self, id: str = "1") -> None:
        """Initialise and subscribe with compressed messages; returns with the initial value."""
        self.send(TEXT, deflated({"type": "connection_init"}), RSV1)
        assert json.loads((await self.read()).text) == {"type": "connection_ack"}
        request = {"id": id, "type": "subscribe", "payload": {"query": QUERY}}
        self.send(TEXT, deflated(request), RSV1)
        assert (await self.read()).data == ""

    async def expect_close(self, code: int) -> None:
        received = await self.read()
        assert (received.opcode, received.reserved) == (CLOSE, 0)
        assert struct.unpack("!H", received.payload[:2])[0] == code, received.payload


def deflated(message: Any) -> bytes:
    """Compress a message: JSON, or bytes as they are."""
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    stream = zlib.compressobj(wbits=-15)
    data = stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(TAIL)


def inflated(payload: bytes, bits: int = 15) -> bytes:
    return zlib.decompressobj(wbits=-bits).decompress(payload + TAIL)


def text_of(size: int) -> str:
    """Return text as orders have it: it compresses, but not to nothing."""
    orders = (f'{{"id": {n * 7919 % 100_003}, "status": "PAID", "näme": {n}}}' for n in range(size))
    return ",".join(orders)[:size]


@pytest.mark.parametrize(
    ("offers", "expected"),
    [
        ([], ""),
        (['permessage-bzip2; a="b, permessage-deflate"'], ""),
        (["permessage-deflate; server_max_window_bits=8"], ""),
        (["permessage-deflate; what"], ""),
        (
            ["permessage-deflate; what, permessage-deflate; client_max_window_bits"],
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
            " client_max_window_bits=15",
        ),
        (
            ["x", "permessage-deflate; server_max_window_bits=13"],
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
            " server_max_window_bits=12",
        ),
    ],
)
async def test_an_offer_is_accepted_or_declined_and_the_connection_works(
    offers, expected, server, stack
):
    wire = await Wire.open(server, stack, *offers)
    assert wire.agreed == expected
    wire.send(TEXT, b'{"type":"connection_init"}')
    assert (await wire.read()).payload == b'{"type":"connection_ack"}'


async def test_the_first_protocol_that_fits_counts_without_compression_as_well(serve, stack):
    server = await serve(SubscriptionManager([texts]))
    wire = await Wire.open(server, stack, OFFER)
    assert wire.agreed == ""


async def test_results_are_compressed_once_and_ids_are_not(manager, server, stack):
    plain = await Wire.open(server, stack)
    plain.send(TEXT, b'{"type":"connection_init"}')
    await plain.read()
    request = {"id": "p", "type": "subscribe", "payload": {"query": QUERY}}
    plain.send(TEXT, json.dumps(request).encode())
    await plain.read()
    one, other, small = [
        await Wire.open(server, stack, offer)
        for offer in (OFFER, OFFER, f"{OFFER}; server_max_window_bits=9")
    ]
    for wire, id in ((one, "one-secret"), (other, "other"), (small, "small")):
        await wire.subscribe(id)
    text = text_of(20_000)
    await manager.publish("texts", text)
    uncompressed = await plain.read()
    assert (uncompressed.reserved, uncompressed.data) == (0, text)
    first, second, third = [await wire.read() for wire in (one, other, small)]
    for received in (first, second, third):
        assert (received.opcode, received.reserved, received.data) == (TEXT, RSV1, text)
        assert len(received.payload) < len(uncompressed.payload) / 2
    # A client with a window of 9 bits reads it.
    assert inflated(third.payload, 9) == third.text
    # Blocks that are not compressed have the bytes before and after the result.
    assert first.payload[0] == 0
    assert b'"id":"one-secret"' in first.payload
    assert first.payload.endswith(b"}\x00")
    start = first.payload.index(b'"payload":') + len(b'"payload":')
    assert second.payload.endswith(first.payload[start:])


async def test_what_is_small_or_random_is_not_compressed(manager, server, stack):
    wire = await Wire.open(server, stack, OFFER)
    await wire.subscribe()
    for text in ("a" * 900, base64.b85encode(os.urandom(3_000)).decode()):
        await manager.publish("texts", text)
        received = await wire.read()
        assert received.data == text
        assert received.reserved == (RSV1 if len(received.payload) < len(text) else 0)
    await manager.publish("texts", "a" * 300_000)
    received = await wire.read()
    assert (received.reserved, len(received.data)) == (0, 300_000)


@pytest.mark.parametrize(
    "size", [16, 64, 256, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072]
)
async def test_messages_of_all_sizes_pass_both_ways(size, manager, server, stack):
    """As cases 12 and 13 of the Autobahn test suite: sizes, in one frame and in many."""
    wire = await Wire.open(server, stack, OFFER)
    await wire.subscribe()
    for fragments in (1, 7):
        text = text_of(size)
        payload = deflated({"type": "ping", "payload": {"text": text}})
        step = -(-len(payload) // fragments)
        pieces = [payload[at : at + step] for at in range(0, len(payload), step)]
        for number, piece in enumerate(pieces):
            is_first, is_last = number == 0, number == len(pieces) - 1
            opcode = TEXT if is_first else CONTINUATION
            wire.send(opcode, piece, RSV1 if is_first else 0, fin=is_last)
        answer = json.loads((await wire.read()).text)
        assert answer == {"type": "pong", "payload": {"text": text}}
        await manager.publish("texts", text)
        assert (await wire.read()).data == text


async def test_control_frames_pass_between_compressed_ones(manager, server, stack):
    wire = await Wire.open(server, stack, OFFER)
    payload = deflated({"type": "connection_init"})
    wire.send(TEXT, payload[:5], RSV1, fin=False)
    wire.send(PING, b"between")
    received = await wire.read()
    assert (received.opcode, received.reserved, received.payload) == (PONG, 0, b"between")
    wire.send(CONTINUATION, payload[5:])
    assert json.loads((await wire.read()).text) == {"type": "connection_ack"}
    wire.send(CLOSE, struct.pack("!H", 1000))
    await wire.expect_close(1000)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(TEXT, b"\xff\xff\xff", 4)], 1007),
        ([(TEXT, deflated(b"\xff\xfe"), 4)], 1007),
        ([(TEXT, deflated(b"a" * (LIMIT + 1)), 4)], 1009),
        ([(BINARY, deflated(b"a"), 4)], 4400),
        ([(TEXT, deflated(b"{}"), 2)], 1002),
        ([(TEXT, deflated(b"{}"), 5)], 1002),
        ([(PING, b"", 4)], 1002),
        ([(CLOSE, b"", 4)], 1002),
    ],
)
async def test_what_breaks_a_rule_closes(frames, code, server, stack):
    wire = await Wire.open(server, stack, OFFER)
    for opcode, payload, reserved in frames:
        wire.send(opcode, payload, reserved)
    await wire.expect_close(code)


@pytest.mark.attack
async def test_many_bombs_close_their_client_only(manager, server, stack):
    victim = await Wire.open(server, stack, OFFER)
    await victim.subscribe()
    attacker = await Wire.open(server, stack, OFFER)
    await attacker.subscribe()
    bomb = deflated({"type": "pong", "payload": {"a": "a" * (LIMIT - 100)}})
    assert len(bomb) < 1_000
    for _ in range(500):
        attacker.send(TEXT, bomb, RSV1)
    await attacker.expect_close(1008)
    await manager.publish("texts", "still here")
    assert (await victim.read()).data == "still here"


async def test_what_waits_counts_as_it_is_in_memory(manager, server, stack):
    """A client that reads nothing is disconnected, however little is sent of its results."""
    wire = await Wire.open(server, stack, OFFER)
    await wire.subscribe()
    metrics = manager.metrics

    async def fill() -> None:
        while not metrics().slow_consumer_disconnects:
            await manager.publish("texts", base64.b64encode(os.urandom(50_000)).decode() * 2)
            # The resolver runs on this loop.
            await asyncio.sleep(0)

    await asyncio.wait_for(fill(), PATIENCE)
    await eventually(lambda: not metrics().subscriptions, "the subscription is ended")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        *({"server_max_window_bits": bits} for bits in (9, 11, 12, 15)),
        *({"client_max_window_bits": bits} for bits in (9, 12, 15)),
        {"client_max_window_bits": 12, "server_max_window_bits": 12},
        {"client_max_window_bits": None},
    ],
    ids=str,
)
async def test_websockets_of_python_compresses(options, manager, server, stack):
    extensions = [ClientPerMessageDeflateFactory(**options)]
    client = await stack.enter_async_context(
        connect_websocket(
            server.url,
            subprotocols=["graphql-transport-ws"],
            compression=None,
            extensions=extensions,
        )
    )
    await converse(client, manager)


async def test_websockets_of_python_compresses_by_default(manager, server, stack):
    protocols = ["graphql-transport-ws"]
    connecting = connect_websocket(server.url, subprotocols=protocols)
    await converse(await stack.enter_async_context(connecting), manager)


async def converse(client: Any, manager: SubscriptionManager) -> None:
    assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
    await client.send('{"type": "connection_init"}')
    assert json.loads(await client.recv()) == {"type": "connection_ack"}
    request = {"id": "1", "type": "subscribe", "payload": {"query": QUERY, "variables": {}}}
    await client.send(json.dumps(request))
    assert json.loads(await client.recv())["payload"] == {"data": {"texts": ""}}
    for size in (10, 5_000, 50_000, 100_000):
        text = text_of(size)
        await manager.publish("texts", text)
        received = json.loads(await asyncio.wait_for(client.recv(), PATIENCE))
        assert received["payload"] == {"data": {"texts": text}}
        await asyncio.wait_for(await client.ping(), PATIENCE)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"serverNoContextTakeover": True, "clientNoContextTakeover": True},
        {"serverMaxWindowBits": 10, "clientMaxWindowBits": 10},
        {"clientMaxWindowBits": 9},
    ],
    ids=json.dumps,
)
async def test_ws_of_npm_compresses(options, manager, server):
    async with NodeProcess.run("compressed.mjs", server.url, QUERY, json.dumps(options)) as node:
        assert await node.read() == "permessage-deflate"
        assert await node.read() == {"data": {"texts": ""}}
        for size in (10, 5_000, 100_000):
            text = text_of(size)
            await manager.publish("texts", text)
            assert await node.read() == {"data": {"texts": text}}
        await manager.close(drain=1.0)
        assert await node.read() == {"code": 1001, "reason": "Going away"}
