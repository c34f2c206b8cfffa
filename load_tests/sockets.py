"""Raw clients of graphql-transport-ws that only count results, so that they cost next to nothing.

Not here: what is measured and how it is printed.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds without any result after which a server is given up."""

QUIET = 0.3
"""Seconds without any result after which none is under way."""

MARK = b'"next"'
"""Stands once in each result and nowhere else, however the server spaces its JSON."""


def allow_many_files() -> None:
    """Raise the limit of open files to what the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def masked(payload: bytes) -> bytes:
    """A text frame of a client; the mask of zeros leaves the payload as it is."""
    if len(payload) < 126:
        return bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload
    return bytes([0x81, 0xFE]) + len(payload).to_bytes(2, "big") + bytes(4) + payload


def connect(port: int, document: str) -> socket.socket:
    """Connect, initialise and subscribe; nothing is read yet but the handshake and the ack."""
    client = socket.create_connection(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall(
        f"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(4096)
    client.sendall(masked(b'{"type":"connection_init"}'))
    while b"connection_ack" not in received:
        received += client.recv(4096)
    payload = {"id": "1", "type": "subscribe", "payload": {"query": document}}
    client.sendall(masked(json.dumps(payload).encode()))
    return client


def count_results(clients: list[socket.socket], events: int) -> None:
    """Read until every client has so many results."""
    if not _read(clients, events, PATIENCE):
        raise SystemExit(f"not every client has received {events} results in {PATIENCE} s")


def settle(clients: list[socket.socket], publish: Callable[[], None]) -> None:
    """Publish until every client has a result, which says that it is subscribed; then read all."""
    while not _read(clients, 1, QUIET):
        publish()
    _read(clients, sys.maxsize, QUIET)


def _read(clients: list[socket.socket], events: int, patience: float) -> bool:
    """Read until every client has so many more results, or nothing came for some seconds."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ, _Counter(client))
        waiting, deadline = len(clients), time.monotonic() + patience
        while waiting:
            ready = selector.select(patience)
            # What comes may be the pings of a server that has nothing else to say.
            if not ready or time.monotonic() > deadline:
                return False
            for key, _ in ready:
                before = key.data.count
                if key.data.read() > before:
                    deadline = time.monotonic() + patience
                if key.data.count >= events:
                    selector.unregister(key.fileobj)
                    waiting -= 1
    return True


class _Counter:
    """Counts the results one client has received."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._tail = b""
        self.count = 0

    def read(self) -> int:
        """Read what is there, and give the count so far."""
        received = self._tail + self._client.recv(1 << 16)
        self.count += received.count(MARK)
        # A mark may be cut by the end of what was read.
        self._tail = received[1 - len(MARK) :]
        return self.count
