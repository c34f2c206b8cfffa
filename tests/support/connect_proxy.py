"""A proxy that connects to others (`CONNECT`, RFC 9110 section 9.3.6), as companies have it."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import Any

from support.listening import listening


class ConnectProxy:
    """Connects clients to servers of this machine, whatever host they ask for.

    Args:
        credentials: `name:password` that it asks for; None: it asks for none.

    Attributes:
        asked: The `host:port` of each request.
        refuses: Whether it connects to nothing.
    """

    def __init__(self, credentials: str | None = None) -> None:
        self.asked: list[str] = []
        self.refuses = False
        self._credentials = credentials

    async def __aenter__(self) -> ConnectProxy:
        self._listening = listening(self._serve)
        self.address = f"127.0.0.1:{await self._listening.__aenter__()}"
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._listening.__aexit__(*raised)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        assert method == "CONNECT"
        self.asked.append(target)
        if (status := self._refusal(head)) is not None:
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        port = int(target.rpartition(":")[2])
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pass_on(reader, to_writer), pass_on(to_reader, writer))
        finally:
            to_writer.close()

    def _refusal(self, head: str) -> str | None:
        if self._credentials is not None:
            wanted = base64.b64encode(self._credentials.encode()).decode()
            if f"basic {wanted}".lower() not in head.lower():
                return "407 Proxy Authentication Required"
        return "403 Forbidden" if self.refuses else None


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write what is read until it ends, and then close."""
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()
