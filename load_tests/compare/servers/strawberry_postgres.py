"""Strawberry with `broadcaster` over LISTEN and NOTIFY of PostgreSQL, on uvicorn."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import strawberry
from broadcast import run
from broadcaster import Broadcast
from control import parser, print_ready
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

options = parser().parse_args()
broadcast = Broadcast(options.bus)


@strawberry.type
class Feed:
    """What is published."""

    sequence: int
    sent_at: int
    key: int | None
    note: str


@strawberry.type
class Query:
    """Demanded by the specification."""

    ok: bool = True


@strawberry.type
class Subscription:
    """What is measured."""

    @strawberry.subscription
    async def feed(self, key: int | None = None) -> AsyncGenerator[Feed | None, None]:
        """Yield the events of a key, or all."""
        async with broadcast.subscribe("feed") as events:
            async for event in events:
                data = json.loads(event.message)
                if key is None or data.get("key") == key:
                    yield Feed(
                        sequence=data["sequence"],
                        sent_at=data["sentAt"],
                        key=data.get("key"),
                        note=data["note"],
                    )


async def ready() -> None:
    """Connect, and print that it serves."""
    await broadcast.connect()
    print_ready()


schema = strawberry.Schema(Query, subscription=Subscription)
app = GraphQL(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
run(app, options.port, ready)
