"""What tracing costs: CPU time of a server for each result, with and without OpenTelemetry.

    python -m load_tests.tracing_cost [--quick] [--json FILE] [--page]

Starts one server for each kind of tracing, with clients over WebSockets, and has them publish in
turns. Each round has a ratio to the server without OpenTelemetry; shown are the medians of all
rounds. With --page the tables are written into docs/performance.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from load_tests.compare.report import Markers
from load_tests.tables import Program, Row, Table

TITLES = {
    "absent": "OpenTelemetry not imported",
    "imported": "API imported, no provider",
    "none": "SDK, no trace sampled",
    "all": "SDK, each trace sampled",
}
"""The kinds of tracing, as `server` knows them; the first is what the others are compared to."""

PATIENCE = 300.0
"""Longest wait for one answer of a server (seconds)."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        clients: Clients of each server (count).
        events: Events of each round (count).
        rounds: Rounds (count).
    """

    clients: int
    events: int
    rounds: int


class Server:
    """A server process.

    Args:
        process: It.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> str:
        """Wait for a line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if not line:
            raise SystemExit("a server has ended")
        return line.decode().strip()

    async def deliver(self, events: int) -> float:
        """Have it publish; return the CPU time (seconds)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{events}\n".encode())
        return float(await self.answer())


@contextlib.asynccontextmanager
async def served(mode: str, field: str) -> AsyncIterator[Server]:
    """Run a server until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load_tests.tracing_cost.server", mode, field),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Server(process)
    finally:
        # It ends with its input.
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def read(client: ClientConnection) -> None:
    """Take what comes, so that nothing waits."""
    async for _ in client:
        pass


async def subscribe(client: ClientConnection, field: str) -> None:
    """Subscribe, and wait until the subscription runs: its answer to a ping comes after it."""
    await client.send(json.dumps({"type": "connection_init"}))
    await client.recv()
    query = {"query": f"subscription {{ {field} }}"}
    await client.send(json.dumps({"type": "subscribe", "id": "1", "payload": query}))
    await client.send(json.dumps({"type": "ping"}))
    await client.recv()


async def costs(field: str, size: Size) -> dict[str, list[float]]:
    """Measure the CPU time of each result, by the kind of tracing, in each round (seconds)."""
    found: dict[str, list[float]] = {mode: [] for mode in TITLES}
    async with contextlib.AsyncExitStack() as stack:
        servers = {mode: await stack.enter_async_context(served(mode, field)) for mode in TITLES}
        readers = []
        for server in servers.values():
            url = await server.answer()
            protocol = Subprotocol("graphql-transport-ws")
            for _ in range(size.clients):
                client = await stack.enter_async_context(
                    connect(url, subprotocols=[protocol], compression=None)
                )
                await subscribe(client, field)
                readers.append(asyncio.ensure_future(read(client)))
        # What a process does only once is in no round.
        for server in servers.values():
            await server.deliver(max(size.events // 10, 20))
        order = list(servers.items())
        for round_ in range(size.rounds):
            # None is always the first.
            at = round_ % len(order)
            for mode, server in order[at:] + order[:at]:
                seconds = await server.deliver(size.events)
                found[mode].append(seconds / size.events / size.clients)
        for reader in readers:
            reader.cancel()
    return found


def rows(found: dict[str, list[float]]) -> list[Row]:
    """Make the rows of a table: medians, and ratios to the first kind in the same round."""
    base = next(iter(found.values()))
    made = []
    for mode, seconds in found.items():
        ratios = [each / first for each, first in zip(seconds, base, strict=True)]
        made.append(
            {
                "what": TITLES[mode],
                "cpu_us": statistics.median(seconds) * 1e6,
                "ratio": statistics.median(ratios),
                "least": min(ratios),
                "most": max(ratios),
            }
        )
    return made


def table(name: str, title: str, field: str) -> Table[Size]:
    """Make the table of one kind of subscription."""

    async def measure(size: Size) -> list[Row]:
        return rows(await costs(field, size))

    columns = {"CPU (µs)": "cpu_us", "ratio": "ratio", "least": "least", "most": "most"}
    return Table(name, f"CPU time of the server for one result, {title}", measure, columns)


PROGRAM: Program[Size] = Program(
    name="load_tests.tracing_cost",
    tables=(
        table("passthrough", "passthrough", "passed"),
        table("resolver", "a resolver in Python, called for each client", "resolved"),
    ),
    full=Size(clients=10, events=2000, rounds=12),
    quick=Size(clients=2, events=100, rounds=2),
    markers=Markers.of("bench-tracing", "python -m load_tests.tracing_cost --page"),
)

if __name__ == "__main__":
    PROGRAM.main(__doc__)
