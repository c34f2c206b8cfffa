"""Finding the socket of a client among the descriptors of the process."""

from __future__ import annotations

import os
import socket

from fraiseql_subs.adapters import _sockets


def test_sockets_that_are_looked_at_stay_as_they_are():
    first, second = socket.socketpair()
    blocking = [os.get_blocking(one.fileno()) for one in (first, second)]
    socket.setdefaulttimeout(5)
    try:
        for one in (first, second):
            _sockets._ends(one.fileno())
        assert [os.get_blocking(one.fileno()) for one in (first, second)] == blocking
        assert blocking == [True, True]
    finally:
        socket.setdefaulttimeout(None)
        first.close()
        second.close()
