"""A shop: orders change, subscribers are told. Run it with `make demo`."""

import argparse
import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from enum import Enum

from fraiseql_subs import Event, SubscriptionManager, passthrough, subscription


class Status(Enum):
    """Where an order is."""

    NEW = "NEW"
    PAID = "PAID"
    SHIPPED = "SHIPPED"


@dataclass
class Customer:
    """Who ordered."""

    name: str


@dataclass
class Order:
    """An order as subscribers see it."""

    id: int
    user_id: int
    status: Status
    customer: Customer


@subscription(channel="orders", filter={"user_id": "$userId"})
async def order_updated(event: Event, variables: dict, *, user_id: int | None = None) -> Order:
    """Tell about each change of an order, of one user or of all."""
    return event.data


# No function: the event is the result, and Python is never entered.
order_feed = passthrough("orderFeed", Order, channel="orders")

manager = SubscriptionManager(subscriptions=[order_updated, order_feed])


async def publish_orders(interval: float) -> None:
    """Let orders change for ever."""
    for number in itertools.count():
        status = list(Status)[number % 3]
        order = Order(number // 3, number % 5, status, Customer(name="Ada"))
        await manager.publish("orders", order, event_type="order.updated")
        await asyncio.sleep(interval)


async def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two events")
    options = parser.parse_args()
    async with manager.serve(options.host, options.port) as server:
        print(
            f"Orders change every {options.interval:g} s on {server.url}\n\n"
            "Subscribe with any graphql-transport-ws client, from another terminal:\n\n"
            f"  .venv/bin/python examples/subscribe.py {server.url}\n"
            f"  npx wscat -s graphql-transport-ws -c {server.url}\n"
            '    > {"type":"connection_init"}\n'
            '    > {"id":"1","type":"subscribe","payload":{"query":'
            '"subscription { orderUpdated(userId: 1) { id status customer { name } } }"}}\n\n'
            "Ctrl-C ends it.",
            flush=True,
        )
        await publish_orders(options.interval)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
