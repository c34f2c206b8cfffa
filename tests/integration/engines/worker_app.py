"""The program of each worker process of a server: `BUS` names the engine."""

from __future__ import annotations

import os

from fraiseql_subs import Event, SubscriptionManager, passthrough, subscription
from fraiseql_subs.adapters.asgi import GraphQLApp


def process() -> int:
    return os.getpid()


async def publish(number: int) -> int:
    await manager.publish("feed", number)
    return os.getpid()


@subscription(channel="none", initial=process)
async def worker(event: Event) -> int:
    """Return the process that serves the client."""
    return event.data


@subscription(channel="none", initial=publish)
async def published(event: Event, *, number: int) -> int:
    """Publish a number in the process that serves the client."""
    return event.data


manager = SubscriptionManager(
    [passthrough("feed", int, channel="feed"), worker, published],
    bus=os.environ["BUS"],
    workers=1,
)
app = GraphQLApp(manager)


def serve(port: int) -> None:
    """Serve by the embedded server on a port that other processes share."""
    manager.run(port=port, drain=0.0, reuse_port=True)
