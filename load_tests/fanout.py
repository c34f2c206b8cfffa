"""Fan-out over real sockets, beside a bare loop that writes one ready frame to every socket.

    python load_tests/fanout.py [--connections N] [--events N]

Both servers run in a process of their own and are measured by their CPU time for one delivery;
the client only counts bytes. The ratio of the two is what the runtime adds to the kernel's work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import platform
import socket
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from sockets import allow_many_files, connect, count_results

from fraiseql_subs import SubscriptionManager, passthrough

RUNS = 3
EVENT = {"id": 7, "user_id": 3, "status": "PAID", "total": 12.5, "note": "x" * 120}
DOCUMENT = "subscription { feed { id userId status total note } }"


@dataclass
class Order:
    """An order of about 200 bytes."""

    id: int
    user_id: int
    status: str
    total: float
    note: str


def serve_runtime(pipe: Connection, connections: int, events: int) -> None:
    """Serve with fraiseql-subs; publish `events` whenever told, and answer with the CPU time."""

    async def main() -> None:
        manager = SubscriptionManager(subscriptions=[passthrough("feed", Order, channel="feed")])
        async with manager.serve(port=0) as server:
            pipe.send(server.port)
            while manager.metrics().subscriptions < connections:
                await asyncio.sleep(0.01)
            pipe.send("ready")
            while await asyncio.to_thread(pipe.recv):
                sent = manager.metrics().results_sent
                cpu = time.process_time()
                for n in range(1, events + 1):
                    await manager.publish("feed", EVENT)
                    while manager.metrics().results_sent - sent < n * connections:
                        await asyncio.sleep(0.001)
                # The client has everything: the sockets are written.
                await asyncio.to_thread(pipe.recv)
                pipe.send(time.process_time() - cpu)

    asyncio.run(main())


def serve_bare(pipe: Connection, connections: int, events: int) -> None:
    """Write one ready frame to every socket, as often as told."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    pipe.send(listener.getsockname()[1])
    clients = [listener.accept()[0] for _ in range(connections)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    response = json.dumps({"data": {"feed": EVENT}}, separators=(",", ":")).encode()
    payload = b'{"id":"1","type":"next","payload":' + response + b"}"
    frame = bytes([0x81, 126]) + len(payload).to_bytes(2, "big") + payload
    pipe.send("ready")
    while pipe.recv():
        cpu = time.process_time()
        for _ in range(events):
            for client in clients:
                client.send(frame)
        pipe.recv()
        pipe.send(time.process_time() - cpu)


def measure(server, connections: int, events: int, handshake: bool) -> float:
    """CPU time of the server for one delivery, in microseconds; the best of some runs."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=server, args=(theirs, connections, events))
    process.start()
    port = ours.recv()
    if handshake:
        clients = [connect(port, DOCUMENT) for _ in range(connections)]
    else:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    ours.recv()
    costs = []
    for _ in range(RUNS):
        ours.send(True)
        count_results(clients, events)
        ours.send(True)
        costs.append(ours.recv() / (events * connections) * 1e6)
    ours.send(False)
    process.join()
    for client in clients:
        client.close()
    return min(costs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100)
    options = parser.parse_args()
    allow_many_files()
    multiprocessing.set_start_method("spawn")
    bare = measure(serve_bare, options.connections, options.events, handshake=False)
    ours = measure(serve_runtime, options.connections, options.events, handshake=True)
    sys.stdout.write(
        f"Python {platform.python_version()}, {platform.machine()},"
        f" {options.connections} connections, {options.events} events\n"
        f"bare loop      {bare:6.2f} us CPU per delivery\n"
        f"fraiseql-subs  {ours:6.2f} us CPU per delivery\n"
        f"ratio          {ours / bare:6.2f}\n"
    )


if __name__ == "__main__":
    main()
