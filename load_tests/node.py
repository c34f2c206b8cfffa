"""A node that is measured: it serves, publishes on command, and reports its CPU time.

    python load_tests/node.py --bus URL [--no-history] [--table NAME] [--drain SECONDS]

It prints its address, then obeys lines of its input: `publish N` publishes a batch of N events,
`stats` prints CPU time and counters as JSON, `until N` does so once N events were broadcast, or no
more come.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass

from fraiseql_subs import Drain, History, Limits, Postgres, SubscriptionManager, Table, passthrough

POLL = 0.005
"""Time between two looks at the counters (seconds)."""

STILL = 3.0
"""Time without a further event after which no more is expected (seconds)."""

EVENT = {"id": 7, "user_id": 3, "status": "PAID", "total": 12.5, "note": "x" * 120}


@dataclass
class Order:
    """An order of about 200 bytes."""

    id: int
    user_id: int
    status: str
    total: float
    note: str


LIMITS = Limits(max_subscriptions_per_connection=100_000, max_retained_bytes=1 << 30)
"""No client of a measurement is refused."""

feed = passthrough(
    "feed",
    Order,
    channel="{channel}",
    filter={"user_id": "$userId"},
    arguments={"channel": str, "userId": int | None},
)


def used() -> dict[str, float]:
    """Read the CPU time of this process, and the clock of the machine (seconds)."""
    return {"cpu": time.process_time(), "now": time.perf_counter()}


async def until(manager: SubscriptionManager, events: int) -> dict[str, float]:
    """Wait until so many were broadcast, or no more come; return `used` at the last of them."""
    seen, at_last = -1, used()
    while seen < events and time.perf_counter() - at_last["now"] < STILL:
        now = manager.metrics().events_published
        if now > seen:
            seen, at_last = now, used()
        await asyncio.sleep(POLL)
    return at_last


async def obey(manager: SubscriptionManager, line: str) -> None:
    """Do what a line says."""
    word, _, number = line.partition(" ")
    if word == "publish":
        await manager.publish_many([("feed", EVENT)] * int(number))
        return
    figures = used() if word == "stats" else await until(manager, int(number))
    sys.stdout.write(json.dumps({**figures, **asdict(manager.metrics())}) + "\n")
    sys.stdout.flush()


async def serve(bus: str, history: History | None, table: str | None, drain: Drain) -> None:
    """Serve until the input ends, or SIGTERM."""
    tables = [Table(table, channel="{channel}", events=("insert",))] if table else []
    manager = SubscriptionManager(
        [feed],
        bus=Postgres(bus, tables=tables) if tables else bus,
        history=history,
        limits=LIMITS,
    )
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    def read() -> None:
        # Commands are shorter than a pipe's buffer, so that each comes as a whole.
        lines = os.read(0, 1 << 16).decode().splitlines()
        if not lines:
            ended.set()
            loop.remove_reader(0)
        for line in lines:
            task = loop.create_task(obey(manager, line))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async with manager.serve(port=0, drain=drain) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        loop.add_reader(0, read)
        await ended.wait()


def main() -> None:
    """Serve what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bus", required=True)
    parser.add_argument("--no-history", action="store_true")
    parser.add_argument("--table", help="whose rows are events, in the channel of a column")
    parser.add_argument("--drain", type=float, default=0.0)
    parser.add_argument("--closes-per-second", type=float)
    options = parser.parse_args()
    history = None if options.no_history else History()
    drain = Drain(options.drain, closes_per_second=options.closes_per_second)
    asyncio.run(serve(options.bus, history, options.table, drain))


if __name__ == "__main__":
    main()
