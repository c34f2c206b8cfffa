"""Who closes a manager: whoever has started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core_handle import CoreHandle


class Ownership:
    """Whether a server or application that begins now owns a manager; make it before the start."""

    def __init__(self, handle: CoreHandle) -> None:
        self._handle = handle
        self.is_owner = not handle.is_running

    async def close(self, drain: float) -> bool:
        """Close the manager if it is owned; return whether it is."""
        if self.is_owner:
            await self._handle.close(drain)
        return self.is_owner
