"""What one result of a resolver costs a server, beside peers in the same run.

    python load_tests/compare/resolvers.py [--connections N ...] [--events N] [--python PATH ...]

Each server runs in a process of its own and publishes when it is told; raw clients count results.
Printed is the CPU time of the server's process, all threads and the kernel's work included, for
one result that has arrived. `burst`: all events one after the other; `paced`: one in each 10 ms.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from sockets import allow_many_files, connect, count_results, settle  # noqa: E402

FIELDS = "{ id userId status total note }"
RUNS = 3


@dataclass(frozen=True)
class Peer:
    """A server that can be measured."""

    name: str
    command: tuple[str, ...]
    field: str = "orderUpdated"


def peers(pythons: list[str]) -> Iterator[Peer]:
    """Yield the servers: those in Python once for each interpreter."""
    for python in pythons:
        version = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        ours = (python, str(HERE / "servers/ours.py"))
        yield Peer(f"fraiseql-subs, resolver, Python {version}", ours)
        yield Peer(f"fraiseql-subs, passthrough, Python {version}", ours, "orderFeed")
        strawberry = (python, str(HERE / "servers/strawberry_uvicorn.py"))
        yield Peer(f"Strawberry, uvicorn, uvloop, Python {version}", strawberry)
    yield Peer("graphql-ws, ws, Node", ("node", str(HERE / "servers/graphql_ws.mjs")))


@contextmanager
def running(peer: Peer) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends."""
    process = subprocess.Popen(
        peer.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    """Read what a server says."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit(f"a server ended early: {process.args}")
    return line


def tell(process: subprocess.Popen[str], how: str, count: int) -> None:
    """Let a server publish."""
    assert process.stdin is not None
    process.stdin.write(f"{how} {count}\n")
    process.stdin.flush()


def publish(process: subprocess.Popen[str], how: str, count: int) -> None:
    """Let a server publish, and wait until it has."""
    tell(process, how, count)
    read_line(process)


def cost(peer: Peer, how: str, connections: int, events: int) -> float:
    """CPU time of the server for one result, in microseconds; the best of some runs."""
    with running(peer) as process:
        document = f"subscription {{ {peer.field} {FIELDS} }}"
        port = int(read_line(process))
        clients = [connect(port, document) for _ in range(connections)]
        settle(clients, lambda: publish(process, "burst", 20))
        server = psutil.Process(process.pid)
        costs = []
        for _ in range(RUNS):
            before = sum(server.cpu_times()[:2])
            tell(process, how, events)
            count_results(clients, events)
            read_line(process)
            costs.append((sum(server.cpu_times()[:2]) - before) / (events * connections) * 1e6)
        for client in clients:
            client.close()
        return min(costs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--events", type=int, default=20_000, help="results of one run")
    parser.add_argument("--python", nargs="+", default=[sys.executable])
    options = parser.parse_args()
    allow_many_files()
    columns = [(how, n) for how in ("burst", "paced") for n in options.connections]
    head = "".join(f"{how + ' ' + str(n):>12}" for how, n in columns)
    sys.stdout.write(f"us of CPU per result; connections{'':18}{head}\n")
    for peer in peers(options.python):
        sys.stdout.write(f"{peer.name:50} ")
        for how, n in columns:
            # Paced events take their time, and no server has to hold more than it may.
            events = min(max(options.events // n, 50), 300 if how == "paced" else 10_000)
            sys.stdout.write(f"{cost(peer, how, n, events):12.1f}")
            sys.stdout.flush()
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
