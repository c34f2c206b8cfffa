"""Headers of the PROXY protocol, and a proxy that sends one before what its clients send."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import struct
from pathlib import Path

from typing_extensions import Self

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UNIX = 0x11, 0x21, 0x31


def version_1(client: str, port: int = 5000) -> bytes:
    """Write the line that tells a client."""
    family, target = ("TCP6", "::1") if ":" in client else ("TCP4", "127.0.0.1")
    return f"PROXY {family} {client} {target} {port} 80\r\n".encode()


def version_2(client: str, port: int = 5000, tlvs: bytes = b"") -> bytes:
    """Write the binary header that tells a client."""
    address = ipaddress.ip_address(client)
    target = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    block = address.packed + target.packed + struct.pack(">HH", port, 80) + tlvs
    return binary(PROXY, TCP4 if address.version == 4 else TCP6, block)


def binary(command: int, family: int, block: bytes = b"") -> bytes:
    """Write a header of version 2 of any parts."""
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + block


def unread(server_port: int, client_port: int) -> int:
    """Return how many bytes of a client on this machine the server has not read yet.

    Raises:
        LookupError: There is no such connection.
    """
    ends = f"{server_port:04X}", f"{client_port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (local.rpartition(":")[2], remote.rpartition(":")[2]) == ends:
            return int(queues.partition(":")[2], 16)
    raise LookupError("there is no such connection")


class HeaderProxy:
    """Listens on a port of its own; `async with HeaderProxy(server_port, header) as proxy`.

    The header and the first bytes of the client are sent in one piece.

    Args:
        target: Port of the server on this machine, or the path of its unix socket.
        header: What is sent first on each connection.
    """

    def __init__(self, target: int | str, header: bytes) -> None:
        self.port = 0
        self._target = target
        self._header = header
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1 << 16)
        if isinstance(self._target, int):
            server = await asyncio.open_connection("127.0.0.1", self._target)
        else:
            server = await asyncio.open_unix_connection(self._target)
        server[1].write(self._header + first)
        try:
            await asyncio.gather(_copy(reader, server[1]), _copy(server[0], writer))
        finally:
            server[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof() if writer.can_write_eof() else writer.close()
