"""Reads the streams of results over HTTP: server-sent events, and multipart.

Not here: requests, and what is wrong with their responses (`_subscribe_http`).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from ._subscribe_request import ConnectionLost, Result, ServerRefusal

MAX_RESULT = 64 * 1024 * 1024
"""The largest result (bytes)."""

_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
_BOUNDARY = re.compile(r"""boundary=(?:"([^"]+)"|([^;\s]+))""", re.IGNORECASE)


def read_result(text: str | bytes) -> Result:
    """Read a JSON object.

    Raises:
        ServerRefusal: It is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ServerRefusal("the server sent something that is no result of GraphQL")
    return value


async def server_sent_results(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Result, None]:
    """Yield the results of a stream in distinct connections mode, until it is complete.

    Raises:
        ConnectionLost: It has ended before.
        ServerRefusal: It is no such stream.
    """
    event = b""
    data: list[bytes] = []
    size = 0
    async for line in _lines(chunks):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            event = value
        elif name == b"data":
            data.append(value)
            size += len(value) + 1
            _check_size(size)
        elif not line:
            if event == b"complete":
                return
            # The name is absent from some servers.
            if data and event in (b"next", b""):
                yield read_result(b"\n".join(data))
            event, data, size = b"", [], 0
    raise ConnectionLost("the server has ended the stream")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    pieces = _Pieces(_END, 2)
    async for chunk in chunks:
        for line in pieces.feed(chunk):
            yield line


class _Pieces:
    """Splits a stream at its separators.

    Searches each byte about once, however many chunks a piece has.

    Args:
        separator: Matches a separator, and not its beginning.
        length: The longest separator (bytes).
    """

    def __init__(self, separator: re.Pattern[bytes], length: int) -> None:
        self._separator = separator
        self._overlap = length - 1
        self.rest = bytearray()
        """What has no separator yet."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the pieces that end in a chunk."""
        at = max(len(self.rest) - self._overlap, 0)
        self.rest += chunk
        pieces, begin = [], 0
        for found in self._separator.finditer(self.rest, at):
            pieces.append(bytes(self.rest[begin : found.start()]))
            begin = found.end()
        del self.rest[:begin]
        _check_size(len(self.rest))
        return pieces


async def multipart_results(
    chunks: AsyncIterator[bytes], content_type: str
) -> AsyncGenerator[Result, None]:
    """Yield the results of a multipart stream, until it is complete.

    Raises:
        ConnectionLost: It has ended before.
        ServerRefusal: It is no such stream.
    """
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2]) if found else "-"
    delimiter = f"\r\n--{boundary}".encode()
    parts = _Pieces(re.compile(re.escape(delimiter)), len(delimiter))
    # The first delimiter may stand at the beginning.
    parts.feed(b"\r\n")
    is_first = True
    async for chunk in chunks:
        for part in parts.feed(chunk):
            if not is_first and (result := _read_part(part)) is not None:
                yield result
            is_first = False
        if not is_first and parts.rest.startswith(b"--"):
            return
    raise ConnectionLost("the server has ended the stream")


def _read_part(part: bytes) -> Result | None:
    """Return the result of a part; None: it has none, as a heartbeat."""
    _, _, body = part.partition(b"\r\n\r\n")
    message = read_result(body)
    if "payload" not in message:
        return None
    payload: Any = message["payload"]
    if payload is None:
        # The subscription as a whole has failed.
        return {"errors": message["errors"]} if message.get("errors") else None
    if not isinstance(payload, dict):
        raise ServerRefusal("the server sent something that is no result of GraphQL")
    return payload


def _check_size(size: int) -> None:
    if size > MAX_RESULT:
        raise ServerRefusal(f"the server sent a result of more than {MAX_RESULT} bytes")
