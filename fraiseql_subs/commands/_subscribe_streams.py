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
    async for line in _lines(chunks):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            event = value
        elif name == b"data":
            data.append(value)
        elif not line:
            if event == b"complete":
                return
            # The name is absent from some servers.
            if data and event in (b"next", b""):
                yield read_result(b"\n".join(data))
            event, data = b"", []
    raise ConnectionLost("the server has ended the stream")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = _END.split(rest + chunk)
        for line in lines:
            yield line
        _check_size(rest)


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
    # The first delimiter may stand at the beginning.
    rest = b"\r\n"
    is_first = True
    async for chunk in chunks:
        *parts, rest = (rest + chunk).split(delimiter)
        _check_size(rest)
        for part in parts:
            if not is_first and (result := _read_part(part)) is not None:
                yield result
            is_first = False
        if not is_first and rest.startswith(b"--"):
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


def _check_size(rest: bytes) -> None:
    if len(rest) > MAX_RESULT:
        raise ServerRefusal(f"the server sent a result of more than {MAX_RESULT} bytes")
