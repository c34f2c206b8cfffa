"""Measures what a node takes in from an engine.

Not here: which engines, and how events are published to them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

from fraiseql_subs import Publisher
from load_tests.driver import Node
from load_tests.node import EVENT
from load_tests.private_server import PrivateServer
from load_tests.tables import Row

PENDING = 64
"""Events of a batch (count)."""

CHANNELS = [f"orders.{number}" for number in range(16)]
"""Channels to which events are published at once. Most have a partition of their own."""

OTHER_USER = EVENT["user_id"] + 1
"""A user without orders."""


async def publish(publisher: Publisher, channels: list[str], events: int, batch: int) -> None:
    """Publish to all channels at once, in each one batch after the other."""

    async def to(channel: str) -> None:
        for _ in range(events // len(channels) // batch):
            await publisher.publish_many([(channel, EVENT)] * batch)

    await asyncio.gather(*map(to, channels))


async def taken(
    engine: PrivateServer,
    node: Node,
    publish_all: Callable[[], Awaitable[None]],
    events: int,
    *,
    is_wanted: bool,
    stopped: list[int],
) -> Row:
    """Measure how the node takes in so many events.

    Args:
        engine: The server of its engine.
        node: The node.
        publish_all: Publishes the events.
        events: How many these are (count).
        is_wanted: Whether the node wants their channels.
        stopped: Processes that are stopped while the events are published, so that all of these
            wait in the engine before the node takes them; none: it takes them as they come.
    """
    before = await node.stats()
    if stopped:
        _signal(stopped, signal.SIGSTOP)
        await publish_all()
    used, start = engine.cpu_seconds(), time.perf_counter()
    if stopped:
        _signal(stopped, signal.SIGCONT)
    else:
        await publish_all()
    after = await (node.until(before["events_published"] + events) if is_wanted else node.stats())
    used = engine.cpu_seconds() - used
    return {
        # Both clocks are the machine's.
        "per_second": events / (after["now"] - start),
        "node_us": (after["cpu"] - before["cpu"]) * 1e6 / events,
        "engine_us": used * 1e6 / events,
        "taken": after["events_published"] - before["events_published"],
        "gap_events": after["bus_gap_events"] - before["bus_gap_events"],
        "missed": after["bus_missed"] - before["bus_missed"],
    }


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)


def best(rows: list[Row]) -> Row:
    """Return the best of several runs; one with gaps is the last choice."""
    return min(rows, key=lambda row: (row["missed"], -row["per_second"]))
