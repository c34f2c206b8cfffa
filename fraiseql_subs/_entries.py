"""Those who are inside a manager; who closes it is `_ownership.py`'s."""

from __future__ import annotations

import asyncio


class Entries:
    """Those who are inside a manager that the first of them has started.

    Attributes:
        event_loop: Where they are.
        count: How many there are (count).
        is_over: Whether the last has left, or the manager was closed.
    """

    __slots__ = ("count", "event_loop", "is_over")

    def __init__(self, event_loop: asyncio.AbstractEventLoop) -> None:
        self.event_loop = event_loop
        self.count = 0
        self.is_over = False
