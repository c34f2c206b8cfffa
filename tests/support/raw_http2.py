"""HTTP/2 frame by frame, for clients that no library implements."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from dataclasses import dataclass, field
from typing import TypeAlias

import hpack

from support.waiting import PATIENCE

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 7, 8, 11
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 6

Fields: TypeAlias = "list[tuple[str, str]]"

POST: Fields = [
    (":method", "POST"),
    (":path", "/graphql"),
    (":scheme", "https"),
    (":authority", "localhost"),
    ("content-type", "application/json"),
]
GET: Fields = [(":method", "GET"), *POST[1:4]]
QUERY = b'{"query":"{ __typename }"}'
SUBSCRIBE = b'{"query":"subscription { ticks }"}'


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write one frame."""
    length = struct.pack(">I", len(payload))[1:]
    return length + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def window(stream: int, size: int) -> bytes:
    """Open the window of a stream by a number of bytes; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


@dataclass
class Response:
    """The response that was received on one stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_over: bool = False
    reset: int | None = None


class Http2Client:
    """One connection; it reads in the background, and answers only settings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.settings: dict[int, int] = {}
        self.responses: dict[int, Response] = {}
        self.goaway: int | None = None
        self.is_closed = asyncio.Event()
        self.acknowledged = 0
        self.answers_pings = True
        self.windows = True
        self._last_stream = -1
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls, port: int, trusting: ssl.SSLContext, window: int | None = None
    ) -> Http2Client:
        """Connect; with a window (bytes), no stream may send more."""
        trusting.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="127.0.0.1"
        )
        client = cls(reader, writer)
        settings = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        client.windows = window is None
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))
        await client.until(lambda: MAX_CONCURRENT_STREAMS in client.settings)
        return client

    def send(self, data: bytes) -> None:
        """Send bytes, unless the server has closed."""
        if not self.writer.transport.is_closing():
            self.writer.write(data)

    def next_stream(self) -> int:
        """Choose the id of a further stream."""
        self._last_stream += 2
        self.responses[self._last_stream] = Response()
        return self._last_stream

    def ask(self, fields: Fields, body: bytes = b"", *, is_whole: bool = True) -> int:
        """Send a request; return its stream."""
        stream = self.next_stream()
        head = self.encoder.encode(fields)
        ends = is_whole and not body
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, head))
        if body:
            self.send(frame(DATA, END_STREAM if is_whole else 0, stream, body))
        return stream

    async def until(self, condition) -> None:
        """Wait until a condition holds for the received frames, or the server has closed."""
        async with self._changed:
            await asyncio.wait_for(
                self._changed.wait_for(lambda: condition() or self.is_closed.is_set()), PATIENCE
            )

    async def answer(self, stream: int) -> Response:
        """Wait for a whole response, a reset of its stream, or the end of the connection."""
        response = self.responses[stream]
        await self.until(lambda: response.is_over or response.reset is not None)
        return response

    async def closed(self) -> int | None:
        """Wait until the server has closed; return the code of its `GOAWAY`."""
        await asyncio.wait_for(self.is_closed.wait(), PATIENCE)
        return self.goaway

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = await self.reader.readexactly(9)
                length = int.from_bytes(head[:3], "big")
                payload = await self.reader.readexactly(length)
                async with self._changed:
                    self._take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
                    self._changed.notify_all()
        async with self._changed:
            self.is_closed.set()
            self._changed.notify_all()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        response = self.responses.get(stream, Response())
        if kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", payload))
            self.send(frame(SETTINGS, ACK, 0))
        elif kind in (SETTINGS, PING) and flags & ACK:
            self.acknowledged += 1
        elif kind == PING and not flags & ACK and self.answers_pings:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">I", payload[4:8])[0]
        elif kind == RST_STREAM:
            # The server may answer several frames with a second one.
            if response.reset is None:
                response.reset = struct.unpack(">I", payload)[0]
        elif kind == HEADERS:
            headers = dict(self.decoder.decode(payload))
            response.status = int(headers.pop(":status"))
            response.headers = headers
            response.is_over = bool(flags & END_STREAM)
        elif kind == DATA:
            response.body += payload
            response.is_over = bool(flags & END_STREAM)
            if payload and self.windows:
                self.send(window(0, len(payload)) + window(stream, len(payload)))

    async def close(self) -> None:
        """Close at once."""
        self._reading.cancel()
        self.writer.transport.abort()
