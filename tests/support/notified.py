"""The socket of a service manager: receives what programs tell it by `NOTIFY_SOCKET`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType

from support.waiting import PATIENCE

_CREDENTIALS = struct.Struct("3i")


class Notified:
    """Listens at a path, or at an abstract name that begins with `@`; use it as a context.

    Attributes:
        path: The value of `NOTIFY_SOCKET`.
        sender: The process that has sent the last message.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.sender = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def fill(self) -> None:
        """Send messages until there is no room for another one; `rest` empties it."""
        path = self.path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sender.sendto(b"FILLED=1", "\0" + path[1:] if path[0] == "@" else path)

    async def next(self) -> dict[str, str]:
        """Wait for a message, and return its variables."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, readable.set)
        try:
            await asyncio.wait_for(readable.wait(), PATIENCE)
        finally:
            loop.remove_reader(self._socket)
        return self._receive()

    def rest(self) -> list[dict[str, str]]:
        """Return the messages that have arrived and were not read."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self._receive())
        return messages

    def _receive(self) -> dict[str, str]:
        data, ancillary, _, _ = self._socket.recvmsg(4096, 256)
        for _, kind, value in ancillary:
            if kind == socket.SCM_CREDENTIALS:
                self.sender = _CREDENTIALS.unpack(value[: _CREDENTIALS.size])[0]
        pairs = (line.partition("=") for line in data.decode().splitlines())
        return {name: value for name, _, value in pairs}

    def __enter__(self) -> Notified:
        path = self.path
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self._socket.setblocking(False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
