"""Many events through resolvers: does memory stay, and how long is the event loop kept?

    python load_tests/endurance.py [--events N] [--subscribers N]

Every event is resolved for every subscriber, and every result is taken and compared. Printed are
the memory of the process on the way, and the longest time between two steps of a task that does
nothing but run again: what the runtime adds to the latency of the program's own tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import sys
import time

import psutil

from fraiseql_subs import SubscriptionManager, subscription

BATCH = 200


@subscription(channel="numbers")
async def doubled(event) -> int:
    return event.data * 2


async def follow(manager: SubscriptionManager, ready: asyncio.Semaphore, events: int) -> None:
    """Take every result and compare it."""
    async with manager.subscribe("subscription { doubled }") as stream:
        ready.release()
        for number in range(events):
            result = await anext(stream)
            assert result.data == {"doubled": number * 2}, result


async def longest_gap() -> float:
    """Run until cancelled; return the longest time between two steps (seconds)."""
    longest, last = 0.0, time.perf_counter()
    try:
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
    except asyncio.CancelledError:
        return longest


async def run(events: int, subscribers: int) -> None:
    """Measure and print."""
    process = psutil.Process()
    async with SubscriptionManager([doubled]) as manager:
        ready = asyncio.Semaphore(0)
        followers = [
            asyncio.ensure_future(follow(manager, ready, events)) for _ in range(subscribers)
        ]
        for _ in followers:
            await ready.acquire()
        ticking = asyncio.ensure_future(longest_gap())
        for start in range(0, events, BATCH):
            await manager.publish_many(("numbers", n) for n in range(start, start + BATCH))
            # A result for each event before the next batch: nothing piles up.
            while manager.metrics().results_sent < (start + BATCH) * subscribers:
                await asyncio.sleep(0)
            if start % (events // 10) == 0:
                gc.collect()
                resident = process.memory_info().rss / 2**20
                sys.stdout.write(f"{start + BATCH:>9} events  {resident:8.1f} MiB\n")
        await asyncio.gather(*followers)
        ticking.cancel()
        sys.stdout.write(f"longest time between two steps: {await ticking * 1e3:.1f} ms\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--subscribers", type=int, default=1)
    options = parser.parse_args()
    sys.stdout.write(f"Python {platform.python_version()}, {options.subscribers} subscribers\n")
    asyncio.run(run(options.events, options.subscribers))


if __name__ == "__main__":
    main()
