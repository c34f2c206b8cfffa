"""Ariadne on uvicorn."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ariadne import SubscriptionType, make_executable_schema
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler
from broadcast import Broadcast, first_and_rest, serve
from control import SDL, SNAPSHOT

broadcast: Broadcast[dict[str, Any]] = Broadcast()
root = SubscriptionType()


@root.source("feed")
def events(_: Any, info: Any, key: int | None = None) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the events of a key, or all."""
    return broadcast.events(lambda event: key is None or event.get("key") == key)


@root.field("feed")
def feed(event: dict[str, Any], info: Any, key: int | None = None) -> dict[str, Any]:
    """Return the event as it is."""
    return event


@root.source("snapshot")
def first(_: Any, info: Any) -> AsyncGenerator[dict[str, Any], None]:
    """Yield what there is."""
    return first_and_rest(SNAPSHOT)


@root.field("snapshot")
def snapshot(value: dict[str, Any], info: Any) -> dict[str, Any]:
    """Return it as it is."""
    return value


schema = make_executable_schema(SDL, root)
app = GraphQL(schema, websocket_handler=GraphQLTransportWSHandler())
serve(app, broadcast.send)
