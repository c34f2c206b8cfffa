"""HTTP/1.1 requests as bytes, also ones that no library sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from support.waiting import PATIENCE

BODY = b'{"query":"{ __typename }"}'
ANSWER = b'{"data":{"__typename":"Query"}}'
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
"""The fields of a handshake, without the subprotocol."""


@dataclass(frozen=True)
class Answer:
    """The bytes that the server sent until it closed or had answered.

    Attributes:
        status: Status code; 0 without a response.
        headers: Names in lower case.
        body: What followed the head.
        is_closed: Whether the server has closed the connection.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    is_closed: bool


def request(
    *lines: str, line: str = "POST /graphql HTTP/1.1", host: str | None = "localhost"
) -> bytes:
    """Encode a head; each character is the byte with its code."""
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([line, *hosts, *lines, "", ""]).encode("latin-1")


def post(
    *lines: str, line: str = "POST /graphql HTTP/1.1", host: str | None = "localhost"
) -> bytes:
    """Write a query as JSON."""
    fields = ("Content-Type: application/json", f"Content-Length: {len(BODY)}", *lines)
    return request(*fields, line=line, host=host) + BODY


def handshake(
    *lines: str,
    host: str | None = "localhost",
    path: str = "/graphql",
    subprotocol: str = "graphql-transport-ws",
) -> bytes:
    """Write the handshake of a WebSocket."""
    fields = (*HANDSHAKE, f"Sec-WebSocket-Protocol: {subprotocol}", *lines)
    return request(*fields, line=f"GET {path} HTTP/1.1", host=host)


async def ask(url: str, sent: bytes, more: Iterable[bytes] = (), *, to_end: bool = False) -> Answer:
    """Send bytes and read the response; with `to_end`, read until the server closes."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(sent)
    sending = asyncio.ensure_future(_send(writer, more))
    received, is_closed = b"", False
    try:
        while to_end or not _is_whole(received):
            part = await asyncio.wait_for(reader.read(1 << 16), PATIENCE)
            if not part:
                is_closed = True
                break
            received += part
    except ConnectionError:
        is_closed = True
    finally:
        sending.cancel()
        writer.transport.abort()
    return _answer(received, is_closed)


async def _send(writer: asyncio.StreamWriter, more: Iterable[bytes]) -> None:
    with contextlib.suppress(ConnectionError):
        for part in more:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)


def _split(received: bytes) -> tuple[list[str], bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def _is_whole(received: bytes) -> bool:
    if b"\r\n\r\n" not in received:
        return False
    answer = _answer(received, False)
    length = answer.headers.get("content-length")
    if answer.headers.get("transfer-encoding") == "chunked":
        return answer.body.endswith(b"0\r\n\r\n")
    return answer.status in (100, 101, 204) or (
        length is not None and len(answer.body) >= int(length)
    )


def _answer(received: bytes, is_closed: bool) -> Answer:
    lines, body = _split(received)
    if not lines[0]:
        return Answer(0, {}, b"", is_closed)
    fields = (line.partition(":") for line in lines[1:])
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return Answer(int(lines[0].split()[1]), headers, body, is_closed)
