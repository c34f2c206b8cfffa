"""Measures the intake of a node, a slot of PostgreSQL without events, and 10,000 channels.

Each function returns rows: what was measured, and figures by name. Not here: tables (report.py),
latencies, which are measured beside peers (load_tests/compare).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass

from load_tests.driver import Client, Node
from load_tests.engines.kinds import KINDS, MESSAGES, Kind
from load_tests.intake import CHANNELS, OTHER_USER, best, taken
from load_tests.postgres_server import PostgresServer
from load_tests.private_server import PrivateServer, cpu_seconds, memory
from load_tests.tables import Row

CLIENTS = 10
"""Connections that share the channels (count)."""

POLL = 0.01
"""Time between two looks at how far PostgreSQL has sent its log (seconds)."""

MIB = 1 << 20


@dataclass(frozen=True)
class Size:
    """Amounts to measure.

    Attributes:
        runs: Runs, of which the best counts (count).
        bulk: Events of a run of `intake` (count).
        rows: Rows that are written beside a slot (count).
        channels: Channels that a node wants (count).
        seconds: How long idle nodes are watched (seconds).
    """

    runs: int
    bulk: int
    rows: int
    channels: int
    seconds: float


# Longer than the engine of a quiet channel is not asked for its newest event.
FULL = Size(runs=3, bulk=65_536, rows=100_000, channels=10_000, seconds=45)
QUICK = Size(runs=1, bulk=16_384, rows=10_000, channels=1_000, seconds=2)


async def intake(size: Size, kinds: Sequence[Kind] = KINDS) -> list[Row]:
    """Measure what a node takes in when no event matches a subscription."""
    return [
        row
        for kind in kinds
        for row in (
            await _intake(size, kind, "all wait in the engine", is_paused=True),
            await _intake(size, kind, "as one publisher publishes", is_paused=False),
        )
    ]


async def _intake(size: Size, kind: Kind, how: str, *, is_paused: bool) -> Row:
    with kind.server() as engine:
        async with kind.node(engine) as node, Client(node) as client:
            await client.begin_all(CHANNELS, OTHER_USER)
            async with kind.publisher(engine) as publish:
                rows = [
                    await taken(
                        engine,
                        node,
                        lambda: publish(size.bulk),
                        size.bulk,
                        is_wanted=True,
                        stopped=kind.readers(engine, node) if is_paused else [],
                    )
                    for _ in range(size.runs + 1)
                ]
    # The first run creates what the engine keeps, and grows tables.
    return {"what": f"{kind.title}, {how}", **best(rows[1:])}


async def slot(size: Size) -> list[Row]:
    """Measure what a node costs PostgreSQL while rows are written that are no events."""
    with MESSAGES.server() as engine:
        assert isinstance(engine, PostgresServer)
        engine.sql("CREATE TABLE other (number bigserial PRIMARY KEY, note text)")
        engine.sql("CREATE DATABASE elsewhere")
        elsewhere = engine.url.removesuffix("postgres") + "elsewhere"
        engine.sql(f"\\c {elsewhere}\nCREATE TABLE other (number bigserial PRIMARY KEY, note text)")
        async with MESSAGES.node(engine) as node, Client(node) as client:
            await client.begin("feed")
            databases = {"its database": engine.url, "another database": elsewhere}
            return [
                await _beside(size, engine, node, f"rows of a table of {name}", url)
                for name, url in databases.items()
            ]


async def _beside(size: Size, engine: PostgresServer, node: Node, what: str, url: str) -> Row:
    write = "INSERT INTO other (note) SELECT repeat('x', 180) FROM generate_series(1, 100);\n" * (
        size.rows // 100
    )
    rows = []
    for _ in range(size.runs):
        (sender,) = engine.walsenders()
        start = engine.sql("SELECT pg_current_wal_flush_lsn()")
        used, of_node = cpu_seconds(sender), cpu_seconds(node.pid)
        await asyncio.to_thread(engine.sql, f"\\c {url}\n{write}")
        end = engine.sql("SELECT pg_current_wal_flush_lsn()")
        caught_up = f"SELECT sent_lsn >= '{end}' FROM pg_stat_replication"
        while engine.sql(caught_up) != "t":
            await asyncio.sleep(POLL)
        used, of_node = cpu_seconds(sender) - used, cpu_seconds(node.pid) - of_node
        mib = float(engine.sql(f"SELECT pg_wal_lsn_diff('{end}', '{start}')")) / MIB
        rows.append(
            {
                "what": what,
                "wal": mib,
                "sender_row": used * 1e6 / size.rows,
                "sender_mib": used * 1e3 / mib,
                "node_row": of_node * 1e6 / size.rows,
            }
        )
    return min(rows, key=lambda row: row["sender_row"])


async def channels(size: Size, kinds: Sequence[Kind] = KINDS) -> list[Row]:
    """Measure what a node with many channels costs, itself and its engine."""
    return [
        await _channels(size, "memory bus", None),
        *[await _channels(size, kind.title, kind) for kind in kinds],
    ]


async def _channels(size: Size, what: str, kind: Kind | None) -> Row:
    async with AsyncExitStack() as stack:
        engine = stack.enter_context(kind.server() if kind else nullcontext())
        node = await stack.enter_async_context(kind.node(engine) if kind else Node("memory://"))
        clients = [await stack.enter_async_context(Client(node)) for _ in range(CLIENTS)]
        # What the first channel creates is not part of the others.
        for client in clients:
            await client.begin("first")
        before = _memory(node, engine)
        start = time.perf_counter()
        names = [f"orders.{number}" for number in range(size.channels)]
        parts = [names[part::CLIENTS] for part in range(CLIENTS)]
        await asyncio.gather(*map(Client.begin_all, clients, parts))
        ready = time.perf_counter() - start
        after, used = _memory(node, engine), _used(node, engine)
        await asyncio.sleep(size.seconds)
        later = _used(node, engine)
    node_bytes, engine_bytes = (
        (one - other) / size.channels for one, other in zip(after, before, strict=True)
    )
    node_cpu, engine_cpu = (
        (one - other) * 1e3 / size.seconds for one, other in zip(later, used, strict=True)
    )
    return {
        "what": what,
        "ready": ready,
        "node_bytes": node_bytes / 1024,
        "engine_bytes": engine_bytes / 1024 if engine else None,
        "node_cpu": node_cpu,
        "engine_cpu": engine_cpu if engine else None,
    }


def _memory(node: Node, engine: PrivateServer | None) -> tuple[int, int]:
    return memory(node.pid), engine.memory() if engine else 0


def _used(node: Node, engine: PrivateServer | None) -> tuple[float, float]:
    return cpu_seconds(node.pid), engine.cpu_seconds() if engine else 0.0
