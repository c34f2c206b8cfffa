"""The socket that the supervisor opens and its processes share."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigurationError

BACKLOG = 4096
"""Connections that wait until a process accepts them (count)."""


@contextlib.contextmanager
def open_socket(host: str, port: int, unix: str | None) -> Iterator[socket.socket]:
    """Listen at an address, or at a path, which is removed at the end.

    Raises:
        ConfigurationError: It cannot be done; the error says why.
    """
    try:
        opened = _open_tcp(host, port) if unix is None else _open_unix(unix)
    except OSError as error:
        raise _failure(error, unix or f"{host}:{port}") from None
    try:
        with opened:
            yield opened
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
