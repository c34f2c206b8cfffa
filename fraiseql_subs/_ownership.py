"""Decides who closes a manager: its last entry to leave, if an entry has started it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from typing_extensions import Self

from ._entries import Entries

if TYPE_CHECKING:
    from ._core_handle import CoreHandle
    from .config import Drain


class Ownership:
    """One entry of a manager: by `async with`, a server, or an application of a server."""

    __slots__ = ("_entries", "_handle")

    def __init__(self, handle: CoreHandle, entries: Entries | None) -> None:
        self._handle = handle
        self._entries = entries

    @classmethod
    def enter(cls, handle: CoreHandle) -> Self:
        """Enter on the running event loop, which starts the manager.

        Args:
            handle: The manager that is entered.

        Raises:
            ConfigurationError: The manager runs on an event loop of another thread.
        """
        entries = _entries_of(handle)
        handle.core.start()
        if entries is not None:
            entries.count += 1
            handle.entries = entries
        return cls(handle, entries)

    @property
    def is_last(self) -> bool:
        """Whether leaving now would close the manager."""
        return self._entries is not None and not self._entries.is_over and self._entries.count == 1

    def let_go(self) -> bool:
        """Leave, and return whether the caller has to close the manager."""
        if self._entries is None or self._entries.is_over:
            return False
        self._entries.count -= 1
        self._entries.is_over = self._entries.count == 0
        return self._entries.is_over

    async def leave(self, drain: Drain) -> None:
        """Leave; the last one closes the manager."""
        if self.let_go():
            await self._handle.close_unless_closing(drain)


class Entered:
    """The entries of one manager by `async with`; the task that entered leaves."""

    __slots__ = ("_entered",)

    def __init__(self) -> None:
        self._entered: list[tuple[asyncio.Task[object] | None, Ownership]] = []

    def add(self, ownership: Ownership) -> None:
        """Add an entry of the current task."""
        self._entered.append((asyncio.current_task(), ownership))

    def take(self) -> Ownership | None:
        """Take the last entry of the current task, or else of any task; None: there is none."""
        if not self._entered:
            return None
        task = asyncio.current_task()
        own = [place for place, (entered, _) in enumerate(self._entered) if entered is task]
        return self._entered.pop(own[-1] if own else -1)[1]


def _entries_of(handle: CoreHandle) -> Entries | None:
    """Return the entries that a new one joins; None: the manager was started otherwise."""
    event_loop = asyncio.get_running_loop()
    entries = handle.entries
    if entries is not None and not entries.is_over and entries.event_loop is event_loop:
        return entries
    return None if handle.is_running else Entries(event_loop)
