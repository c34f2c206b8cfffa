"""Strawberry on uvicorn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import strawberry
from broadcast import Broadcast, first_and_rest, serve
from control import SNAPSHOT
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL


@strawberry.type
class Feed:
    """What is published."""

    sequence: int
    sent_at: int
    key: int | None
    note: str


broadcast: Broadcast[Feed] = Broadcast()


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
        async with aclosing(broadcast.events(lambda e: key is None or e.key == key)) as events:
            async for event in events:
                yield event

    @strawberry.subscription
    async def snapshot(self) -> AsyncGenerator[Feed | None, None]:
        """Yield what there is."""
        async with aclosing(first_and_rest(feed_of(SNAPSHOT))) as values:
            async for value in values:
                yield value


def feed_of(data: dict[str, Any]) -> Feed:
    """Make the value of the type that Strawberry expects."""
    return Feed(
        sequence=data["sequence"],
        sent_at=data["sentAt"],
        key=data.get("key"),
        note=data["note"],
    )


def send(data: dict[str, Any]) -> None:
    """Make the event once for all subscriptions."""
    broadcast.send(feed_of(data))


schema = strawberry.Schema(Query, subscription=Subscription)
app = GraphQL(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
serve(app, send)
