"""A node of the shop whose dashboard is drawn; its results are slow, faulty and refused at times.

    python -m load_tests.dashboard.shop BUS POLICY

It prints its URL, publishes until its input ends, and serves what it publishes.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import sys
import time
from typing import Any

from fraiseql_subs import (
    ConnectionParams,
    Event,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)

PERIOD = 120.0
"""Time of one rise and fall of the load (seconds)."""

order = passthrough("order", channel="orders")
stock = passthrough("stock", channel="stock")


@subscription(channel="orders", concurrency=8, timeout=0.5)
async def order_total(event: Event) -> int:
    """Look something up, which takes its time, and fails at times."""
    chance = random.random()
    if chance < 0.02:
        raise LookupError("the order is gone")
    await asyncio.sleep(2.0 if chance < 0.03 else random.expovariate(1 / 0.01))
    return len(event.data)


@subscription(channel="stock", shared=True)
async def shelf(event: Event) -> Any:
    """Count, unless what came is no number."""
    return event.data


async def authenticate(params: ConnectionParams) -> Identity | None:
    """Refuse clients without the token."""
    return Identity(user_id="u") if params.query.get("token") == "known" else None


SCHEMA = """
    type Query { ok: Boolean }
    type Subscription { order: String stock: Int orderTotal: Int shelf: Int }
"""


async def publish(manager: SubscriptionManager) -> None:
    """Publish more and fewer events, up to a hundred a second."""
    begin = time.monotonic()
    for number in itertools.count():
        wave = 1 + math.sin((time.monotonic() - begin) * 2 * math.pi / PERIOD)
        await asyncio.sleep(1 / (10 + 25 * wave))
        await manager.publish("orders", "x" * random.randrange(100, 3000))
        if number % 5 == 0:
            await manager.publish("stock", "many" if random.random() < 0.05 else number)


async def main(bus: str, policy: Any) -> None:
    """Serve until the input ends."""
    manager = SubscriptionManager(
        [order, stock, order_total, shelf],
        schema=SCHEMA,
        bus=bus,
        security=Security(authenticate=authenticate),
        limits=Limits(slow_consumer=policy, max_pending_bytes=64 * 1024),
        workers=1,
    )
    loop = asyncio.get_running_loop()
    async with manager.serve(port=0, drain=0.0) as server:
        print(server.url, flush=True)
        publishing = asyncio.ensure_future(publish(manager))
        await loop.run_in_executor(None, sys.stdin.read)
        publishing.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
