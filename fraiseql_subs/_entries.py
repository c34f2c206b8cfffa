"""Counts the entries of a manager. Not here: who closes it (`_ownership.py`)."""

from __future__ import annotations

import asyncio


class Entries:
    """The entries of a manager that the first of them has started.

    Attributes:
        event_loop: The event loop of all entries.
        count: Number of open entries (count).
        is_over: Whether the last entry has left, or the manager was closed.
    """

    __slots__ = ("count", "event_loop", "is_over")

    def __init__(self, event_loop: asyncio.AbstractEventLoop) -> None:
        self.event_loop = event_loop
        self.count = 0
        self.is_over = False
