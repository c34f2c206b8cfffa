"""A source stream that never ends by itself, for tests of how its client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fraiseql_subs import subscription


class Endless:
    """A source stream that tells when its client has left."""

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
