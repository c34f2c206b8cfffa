"""A shop: orders change, subscribers are notified. Run it with `make demo`."""

import argparse
import asyncio
import itertools
import shlex
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from fraiseql_subs import Event, Server, SubscriptionManager, passthrough, subscription
from fraiseql_subs.graphiql import read_page

DOCUMENT = "subscription { orderUpdated(userId: 1) { id status customer { name } } }"


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
async def order_updated(
    event: Event, variables: dict[str, Any], *, user_id: int | None = None
) -> Order:
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
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two events")
    options = parser.parse_args()
    async with manager.serve(options.host, options.port) as server:
        publishing = asyncio.create_task(publish_orders(options.interval))
        print(how_to_subscribe(server, options.interval), flush=True)
        await server.wait_closed()
        publishing.cancel()


def how_to_subscribe(server: Server, interval: float) -> str:
    """Say what to do from another terminal: only what works here."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    command = [str(python), "-m", "fraiseql_subs", "subscribe", server.url, DOCUMENT]
    lines = [
        f"Orders change every {interval:g} s on {server.url}",
        "",
        "Subscribe from another terminal:",
        "",
        f"  {shlex.join(command)}",
        "",
    ]
    if read_page() is not None:
        lines += ["or in a browser: the page opens with a subscription, its button runs it:", ""]
        lines += [f"  {server.http_url}", ""]
    return "\n".join([*lines, "Ctrl-C ends it."])


if __name__ == "__main__":
    asyncio.run(main())
