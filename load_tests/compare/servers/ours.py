"""fraiseql-subs with a resolver in Python, on its embedded server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from control import EVENT, obey

from fraiseql_subs import Limits, SubscriptionManager, passthrough, subscription


@dataclass
class Order:
    """An order of about 200 bytes."""

    id: int
    user_id: int
    status: str
    total: float
    note: str


@subscription(channel="orders")
async def order_updated(event, variables) -> Order:
    return event.data


order_feed = passthrough("orderFeed", Order, channel="orders")


async def main() -> None:
    """Serve until told no more."""
    limits = Limits(max_pending_bytes=64 << 20)
    manager = SubscriptionManager([order_updated, order_feed], limits=limits)
    async with manager.serve(port=0, drain=0.0) as server:
        await obey(server.port, lambda: manager.publish("orders", EVENT))


asyncio.run(main())
