"""Listening sockets that another part of the program, or another program, has opened.

Not here: those that the server opens itself, which the compiled core does.
"""

from __future__ import annotations

import os
import socket

from ._core import Handover
from .errors import ConfigurationError

_FAMILIES = {socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", socket.AF_INET)}


def check_listener(listener: object) -> None:
    """Refuse what is not a listening stream socket.

    Raises:
        ConfigurationError: It is none.
    """
    if listener is None:
        return
    if not isinstance(listener, socket.socket):
        kind = type(listener).__name__
        raise ConfigurationError(
            f"listener is of type {kind}: pass a socket.socket that listens, or None"
        )
    if not hasattr(socket, "send_fds"):
        raise ConfigurationError(
            "listener= needs Linux or macOS: on this system leave it out, and set host= and port="
        )
    if listener.family not in _FAMILIES or listener.type != socket.SOCK_STREAM:
        raise ConfigurationError(f"listener={listener!r}: pass a socket of TCP or a Unix socket")
    if listener.fileno() < 0 or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ConfigurationError(f"listener={listener!r} does not listen: call listen() before")


def address_of(listener: socket.socket) -> tuple[str, int, str | None]:
    """Return host, port and path of a listening socket; "" and 0 if it has a path."""
    name = listener.getsockname()
    if isinstance(name, tuple):
        return name[0], name[1], None
    return "", 0, os.fsdecode(name)


def hand_over(listener: socket.socket) -> Handover:
    """Return the way on which the core receives a copy of the socket.

    The socket no longer blocks, for all who have it: copies of a socket share this.

    Raises:
        ConfigurationError: It no longer listens.
    """
    check_listener(listener)
    listener.setblocking(False)
    handover = Handover()
    with socket.socket(fileno=os.dup(handover.fileno())) as theirs:
        socket.send_fds(theirs, [b"\0"], [listener.fileno()])
    return handover
