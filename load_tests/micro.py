"""What one unit of work costs inside one process: publish, fan-out, a resolver call.

    python load_tests/micro.py [--events N] [--json FILE]

Prints CPU time of the whole process (all threads) and elapsed time for each unit. Run it on a
release build and an idle machine; each figure is the best of five runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from fraiseql_subs import Limits, Metrics, SubscriptionManager, passthrough, subscription

RUNS = 5
BUS_CAPACITY = 4096
EVENT = {"id": 7, "user_id": 3, "status": "PAID", "total": 12.5, "note": "x" * 120}


@dataclass
class Order:
    """An order of about 200 bytes."""

    id: int
    user_id: int
    status: str
    total: float
    note: str


@subscription(channel="resolved")
async def resolved(event, variables) -> Order:
    return event.data


feed = passthrough("feed", Order, channel="feed")
SELECTION = "{ id userId status total note }"


@dataclass(frozen=True)
class Cost:
    """Cost of one unit, in microseconds."""

    what: str
    unit: str
    cpu_us: float
    elapsed_us: float


async def drained(manager: SubscriptionManager, done: Callable[[Metrics], bool]) -> None:
    """Wait until the counters say that everything has arrived."""
    while not done(manager.metrics()):
        await asyncio.sleep(0.0005)


async def measure(what: str, unit: str, units: int, work: Callable[[], Awaitable[None]]) -> Cost:
    """Take the best of some runs of `work`, which does `units` units."""
    costs = []
    for _ in range(RUNS):
        cpu, elapsed = time.process_time(), time.perf_counter()
        await work()
        costs.append(((time.process_time() - cpu) / units, (time.perf_counter() - elapsed) / units))
    best_cpu, best_elapsed = min(cost[0] for cost in costs), min(cost[1] for cost in costs)
    return Cost(what, unit, best_cpu * 1e6, best_elapsed * 1e6)


def measure_calls(manager: SubscriptionManager) -> Cost:
    """What the caller pays for `publish` alone, its data being null: its own thread's time."""
    costs = []
    for run in range(1, RUNS + 1):
        # No more than the bus takes without a wait: what comes after the call is not its cost.
        cpu, elapsed = time.thread_time(), time.perf_counter()
        for _ in range(BUS_CAPACITY):
            manager.publish("nobody", None)
        costs.append((time.thread_time() - cpu, time.perf_counter() - elapsed))
        while manager.metrics().events_published < run * BUS_CAPACITY:
            time.sleep(0.001)
    cpu, elapsed = (min(column) / BUS_CAPACITY * 1e6 for column in zip(*costs, strict=True))
    return Cost("publish(None), the calling thread alone", "call", cpu, elapsed)


def new_manager() -> SubscriptionManager:
    """A manager whose in-process subscribers keep the newest result only, as it is not taken."""
    limits = Limits(slow_consumer="latest", max_pending_bytes=1)
    return SubscriptionManager(subscriptions=[resolved, feed], limits=limits)


async def publish(manager: SubscriptionManager, channel: str, count: int) -> None:
    """Publish and wait until the bus has broadcast everything."""
    before = manager.metrics().events_published
    for _ in range(count):
        await manager.publish(channel, EVENT)
    await drained(manager, lambda now: now.events_published - before >= count)


async def results(manager: SubscriptionManager, channel: str, count: int, each: int) -> None:
    """Publish and wait until every subscriber has its results."""
    before = manager.metrics().results_sent
    for _ in range(count):
        await manager.publish(channel, EVENT)
    await drained(manager, lambda now: now.results_sent - before >= count * each)


async def subscribed(
    stack: AsyncExitStack, manager: SubscriptionManager, field: str, n: int
) -> None:
    """Add subscribers that last as long as the stack."""
    for _ in range(n):
        await stack.enter_async_context(
            manager.subscribe(f"subscription {{ {field} {SELECTION} }}")
        )


async def run(events: int) -> list[Cost]:
    """Measure everything."""
    costs = []
    async with new_manager() as manager:
        work = lambda: publish(manager, "nobody", events)  # noqa: E731
        costs.append(await measure("publish without a match", "event", events, work))
    async with new_manager() as manager:
        costs.append(measure_calls(manager))
    async with new_manager() as manager:

        async def many() -> None:
            before = manager.metrics().events_published
            await manager.publish_many(("nobody", EVENT) for _ in range(events))
            await drained(manager, lambda now: now.events_published - before >= events)

        costs.append(await measure("publish_many without a match", "event", events, many))
    for n in (100, 1000):
        async with new_manager() as manager, AsyncExitStack() as stack:
            await subscribed(stack, manager, "feed", n)
            count = max(events // n, 20)
            work = lambda: results(manager, "feed", count, n)  # noqa: B023, E731
            what = f"passthrough to {n} in-process subscribers"
            costs.append(await measure(what, "event", count, work))
    for n in (1, 10, 100, 256):
        async with new_manager() as manager, AsyncExitStack() as stack:
            await subscribed(stack, manager, "resolved", n)
            count = max(events // n // 2, 20)
            work = lambda: results(manager, "resolved", count, n)  # noqa: B023, E731
            what = f"resolver, {n} subscriber{'s' if n > 1 else ''}"
            costs.append(await measure(what, "call", count * n, work))
    return costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    costs = asyncio.run(run(options.events))
    version = f"Python {platform.python_version()}, {platform.machine()}"
    sys.stdout.write(f"{version}\n{'':42} {'CPU':>10} {'elapsed':>10}\n")
    for cost in costs:
        sys.stdout.write(
            f"{cost.what:42} {cost.cpu_us:8.2f} us {cost.elapsed_us:8.2f} us per {cost.unit}\n"
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1))


if __name__ == "__main__":
    main()
