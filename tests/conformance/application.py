"""What the transcripts subscribe to, and the clients that its hook lets in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fraiseql_subs import (
    ConnectionParams,
    GraphQLError,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)

greetings = passthrough("greetings", str, channel="greetings")


@subscription
async def counted(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@subscription(channel="checked")
async def checked(event) -> str | None:
    if event.data == "fail":
        raise GraphQLError("as told")
    return event.data


class Door:
    """An `authenticate` hook that behaves as a transcript asks."""

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, params: ConnectionParams) -> Identity | None:
        self.entered.set()
        if self.behaviour == "refuse":
            return None
        await self.opened.wait()
        return Identity("guest")


def make_manager(options: dict[str, Any]) -> tuple[SubscriptionManager, Door]:
    """Make the manager of one transcript."""
    options = dict(options)
    door = Door(options.pop("authenticate", "open"))
    hook = None if door.behaviour == "open" else door
    manager = SubscriptionManager(
        [greetings, counted, checked],
        security=Security(authenticate=hook),
        limits=Limits(**options),
    )
    return manager, door
