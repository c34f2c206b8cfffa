"""Subscriptions of every kind with a history, and clients that resume them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.progress import recorded
from support.protocol_client import ProtocolClient

from fraiseql_subs import SubscriptionManager, passthrough, subscription

BEGIN: dict[str, Any] = {"resume": {}}


def after(id: str) -> dict[str, Any]:
    return {"resume": {"after": id}}


def plain() -> Any:
    return passthrough("feed", int, channel="feed")


def called(**options: Any) -> Any:
    @subscription(channel="feed", name="feed", **options)
    async def feed(event) -> int:
        # Some calls end after calls for later events.
        for _ in range(event.data % 3):
            await asyncio.sleep(0)
        return event.data

    return feed


def batched() -> Any:
    @subscription(channel="feed", name="feed", batch=True)
    async def feed(calls) -> list[int]:
        for _ in range(calls[0].event.data % 3):
            await asyncio.sleep(0)
        return [call.event.data for call in calls]

    return feed


KINDS = {
    "passthrough": plain,
    "resolver": called,
    "concurrent": lambda: called(concurrency=8),
    "shared": lambda: called(shared=True),
    "batch": batched,
}


every_kind = pytest.mark.parametrize("kind", KINDS)


FEED = "subscription { feed }"


async def publish(manager: SubscriptionManager, *numbers: int) -> None:
    """Publish numbers; returns when they are in the history."""
    for number in numbers:
        await manager.publish("feed", number)
    await recorded(manager)


async def begin(client: ProtocolClient, query: str = FEED) -> tuple[str, str]:
    """Subscribe for the first time; return the id of the operation and its position."""
    id = await client.subscribe(query, extensions=BEGIN)
    first = await client.receive_next(id)
    assert first["data"] is None
    assert first["extensions"]["resume"]["missed"] is False
    return id, first["extensions"]["resume"]["id"]


async def receive(client: ProtocolClient, id: str) -> tuple[int, str]:
    """Return the number of the next result, and its id."""
    result = await client.receive_next(id)
    return result["data"]["feed"], result["extensions"]["resume"]["id"]


async def missed(client: ProtocolClient, id: str) -> dict[str, Any]:
    """Return the `resume` extension of the next message, which says that events are missing."""
    result = await client.receive_next(id)
    assert result["data"] is None
    assert result["extensions"]["resume"].pop("missed") is True
    return result["extensions"]["resume"]
