"""Latency of live delivery while one client sends documents that were never seen before.

    python -m load_tests.first_documents.flood [--documents N] [--fields N] [--rate N]

100 clients receive 50 events a second, first alone, then while one more client subscribes with one
document after the other and ends each subscription at once. Prints latencies, how many documents
were answered in a second, and the memory of the server before and after.
"""

from __future__ import annotations

import argparse
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator

from load_tests.compare.contenders import contenders, running
from load_tests.compare.measure import load
from load_tests.compare.scenarios import Scenario
from load_tests.private_server import memory

PIPELINED = 64
"""Documents that are sent in one piece (count)."""

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def frame(text: str) -> bytes:
    """Make the frame of a client, with a mask of zeros."""
    payload = text.encode()
    length = len(payload)
    head = struct.pack(">BBH", 0x81, 0xFE, length) if length > 125 else bytes((0x81, 0x80 | length))
    return head + bytes(4) + payload


class Flood:
    """A client that sends documents until it is stopped, or has sent all.

    Attributes:
        sent: Documents that the server has handled (count).
        seconds: How long that took.
    """

    def __init__(self, port: int, documents: int, fields: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._pieces = self._make(documents, fields)
        self._is_stopped = threading.Event()
        self.sent = 0
        self.seconds = 0.0

    @staticmethod
    def _make(documents: int, fields: int) -> Iterator[bytes]:
        selection = "sequence note " * (fields // 2)
        for first in range(0, documents, PIPELINED):
            yield b"".join(
                frame(
                    f'{{"id":"1","type":"subscribe","payload":{{"query":'
                    f'"subscription S{number}{{feed(key:-1){{sequence {selection}}}}}"}}}}'
                )
                + frame('{"id":"1","type":"complete"}')
                for number in range(first, first + PIPELINED)
            ) + frame('{"type":"ping"}')

    def run(self) -> None:
        """Send; each piece when the one before is handled."""
        self._socket.sendall(HANDSHAKE)
        self._read_until(b"\r\n\r\n")
        self._socket.sendall(frame('{"type":"connection_init"}'))
        self._read_until(b"connection_ack")
        start = time.perf_counter()
        ahead = next(self._pieces)
        self._socket.sendall(ahead)
        for piece in self._pieces:
            # One more is under way, so that the server never waits for this program.
            self._socket.sendall(piece)
            self._read_until(b'"pong"')
            self.sent += PIPELINED
            if self._is_stopped.is_set():
                break
        self.seconds = time.perf_counter() - start

    def stop(self) -> None:
        """Send no more."""
        self._is_stopped.set()

    def _read_until(self, end: bytes) -> None:
        received = b""
        while end not in received:
            part = self._socket.recv(1 << 16)
            if not part:
                raise SystemExit(f"the server has closed the connection: {received!r}")
            received = received[-len(end) :] + part


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--fields", type=int, default=1, help="fields of each document")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    (ours,) = (one for one in contenders(options.workers) if one.name == "ours")
    scenario = Scenario("flood", "rate", 100, ("ours",), rate=50, seconds=options.seconds)
    with running(ours) as server:
        for what in ("alone", "beside the flood"):
            before = memory(server.pid)
            flood = Flood(server.port, options.documents, options.fields)
            sending = threading.Thread(target=flood.run)
            if what != "alone":
                sending.start()
            result, error = load(scenario, server, scenario.events)
            flood.stop()
            if sending.is_alive():
                sending.join()
            if result is None:
                raise SystemExit(error)
            latency = {name: us / 1e3 for name, us in result["latency_us"].items()}
            rate = flood.sent / flood.seconds if flood.seconds else 0
            after = memory(server.pid)
            sys.stdout.write(
                f"{what}: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms;"
                f" {flood.sent:,} documents, {rate:,.0f}/s;"
                f" {before / 2**20:.0f} then {after / 2**20:.0f} MiB; {error or 'ok'}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
