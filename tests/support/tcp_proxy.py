"""A TCP proxy that a test drives: it passes bytes, and breaks connections as it is told to.

Not here: what goes through it. It knows no protocol; a test may ask who has sent a word.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections.abc import Callable, Iterable

CHUNK = 1 << 16
"""Most bytes that are taken at once."""


class Admission(enum.Enum):
    """What happens to new connections."""

    PASS = "pass"
    """They are connected to the server."""
    REFUSE = "refuse"
    """There is no listener: the client's system refuses them."""
    RESET = "reset"
    """They are accepted and reset."""
    HANG = "hang"
    """They are accepted and never answered."""


class Direction:
    """What is sent from one side to the other of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.is_dropped = False
        """Whether bytes are read and dropped."""
        self.dropped = 0
        """Dropped bytes (count)."""
        self.delay = 0.0
        """How long each part is held back (seconds)."""
        self.rewrite: Callable[[bytes], bytes] | None = None
        """What bytes are replaced by, part by part."""
        self.left: int | None = None
        """Bytes after which the connection is cut; None: it is not."""
        self._is_open = asyncio.Event()
        self._is_open.set()

    def stop(self) -> None:
        """Take nothing from the sender any more, until `go_on`."""
        self._is_open.clear()

    def go_on(self) -> None:
        """Pass all data again; dropped data stay lost."""
        self.is_dropped, self.delay, self.left = False, 0.0, None
        self._is_open.set()

    async def copy(self, look: Callable[[bytes], None]) -> bool:
        """Pass all data; return whether the connection is to be cut.

        Args:
            look: Is called with all data that are passed.
        """
        while True:
            await self._is_open.wait()
            data = await self.reader.read(CHUNK)
            # It may have been stopped during the read.
            await self._is_open.wait()
            if not data:
                return False
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.is_dropped:
                self.dropped += len(data)
                continue
            if self.rewrite is not None:
                data = self.rewrite(data)
            if self.left is not None:
                data = data[: self.left]
                self.left -= len(data)
            look(data)
            if data:
                self.writer.write(data)
                await self.writer.drain()
            if self.left == 0:
                return True


class ProxiedConnection:
    """One connection of a client, and the one to the server that was made for it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        words: Iterable[bytes],
    ) -> None:
        self.to_server = Direction(client[0], server[1])
        self.to_client = Direction(server[0], client[1])
        self.sent: set[bytes] = set()
        """Those of the words that the client has sent."""
        self.received = 0
        """Bytes that were sent to the client (count)."""
        self.resets = True
        """How it is cut after a number of bytes: with RST, or with FIN."""
        self._words = list(words)
        self._tail = b""

    @property
    def directions(self) -> tuple[Direction, Direction]:
        """Both."""
        return self.to_server, self.to_client

    async def pass_on(self) -> None:
        """Pass both directions until the connection has ended."""
        copies = [
            asyncio.ensure_future(self._pass(self.to_server, self._look_at_sent)),
            asyncio.ensure_future(self._pass(self.to_client, self._look_at_received)),
        ]
        try:
            await asyncio.gather(*copies)
        except OSError:
            self.cut()
        finally:
            # First, as the wait may be cancelled.
            for direction in self.directions:
                direction.writer.close()
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)

    async def _pass(self, direction: Direction, look: Callable[[bytes], None]) -> None:
        if await direction.copy(look):
            self.cut(reset=self.resets)
        elif not direction.is_dropped and direction.writer.can_write_eof():
            direction.writer.write_eof()

    def cut(self, *, reset: bool = True) -> None:
        """End both connections, with RST or else with FIN."""
        for direction in self.directions:
            if reset:
                _reset(direction.writer)
            else:
                direction.writer.close()

    def cut_after(self, count: int, *, reset: bool = False) -> None:
        """Cut it once the client was sent so many bytes more. With FIN it gets all of them."""
        self.resets, self.to_client.left = reset, count

    def _look_at_sent(self, data: bytes) -> None:
        text = self._tail + data
        self.sent |= {word for word in self._words if word in text}
        longest = max(map(len, self._words), default=1)
        self._tail = text[len(text) - longest + 1 :]

    def _look_at_received(self, data: bytes) -> None:
        self.received += len(data)


class TcpProxy:
    """Listens on a port of its own; `async with TcpProxy(server_port) as proxy`.

    Args:
        target: Port of the server on this machine; may be changed for connections to come.
        words: What connections are told apart by: see `with_word`.
        rewrite: Replaces what both sides send, part by part.
    """

    def __init__(
        self,
        target: int,
        words: Iterable[bytes] = (),
        rewrite: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.target = target
        self.words = list(words)
        self.rewrite = rewrite
        self.connections: list[ProxiedConnection] = []
        """Those that are open, the oldest first."""
        self.attempts = 0
        """Connections that were accepted so far (count)."""
        self.port = 0
        self._admission = Admission.PASS
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Holds the port while there is no listener.
        self._holder = _bind(0)
        self.port = int(self._holder.getsockname()[1])

    async def admit(self, admission: Admission) -> None:
        """Change what happens to new connections; those that are open stay."""
        self._admission = admission
        loop = asyncio.get_running_loop()
        if admission is Admission.REFUSE:
            if self._listener is not None:
                loop.remove_reader(self._listener)
                self._listener.close()
                self._listener = None
        elif self._listener is None:
            self._listener = _bind(self.port)
            self._listener.listen()
            loop.add_reader(self._listener, self._accept_one)

    def with_word(self, word: bytes) -> list[ProxiedConnection]:
        """Return the open connections whose client has sent a word, which is one of `words`."""
        assert word in self.words, f"{word!r} is not looked for"
        return [connection for connection in self.connections if word in connection.sent]

    def cut(self, *, reset: bool = True) -> None:
        """Cut all connections that are open."""
        for connection in list(self.connections):
            connection.cut(reset=reset)

    def stop(self) -> None:
        """Take nothing from either side of the open connections."""
        for direction in self._directions():
            direction.stop()

    def go_on(self) -> None:
        """Pass everything again on the open connections."""
        for direction in self._directions():
            direction.go_on()

    def _directions(self) -> list[Direction]:
        return [one for connection in self.connections for one in connection.directions]

    def _accept_one(self) -> None:
        assert self._listener is not None
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            # The client is gone already.
            return
        accepted.setblocking(False)
        self.attempts += 1
        task = asyncio.ensure_future(self._accept(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted, limit=CHUNK)
        try:
            await self._serve(reader, writer)
        except OSError:
            # Of a client that is gone.
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._admission is Admission.RESET:
            return _reset(writer)
        if self._admission is Admission.HANG:
            while await reader.read(CHUNK):
                pass
            return
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
        except OSError:
            return _reset(writer)
        connection = ProxiedConnection((reader, writer), server, self.words)
        connection.to_client.rewrite = connection.to_server.rewrite = self.rewrite
        if self._admission is not Admission.PASS:
            # It has changed during the connect; who cuts all connections means this one too.
            connection.cut()
        self.connections.append(connection)
        try:
            await connection.pass_on()
        finally:
            self.connections.remove(connection)

    async def __aenter__(self) -> TcpProxy:
        await self.admit(Admission.PASS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.admit(Admission.REFUSE)
        self._holder.close()
        # Each task has begun, and so closes its socket.
        await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _bind(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setblocking(False)
    # The one that holds the port and the one that listens there.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: data that were not sent are lost."""
    plain = writer.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
