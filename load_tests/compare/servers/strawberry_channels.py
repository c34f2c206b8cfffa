"""Strawberry with Django Channels over Redis, on uvicorn."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from broadcast import run
from channel_layer import GROUP, MESSAGE, configure
from control import parser, print_ready

options = parser().parse_args()
configure(options.bus)

import strawberry  # noqa: E402
from channels.routing import URLRouter  # noqa: E402
from django.urls import path  # noqa: E402
from strawberry.channels import GraphQLWSConsumer  # noqa: E402
from strawberry.types import Info  # noqa: E402


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
    async def feed(self, info: Info, key: int | None = None) -> AsyncGenerator[Feed | None, None]:
        """Yield the events of a key, or all."""
        consumer = info.context["ws"]
        async with consumer.listen_to_channel(MESSAGE, groups=[GROUP]) as messages:
            async for message in messages:
                data = message["data"]
                if key is None or data.get("key") == key:
                    yield Feed(
                        sequence=data["sequence"],
                        sent_at=data["sentAt"],
                        key=data.get("key"),
                        note=data["note"],
                    )


async def ready() -> None:
    """Print that it serves."""
    print_ready()


schema = strawberry.Schema(Query, subscription=Subscription)
app = URLRouter([path("graphql", GraphQLWSConsumer.as_asgi(schema=schema))])
run(app, options.port, ready)
