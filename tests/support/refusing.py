"""A server in front of Redis that answers chosen commands with an error."""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import Self

from support.listening import listening


class RefusingProxy:
    """Forwards to a Redis, unless it is told to refuse; `async with RefusingProxy(redis.port)`.

    Args:
        port: Port of the Redis.
        error: What it answers, such as `"ERR max number of clients reached"`; None: it forwards.
        command: The first word of the command that it refuses; None: the first one of a connection.
    """

    def __init__(self, port: int, error: str | None, command: str | None = None) -> None:
        self.error = error
        self.command = command
        self.refused = 0
        """How many connections were refused so far."""
        self._port = port

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._listening = listening(self._serve)
        self.port = await self._listening.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._listening.__aexit__(*raised)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.ensure_future(_copy(up_reader, writer))
        try:
            while data := await reader.read(65536):
                if self.error is not None and self._is_refused(data):
                    self.refused += 1
                    writer.write(f"-{self.error}\r\n".encode())
                    # The program closes this connection.
                    while await reader.read(65536):
                        pass
                    return
                up_writer.write(data)
        finally:
            answers.cancel()
            up_writer.close()

    def _is_refused(self, data: bytes) -> bool:
        if self.command is None:
            return True
        return f"\r\n{self.command}\r\n".encode() in data


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
