"""Strawberry on uvicorn with uvloop; events reach subscribers through a queue for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import strawberry
import uvicorn
import uvloop
from control import EVENT, obey
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL


@strawberry.type
class Order:
    """An order of about 200 bytes."""

    id: int
    user_id: int
    status: str
    total: float
    note: str


ORDER = Order(
    id=EVENT["id"],
    user_id=EVENT["userId"],
    status=EVENT["status"],
    total=EVENT["total"],
    note=EVENT["note"],
)

queues: set[asyncio.Queue[Order]] = set()


@strawberry.type
class Query:
    """Demanded by the specification."""

    ok: bool = True


@strawberry.type
class Subscription:
    """What is measured."""

    @strawberry.subscription
    async def order_updated(self) -> AsyncGenerator[Order, None]:
        """Yield each published order."""
        queue: asyncio.Queue[Order] = asyncio.Queue()
        queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)


async def publish() -> None:
    """Hand one order to every subscriber."""
    for queue in queues:
        queue.put_nowait(ORDER)


async def main() -> None:
    """Serve until told no more."""
    schema = strawberry.Schema(Query, subscription=Subscription)
    app = GraphQL(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
    config = uvicorn.Config(app, port=0, log_level="error", ws_per_message_deflate=False)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    await obey(server.servers[0].sockets[0].getsockname()[1], publish)
    server.force_exit = server.should_exit = True
    await serving


uvloop.run(main())
