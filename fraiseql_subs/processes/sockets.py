"""The sockets that the supervisor opens and its processes accept connections of."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import ConfigurationError

_TCP = (socket.AF_INET, socket.AF_INET6)

BACKLOG = 4096
"""Connections that wait until a process accepts them (count)."""


class Sockets:
    """The sockets of an address: one for each place, or one for all.

    Several have a queue each, over which Linux spreads new connections evenly, in contrast to
    processes that take them from one queue. What waits in a queue is reset when it is closed, so
    one that has a process, or will have one, is kept here.

    Args:
        opened: A socket that listens.
        places: How many processes accept connections (count).
    """

    def __init__(self, opened: socket.socket, places: int) -> None:
        self._address = opened.getsockname()
        self._family = opened.family
        self._is_spread = places > 1 and sys.platform == "linux" and opened.family in _TCP
        if self._is_spread:
            # Only now: an address that another program has was refused.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._opened: dict[int, socket.socket] = {0: opened}

    def of(self, place: int) -> socket.socket:
        """Return the socket of a place; a new one listens once its process does so.

        Raises:
            OSError: The system opens no more sockets.
        """
        if not self._is_spread:
            return self._opened[0]
        if place not in self._opened:
            opened = socket.socket(self._family, socket.SOCK_STREAM)
            try:
                for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                    opened.setsockopt(socket.SOL_SOCKET, option, 1)
                opened.bind(self._address)
            except OSError:
                opened.close()
                raise
            self._opened[place] = opened
        return self._opened[place]

    def keep(self, places: Collection[int]) -> None:
        """Close those of other places, so that no client waits there."""
        if self._is_spread:
            for place in self._opened.keys() - set(places):
                self._opened.pop(place).close()

    def close(self) -> None:
        """Close all, as far as processes do not have them."""
        for opened in self._opened.values():
            opened.close()
        self._opened.clear()


@contextlib.contextmanager
def open_sockets(host: str, port: int, unix: str | None, places: int) -> Iterator[Sockets]:
    """Listen at an address, or at a path, which is removed at the end.

    Raises:
        ConfigurationError: It cannot be done; the error says why.
    """
    try:
        opened = _open_tcp(host, port) if unix is None else _open_unix(unix)
    except OSError as error:
        raise _failure(error, unix or f"{host}:{port}") from None
    try:
        with contextlib.closing(Sockets(opened, places)) as sockets:
            yield sockets
    finally:
        if unix is not None:
            Path(unix).unlink(missing_ok=True)


def _failure(error: OSError, place: str) -> ConfigurationError:
    advice = "set another address"
    if error.errno == errno.EADDRINUSE:
        advice = "another program listens there: end it, or use another address"
    elif error.errno == errno.EEXIST:
        advice = "it is no socket: use another path"
    elif error.errno in (errno.EACCES, errno.EPERM):
        advice = "this user may not listen there: use a port of at least 1024, or another path"
    return ConfigurationError(f"cannot listen on {place}: {error.strerror or error}; {advice}")


def _open_tcp(host: str, port: int) -> socket.socket:
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(BACKLOG)
            return opened
        except OSError as error:
            opened.close()
            failure = error
    raise failure or OSError("the host has no address")


def _open_unix(path: str) -> socket.socket:
    """Listen at a path; a socket that an ended program left behind is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise _error(errno.EEXIST)
        if _is_listening(path):
            raise _error(errno.EADDRINUSE)
        Path(path).unlink()
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(path)
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        return True
