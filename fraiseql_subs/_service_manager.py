"""Tells the service manager, such as systemd, that the program serves, reloads or ends.

The protocol is that of sd_notify(3): a datagram to the Unix socket that `NOTIFY_SOCKET` names.
Without that variable nothing is told. Not here: when these things happen (`_program`, `processes`).
"""

from __future__ import annotations

import logging
import os
import socket
import time

from ._records import records

VARIABLE = "NOTIFY_SOCKET"
"""Environment variable with the path of the socket; `@` begins the name of an abstract one."""

_log = logging.getLogger("fraiseql_subs.server")

_PATIENCE = 2.0
"""How long the socket may be full (seconds)."""


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
    if not place:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(_PATIENCE)
            channel.sendto(state.encode(), "\0" + place[1:] if place[0] == "@" else place)
    except (OSError, AttributeError) as error:
        # A service manager of another kind, or none: the program serves all the same.
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
