"""A node that is measured: a process that serves, publishes when told to, and says what it used.

    python load_tests/redis/node.py --bus URL [--no-history]

It prints its address, then obeys lines of its input: `publish N` publishes a batch of N events,
`stats` prints CPU time and counters as JSON, `until N` does so once N events were broadcast.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass

from fraiseql_subs import History, SubscriptionManager, passthrough

POLL = 0.001
"""Time between two looks at the counters (seconds)."""

EVENT = {"id": 7, "user_id": 3, "status": "PAID", "total": 12.5, "note": "x" * 120}


@dataclass
class Order:
    """An order of about 200 bytes."""

    id: int
    user_id: int
    status: str
    total: float
    note: str


feed = passthrough(
    "feed",
    Order,
    channel="{channel}",
    filter={"user_id": "$userId"},
    arguments={"channel": str, "userId": int | None},
)


def stats(manager: SubscriptionManager) -> str:
    """Write what this process has used and counted, as JSON."""
    used = {"cpu": time.process_time(), "now": time.perf_counter()}
    return json.dumps({**used, **asdict(manager.metrics())})


async def obey(manager: SubscriptionManager, line: str) -> None:
    """Do what a line says."""
    word, _, number = line.partition(" ")
    if word == "publish":
        await manager.publish_many([("feed", EVENT)] * int(number))
        return
    while word == "until" and manager.metrics().events_published < int(number):
        await asyncio.sleep(POLL)
    sys.stdout.write(stats(manager) + "\n")
    sys.stdout.flush()


async def serve(bus: str, history: History | None) -> None:
    """Serve until the input ends."""
    manager = SubscriptionManager([feed], bus=bus, history=history)
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

    async with manager.serve(port=0, drain=0.0) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        loop.add_reader(0, read)
        await ended.wait()


def main() -> None:
    """Serve what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bus", required=True)
    parser.add_argument("--no-history", action="store_true")
    options = parser.parse_args()
    asyncio.run(serve(options.bus, None if options.no_history else History()))


if __name__ == "__main__":
    main()
