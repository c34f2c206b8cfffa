"""Tells the service manager, such as systemd, that the program serves, reloads or ends.

The protocol is that of sd_notify(3): a datagram to the Unix socket that `NOTIFY_SOCKET` names.
Without that variable nothing is told. Not here: when these things happen (`_program`, `processes`).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from collections import deque

from ._records import records

VARIABLE = "NOTIFY_SOCKET"
"""Environment variable with the path of the socket; `@` begins the name of an abstract one."""

_log = logging.getLogger("fraiseql_subs.server")

_PATIENCE = 30.0
"""How long the socket may be full (seconds)."""

_MAX_WAITING = 16
"""Messages that wait for room in it; the newest are kept (count)."""

_FULL = (errno.EAGAIN, errno.ENOBUFS)
"""What a full socket is on Linux, and on macOS."""


def tell_ready(status: str) -> None:
    """Tell that the program serves, at first or after a reload.

    Args:
        status: What `systemctl status` shows: one line.
    """
    _tell(f"READY=1\nSTATUS={status}")


def tell_reloading() -> None:
    """Tell that the program is being replaced; `tell_ready` ends it."""
    # The time is for units of `Type=notify-reload`.
    _tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=restarting")


def tell_stopping() -> None:
    """Tell that the program drains."""
    _tell("STOPPING=1\nSTATUS=draining")


def _tell(state: str) -> None:
    place = os.environ.get(VARIABLE)
    if place:
        _MESSAGES.send(place, state)


class _Messages:
    """Sends messages in their order. Those for which the socket has no room wait in a thread."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str]] = deque(maxlen=_MAX_WAITING)
        self._is_sending = False
        self._lock = threading.Lock()

    def send(self, place: str, state: str) -> None:
        """Send a message, at once if that is possible; the caller never waits."""
        with self._lock:
            if not self._is_sending and _send(place, state, patience=0.0):
                return
            self._waiting.append((place, state))
            if not self._is_sending:
                self._is_sending = self._start()

    def _start(self) -> bool:
        try:
            threading.Thread(target=self._run, name="service-manager", daemon=True).start()
        except RuntimeError as error:
            # The interpreter ends, or the system has no more threads.
            self._waiting.clear()
            _complain(error)
            return False
        return True

    def _run(self) -> None:
        while message := self._next():
            _send(*message, patience=_PATIENCE)

    def _next(self) -> tuple[str, str] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._is_sending = False
            return None


_MESSAGES = _Messages()


def _send(place: str, state: str, *, patience: float) -> bool:
    """Send a message; return False if the socket has no room, and there is no time to wait.

    Whatever else prevents it is told in the log.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(patience)
            channel.sendto(state.encode(), "\0" + place[1:] if place[0] == "@" else place)
    except (OSError, AttributeError) as error:
        if patience == 0.0 and getattr(error, "errno", None) in _FULL:
            return False
        # A service manager of another kind, or none: the program serves all the same.
        _complain(error)
    return True


def _complain(error: Exception) -> None:
    text = f"the service manager at {VARIABLE} cannot be told: %s"
    cause = str(error)
    records.write(
        _log,
        logging.WARNING,
        text,
        cause,
        event="server.unannounced",
        fields={"cause": cause},
    )
