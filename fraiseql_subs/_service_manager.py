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

from ._records import records

VARIABLE = "NOTIFY_SOCKET"
"""Environment variable with the path of the socket; `@` begins the name of an abstract one."""

_log = logging.getLogger("fraiseql_subs.server")

_PATIENCE = 30.0
"""How long the socket may be full (seconds)."""

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
    """Sends messages in their order. Those for which the socket has no room wait in a thread.

    Of those of a kind, such as READY, only the newest waits.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, str]] = {}
        self._is_sending = False
        self._lock = threading.Lock()

    def send(self, place: str, state: str) -> None:
        """Send a message, at once if that is possible; the caller never waits."""
        with self._lock:
            error = self._send(place, state)
        # Without the lock: a handler of the log may wait for a thread that sends a message.
        if error is not None:
            _complain(error)

    def _send(self, place: str, state: str) -> Exception | None:
        if not self._is_sending:
            error = _send(place, state, patience=0.0)
            if getattr(error, "errno", None) not in _FULL:
                return error
        kind = state.partition("=")[0]
        self._waiting.pop(kind, None)
        self._waiting[kind] = (place, state)
        return None if self._is_sending else self._start()

    def _start(self) -> Exception | None:
        try:
            threading.Thread(target=self._run, name="service-manager", daemon=True).start()
        except RuntimeError as error:
            # The interpreter ends, or the system has no more threads.
            self._waiting.clear()
            return error
        self._is_sending = True
        return None

    def _run(self) -> None:
        while message := self._next():
            error = _send(*message, patience=_PATIENCE)
            if error is not None:
                _complain(error)

    def _next(self) -> tuple[str, str] | None:
        with self._lock:
            for kind in self._waiting:
                return self._waiting.pop(kind)
            self._is_sending = False
            return None


_MESSAGES = _Messages()


def _send(place: str, state: str, *, patience: float) -> Exception | None:
    """Send a message; return why it could not be sent.

    With a service manager of another kind, or without one, the program serves all the same.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(patience)
            channel.sendto(state.encode(), "\0" + place[1:] if place[0] == "@" else place)
    except (OSError, AttributeError) as error:
        return error
    return None


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
