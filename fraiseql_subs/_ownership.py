"""Who closes a manager: whoever has started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .manager import SubscriptionManager


class Ownership:
    """Whether a server or application that begins now owns a manager; make it before the start."""

    def __init__(self, manager: SubscriptionManager) -> None:
        self._manager = manager
        self.is_owner = not manager._core.is_running

    async def close(self, drain: float) -> bool:
        """Close the manager if it is owned; return whether it is."""
        if self.is_owner:
            await self._manager.close(drain=drain)
        return self.is_owner
