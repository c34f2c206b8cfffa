"""A WebSocket client that reads and answers only when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from support.raw_http import handshake
from support.waiting import PATIENCE

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = bytes(4),
) -> bytes:
    """Write one frame as RFC 6455, section 5.2 has it; `mask=None` sends the payload as it is."""
    size, masked = len(payload), (mask is not None) << 7
    head = bytes([(fin << 7) | (reserved << 4) | opcode])
    if size < 126:
        head += bytes([masked | size])
    elif size < 1 << 16:
        head += bytes([masked | 126]) + struct.pack("!H", size)
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", size)
    if mask is None:
        return head + payload
    if any(mask):
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + mask + payload


def message(content: Any) -> bytes:
    """Write a message of a subprotocol: JSON, in one frame."""
    return frame(TEXT, json.dumps(content).encode())


@dataclass(frozen=True)
class Frame:
    """A received frame: its opcode and its payload."""

    opcode: int
    payload: bytes


async def open_connection(
    url: str, path: str | None = None, context: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port or a path, with a small receive buffer."""
    parts = urlsplit(url)
    plain = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    plain.setblocking(False)
    address = path or (parts.hostname, parts.port)
    await asyncio.get_running_loop().sock_connect(plain, address)
    name = parts.hostname if context else None
    # Reads only as much as the test asks for.
    return await asyncio.open_connection(sock=plain, limit=1, ssl=context, server_hostname=name)


class RawWebSocket:
    """One connection, frame by frame. Until it reads, the server's data stay in the network."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        path: str | None = None,
        subprotocol: str = "graphql-transport-ws",
        context: ssl.SSLContext | None = None,
    ) -> AsyncIterator[RawWebSocket]:
        """Connect, complete the handshake and receive `connection_ack`.

        Args:
            url: Of the server; `path` is a socket of the file system to reach it by.
            path: See above.
            subprotocol: The only one that is offered.
            context: Of TLS.
        """
        reader, writer = await open_connection(url, path, context)
        try:
            client = cls(reader, writer)
            await client._shake_hands(urlsplit(url).path, subprotocol)
            yield client
        finally:
            writer.transport.abort()

    async def _shake_hands(self, path: str, subprotocol: str) -> None:
        self.writer.write(handshake(host="x", path=path, subprotocol=subprotocol))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await self.reader.readexactly(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        await self.send({"type": "connection_init"})
        kind = None
        while kind != "connection_ack":
            received = await self.read()
            if received.opcode == PING:
                continue
            assert received.opcode == TEXT, received
            kind = json.loads(received.payload)["type"]

    async def send(self, message: Any, opcode: int = TEXT) -> None:
        """Send a frame, with a mask of zeros."""
        payload = json.dumps(message).encode() if opcode == TEXT else message
        self.writer.write(frame(opcode, payload))
        await self.writer.drain()

    async def subscribe(self, query: str) -> None:
        """Subscribe, as id 1."""
        await self.send({"type": "subscribe", "id": "1", "payload": {"query": query}})

    async def read(self) -> Frame:
        """Read one frame.

        Raises:
            asyncio.IncompleteReadError: The server has ended the connection.
        """
        return await asyncio.wait_for(self._read(), PATIENCE)

    async def _read(self) -> Frame:
        first, length = await self.reader.readexactly(2)
        if length >= 126:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        return Frame(first & 0x0F, await self.reader.readexactly(length))

    async def read_bytes(self, count: int) -> None:
        """Read `count` bytes without parsing them."""
        await asyncio.wait_for(self.reader.readexactly(count), PATIENCE)

    async def ended(self) -> list[Frame]:
        """Read until the server ends the connection; return the frames before."""
        frames = []
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frames.append(await self.read())
        return frames


class Metronome:
    """A clock with the keepalive interval of a server with one worker: answers every ping.

    A test that moves with it depends on the server's time and not on its own clock.
    """

    def __init__(self, client: RawWebSocket) -> None:
        self._client = client
        self.beats = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str, **options: Any) -> AsyncIterator[Metronome]:
        async with RawWebSocket.connect(url, **options) as client:
            yield cls(client)

    async def beat(self) -> None:
        """Wait for the next interval."""
        while not await self._is_beat(await self._client.read()):
            pass
        self.beats += 1

    async def _is_beat(self, frame: Frame) -> bool:
        if frame.opcode == PING:
            await self._client.send(frame.payload, PONG)
            return True
        # Behind an adapter, the ping is a message of the subprotocol.
        if frame.opcode == TEXT and json.loads(frame.payload)["type"] == "ping":
            await self._client.send({"type": "pong"})
            return True
        assert frame.opcode in (TEXT, PING), frame
        return False
