"""Shuts down the sockets of clients that read nothing, behind any server: ADR 0055.

ASGI has no message for that, and at the end of an application servers wait until the client has
read everything. So this module finds the socket among the descriptors of the process, by its two
addresses, and shuts it down. The server then sees a lost connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import stat
import struct
import weakref
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeAlias

from .._core import CLOSE_TIMEOUT

TAKE_TIMEOUT = 60.0
"""Seconds without progress after which the end of a stream over HTTP is aborted."""

_GATHER = 0.5
"""Seconds for which requests to find a socket are collected, to scan all descriptors once."""

_DESCRIPTORS = "/dev/fd"
_RESET = struct.pack("ii", 1, 0)

Address: TypeAlias = tuple[str, int]


class Ends(NamedTuple):
    """The two addresses of a connection; at any time they identify at most one."""

    client: Address
    server: Address


class Held(NamedTuple):
    """A socket of this process. Its descriptor may later belong to another file."""

    descriptor: int
    inode: int


def ends_of(client: Any, server: Any) -> Ends | None:
    """Read the addresses that a server reports; None: they are not TCP addresses."""
    ours, theirs = _address(server), _address(client)
    return None if ours is None or theirs is None else Ends(theirs, ours)


def _address(told: Any) -> Address | None:
    try:
        host, port = told[0], int(told[1])
        ip = ipaddress.ip_address(host.partition("%")[0])
    except (TypeError, ValueError, IndexError, AttributeError):
        return None
    # Servers format an IPv4 client of an IPv6 socket differently.
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (str(mapped or ip), port) if port > 0 else None


async def cut(ends: Ends | None) -> bool:
    """Shut down a socket at once; False if it is not found."""
    held = None if ends is None else await _finder().find(ends)
    return held is not None and _act(held, _reset)


def cut_unless_closed(ends: Ends | None) -> None:
    """Shut down a closing socket if it is still open after `CLOSE_TIMEOUT`."""
    if ends is not None:
        _finder().keep(_cut_late(ends))


def limit(ends: Ends | None) -> None:
    """Let TCP abort a socket if its client reads nothing of the pending data."""
    if ends is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        _finder().keep(_limit(ends))


async def _cut_late(ends: Ends) -> None:
    if (held := await _finder().find(ends)) is not None:
        await asyncio.sleep(CLOSE_TIMEOUT)
        _act(held, _reset)


async def _limit(ends: Ends) -> None:
    if (held := await _finder().find(ends)) is not None:
        _act(held, _limit_progress)


def _reset(copy: socket.socket) -> None:
    # When the server closes the socket, unsent data is dropped and the client gets a reset.
    copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    copy.shutdown(socket.SHUT_RDWR)


def _limit_progress(copy: socket.socket) -> None:
    # Linux alone has it.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(TAKE_TIMEOUT * 1000))


def _act(held: Held, act: Callable[[socket.socket], None]) -> bool:
    """Call a function with a socket, unless its descriptor was closed since it was found."""
    try:
        descriptor = os.dup(held.descriptor)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_ino != held.inode:
            return False
        copy = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return False
    with copy, contextlib.suppress(OSError):
        act(copy)
    return True


class _Finder:
    """Finds the sockets of the clients of one event loop."""

    def __init__(self) -> None:
        self._wanted: dict[Ends, asyncio.Future[Held | None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, ends: Ends) -> Held | None:
        future = self._wanted.get(ends)
        if future is None:
            future = self._wanted[ends] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
        return await asyncio.shield(future)

    async def _look(self) -> None:
        wanted: dict[Ends, asyncio.Future[Held | None]] = {}
        held: dict[Ends, Held] = {}
        try:
            while self._wanted:
                await asyncio.sleep(_GATHER)
                wanted, self._wanted = self._wanted, {}
                held = await asyncio.to_thread(_find, wanted.keys())
                _tell(wanted, held)
        finally:
            # A task refers to its event loop, which would keep this finder alive.
            self._looking = None
            _tell({**wanted, **self._wanted}, held)
            self._wanted = {}

    def keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _tell(wanted: dict[Ends, asyncio.Future[Held | None]], held: dict[Ends, Held]) -> None:
    for ends, future in wanted.items():
        if not future.done():
            future.set_result(held.get(ends))


_FINDERS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Finder]
_FINDERS = weakref.WeakKeyDictionary()


def _finder() -> _Finder:
    event_loop = asyncio.get_running_loop()
    finder = _FINDERS.get(event_loop)
    if finder is None:
        finder = _FINDERS[event_loop] = _Finder()
    return finder


def _find(wanted: Collection[Ends]) -> dict[Ends, Held]:
    """Scan all descriptors of the process."""
    held: dict[Ends, Held] = {}
    try:
        descriptors = [int(name) for name in os.listdir(_DESCRIPTORS)]
    except OSError:
        return held
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                ends = _ends(descriptor)
                if ends is not None and ends in wanted:
                    held[ends] = Held(descriptor, status.st_ino)
    return held


_LOOKED_AT = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)
"""With this type, Python does not change the blocking mode of the descriptor."""


def _ends(descriptor: int) -> Ends | None:
    # Another thread may close the descriptor, so it is only inspected, never closed here. The
    # family is that of the address; AF_INET6 has room for the longest one.
    looked_at = socket.socket(socket.AF_INET6, _LOOKED_AT, 0, descriptor)
    try:
        return ends_of(looked_at.getpeername(), looked_at.getsockname())
    finally:
        looked_at.detach()
