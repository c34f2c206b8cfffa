"""RFC 6455, byte by byte: the server's reaction to hand-made frames."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from typing import Any

import psutil
import pytest
from support import PATIENCE, eventually, program
from support.progress import clients_left
from support.raw_websocket import CLOSE, CONTINUATION, PING, PONG, TEXT, frame

from fraiseql_subs import Limits, SubscriptionManager, passthrough

feed = passthrough("feed", str, channel="feed")

INIT = b'{"type":"connection_init"}'
ACK = b'{"type":"connection_ack"}'


class Wire:
    """One socket whose frames are made by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        reserved: int = 0,
        mask: bool = True,
    ) -> None:
        """Send one frame."""
        key = os.urandom(4) if mask else None
        self.writer.write(frame(opcode, payload, fin=fin, reserved=reserved, mask=key))

    async def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        return await asyncio.wait_for(self._receive(), PATIENCE)

    async def _receive(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        assert first & 0x70 == 0, "no extension was agreed on"
        assert first & 0x80, "the server does not fragment"
        assert second & 0x80 == 0, "a server does not mask"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def expect_close(self, code: int) -> None:
        """The server closes with this code, and then the socket."""
        opcode, payload = await self.receive()
        assert opcode == CLOSE, payload
        assert struct.unpack("!H", payload[:2])[0] == code, payload
        assert len(payload) <= 125
        payload[2:].decode()
        self.send(CLOSE, payload)
        assert await asyncio.wait_for(self.reader.read(), PATIENCE) == b""


@pytest.fixture
def manager() -> SubscriptionManager:
    return SubscriptionManager([feed], limits=Limits(max_message_bytes=100_000))


@pytest.fixture
async def wire(manager, serve, stack) -> Wire:
    server = await serve(manager)
    return await open_wire(server, stack)


async def open_wire(server: Any, stack: Any, *extra: str) -> Wire:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    stack.callback(writer.close)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {server.path} HTTP/1.1",
        "Host: localhost",
        "Connection: keep-alive, Upgrade",
        "Upgrade: WebSocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Protocol: graphql-transport-ws",
        *extra,
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    assert head.startswith(b"HTTP/1.1 101")
    assert b"extensions" not in head.lower()
    return Wire(reader, writer)


async def test_a_message_in_one_frame_is_answered(wire):
    wire.send(TEXT, INIT)
    assert await wire.receive() == (TEXT, ACK)


@pytest.mark.parametrize("cut", [0, 1, 13, len(INIT)])
async def test_a_message_may_be_fragmented_anywhere(cut, wire):
    wire.send(TEXT, INIT[:cut], fin=False)
    wire.send(CONTINUATION, INIT[cut:])
    assert await wire.receive() == (TEXT, ACK)


async def test_a_message_may_be_fragmented_byte_by_byte_with_empty_ends(wire):
    wire.send(TEXT, b"", fin=False)
    for byte in INIT:
        wire.send(CONTINUATION, bytes([byte]), fin=False)
    wire.send(CONTINUATION, b"")
    assert await wire.receive() == (TEXT, ACK)


async def test_control_frames_between_fragments_are_answered_at_once(wire):
    wire.send(TEXT, INIT[:5], fin=False)
    wire.send(PING, b"between")
    assert await wire.receive() == (PONG, b"between")
    wire.send(PONG, b"unasked")
    wire.send(CONTINUATION, INIT[5:])
    assert await wire.receive() == (TEXT, ACK)


async def test_a_ping_is_answered_with_its_payload(wire):
    for payload in (b"", b"x", b"\xff\x00" * 62, b"x" * 125):
        wire.send(PING, payload)
        assert await wire.receive() == (PONG, payload)


async def test_a_close_between_fragments_closes(wire):
    wire.send(TEXT, INIT[:5], fin=False)
    wire.send(CLOSE, struct.pack("!H", 1000))
    opcode, payload = await wire.receive()
    assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", 1000))
    assert await wire.reader.read() == b""


@pytest.mark.parametrize("reserved", [1, 2, 4, 7])
async def test_reserved_bits_without_an_extension_are_1002(reserved, wire):
    wire.send(TEXT, INIT, reserved=reserved)
    await wire.expect_close(1002)


@pytest.mark.parametrize("opcode", [0x3, 0x7, 0xB, 0xF])
async def test_reserved_opcodes_are_1002(opcode, wire):
    wire.send(opcode, b"")
    await wire.expect_close(1002)


async def test_an_unmasked_frame_is_1002(wire):
    wire.send(TEXT, INIT, mask=False)
    await wire.expect_close(1002)


async def test_a_continuation_of_nothing_is_1002(wire):
    wire.send(CONTINUATION, INIT)
    await wire.expect_close(1002)


async def test_a_new_message_before_the_end_of_another_is_1002(wire):
    wire.send(TEXT, INIT[:5], fin=False)
    wire.send(TEXT, INIT)
    await wire.expect_close(1002)


async def test_a_fragmented_control_frame_is_1002(wire):
    wire.send(PING, b"x", fin=False)
    await wire.expect_close(1002)


async def test_a_control_frame_past_125_bytes_is_1002(wire):
    wire.send(PING, b"x" * 126)
    await wire.expect_close(1002)


async def test_a_character_may_be_split_by_fragments(wire, manager):
    wire.send(TEXT, INIT)
    await wire.receive()
    query = "query A { __typename } # é€😀"
    request = {"id": "é€😀", "type": "subscribe", "payload": {"query": query}}
    message = json.dumps(request, ensure_ascii=False).encode()
    wire.send(TEXT, message[:1], fin=False)
    for index in range(1, len(message) - 1):
        wire.send(CONTINUATION, message[index : index + 1], fin=False)
    wire.send(CONTINUATION, message[-1:])
    _, answer = await wire.receive()
    assert json.loads(answer)["id"] == "é€😀"


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82"],
    ids=["invalid", "cut", "surrogate", "too-high", "overlong", "cut-in-three"],
)
async def test_text_that_is_not_utf_8_is_1007(text, wire):
    wire.send(TEXT, b"a", fin=False)
    wire.send(CONTINUATION, text)
    await wire.expect_close(1007)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4000, 4999])
async def test_a_close_of_the_client_is_answered_and_the_socket_closed(code, wire):
    wire.send(CLOSE, struct.pack("!H", code) + "bye é".encode())
    opcode, _ = await wire.receive()
    assert opcode == CLOSE
    assert await asyncio.wait_for(wire.reader.read(), PATIENCE) == b""


async def test_a_close_without_a_code_is_answered(wire):
    wire.send(CLOSE)
    opcode, _ = await wire.receive()
    assert opcode == CLOSE
    assert await asyncio.wait_for(wire.reader.read(), PATIENCE) == b""


async def test_frames_of_each_length_format_are_read(wire):
    wire.send(TEXT, INIT)
    await wire.receive()
    for size in (125, 126, 127, 65_535, 65_536, 99_000):
        ping = json.dumps({"type": "ping", "payload": {"x": ""}})
        ping = ping.replace('""', f'"{"y" * (size - len(ping))}"')
        assert len(ping) == size
        wire.send(TEXT, ping.encode())
        opcode, pong = await wire.receive()
        assert opcode == TEXT
        assert json.loads(pong)["type"] == "pong"
        assert json.loads(pong)["payload"] == json.loads(ping)["payload"]


async def test_a_message_past_the_limit_is_1009_by_its_announced_length(wire):
    wire.writer.write(bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 40) + b"mask")
    opcode, payload = await wire.receive()
    assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, 1009)


async def test_fragments_that_add_up_past_the_limit_are_1009(wire):
    wire.send(TEXT, b"x" * 60_000, fin=False)
    wire.send(CONTINUATION, b"x" * 60_000)
    await wire.expect_close(1009)


@pytest.mark.parametrize("chunk", [1, 3, 7])
async def test_frames_may_arrive_in_pieces_of_any_size(chunk, wire):
    sent: list[bytes] = []
    write, wire.writer.write = wire.writer.write, sent.append
    wire.send(TEXT, INIT)
    wire.send(PING, b"p")
    data = b"".join(sent)
    for start in range(0, len(data), chunk):
        write(data[start : start + chunk])
        await wire.writer.drain()
    assert await wire.receive() == (TEXT, ACK)
    assert await wire.receive() == (PONG, b"p")


async def test_a_socket_that_the_client_has_half_closed_is_closed(wire, manager):
    wire.send(TEXT, INIT)
    await wire.receive()
    request = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { feed }"}}
    wire.send(TEXT, json.dumps(request).encode())
    wire.send(PING)
    await wire.receive()
    wire.writer.write_eof()
    assert await asyncio.wait_for(wire.reader.read(), PATIENCE) in (b"", b"\x88\x00")
    await clients_left(manager)
    await eventually(lambda: not manager.metrics().subscriptions, "the subscription is ended")


async def test_an_offered_extension_is_declined_and_the_connection_works(manager, serve, stack):
    server = await serve(manager)
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    wire = await open_wire(server, stack, offer)
    wire.send(TEXT, INIT)
    assert await wire.receive() == (TEXT, ACK)
    # A compressed frame was not agreed on.
    wire.send(TEXT, b"\xaaV*I-.", reserved=4)
    await wire.expect_close(1002)


@pytest.mark.parametrize(
    ("line", "replacement", "expected"),
    [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", b"426"),
        ("Sec-WebSocket-Version: 13", "X-None: 1", b"426"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X-None: 1", b"400"),
        ("GET /graphql ", "GET /elsewhere ", b"404"),
        ("GET /graphql ", "POST /graphql ", b"405"),
    ],
    ids=["version", "no-version", "no-key", "path", "method"],
)
async def test_an_invalid_handshake_is_refused(line, replacement, expected, manager, serve, stack):
    server = await serve(manager)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    stack.callback(writer.close)
    lines = [
        f"GET {server.path} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: graphql-transport-ws",
    ]
    request = "\r\n".join(lines).replace(line, replacement) + "\r\n\r\n"
    writer.write(request.encode())
    response = await asyncio.wait_for(reader.read(), PATIENCE)
    assert response.startswith(b"HTTP/1.1 " + expected)
    assert b"connection: close\r\n" in response.lower()


async def test_another_upgrade_is_left_out_and_the_request_is_answered(manager, serve, stack):
    """A client that prefers HTTP/2; RFC 9110, section 7.8."""
    server = await serve(manager)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    stack.callback(writer.close)
    body = b'{"query": "{ __typename }"}'
    writer.write(
        f"POST {server.path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    expected = b'{"data":{"__typename":"Query"}}'
    response = await asyncio.wait_for(reader.readuntil(expected), PATIENCE)
    assert response.startswith(b"HTTP/1.1 200")


SERVER = """
import asyncio
from fraiseql_subs import SubscriptionManager, passthrough

async def main():
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
    async with manager.serve(port=0, drain=0.0) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_websocket_takes_one_file_descriptor_of_the_server(connect):
    async with program(SERVER) as (process, url):
        server = psutil.Process(process.pid)
        # It is acknowledged, so the state of its handshake is freed.
        await connect(url)
        before = server.num_fds()
        for _ in range(10):
            await connect(url)
        assert server.num_fds() == before + 10
