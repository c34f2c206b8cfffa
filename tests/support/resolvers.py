"""Resolvers that report their progress, and continue when a test allows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fraiseql_subs import subscription


class Endless:
    """A source stream that never ends by itself, and reports when its client has disconnected."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def declare(self) -> Any:
        @subscription
        async def endless() -> AsyncIterator[str]:
            try:
                yield "begun"
                await asyncio.Event().wait()
            finally:
                self.ended.set()

        return endless


class HeldCall:
    """A call for each event of `feed`: returns its data after `let_go` is set."""

    def __init__(self) -> None:
        self.entered, self.let_go = asyncio.Event(), asyncio.Event()

    def declare(self, **options: Any) -> Any:
        @subscription(channel="feed", **options)
        async def slow(event) -> int:
            self.entered.set()
            await self.let_go.wait()
            return event.data

        return slow
