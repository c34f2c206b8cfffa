"""Ends a process whose supervisor has ended, whatever else it does."""

from __future__ import annotations

import os
import select
import socket
import threading
import time

_STATUS = 1
"""The status of the process, which is read by the system alone."""


class Watch:
    """Watches a channel from a thread: code of the user may hold up the main thread for any time.

    Args:
        channel: The channel, whose other end the supervisor has.

    Attributes:
        patience: How long the process may go on without the supervisor (seconds).
    """

    def __init__(self, channel: socket.socket) -> None:
        self.patience = 0.0
        # Its own, which is open until the process has ended.
        self._channel = os.dup(channel.fileno())
        threading.Thread(target=self._run, name="supervisor-watch", daemon=True).start()

    def _run(self) -> None:
        poll = select.poll()
        # Not what arrives: that is read elsewhere.
        poll.register(self._channel, select.POLLHUP)
        poll.poll()
        time.sleep(self.patience)
        os._exit(_STATUS)
