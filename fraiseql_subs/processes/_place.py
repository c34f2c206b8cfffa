"""One of the processes that serve, and those that take its place."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ._back_off import BackOff
from ._child import Child
from ._events import tell
from ._group import Group, SupersededError


class Place:
    """Keeps one process running.

    Args:
        group: The processes of the program.
        number: The number of the place.
        child: The process that has it.
    """

    def __init__(self, group: Group, number: int, child: Child | None = None) -> None:
        self._group = group
        self._number = number
        self._child = child
        self._back_off = BackOff()
        # Held while a process is started.
        self._lock = asyncio.Lock()

    async def keep(self) -> None:
        """Replace the process whenever it has ended, until all have to end."""
        while not self._group.ending.is_set():
            try:
                async with self._lock:
                    if self._child is None or self._child.ended.done():
                        self._child = await self._group.start(self._number)
                    child = self._child
            except SupersededError:
                # A `renew` that waits for the lock has its turn first.
                continue
            if child is not None:
                await asyncio.wait([child.ended])
            if child is self._child and not self._group.ending.is_set():
                await self._pause(child)

    async def renew(self) -> bool:
        """Replace the process by a new one; return whether the new one serves.

        Raises:
            SupersededError: It was given up, and the old one goes on.
        """
        async with self._lock:
            new = await self._group.start(self._number)
            if new is None or new.ready.result() is None:
                if new is not None and not self._group.ending.is_set():
                    await new.ended
                    _tell_failure(new)
                return False
            old, self._child = self._child, new
        if old is not None and not old.ended.done():
            text = "process %d drains"
            tell(logging.INFO, text, old.pid, event="process.draining", process=old.pid)
            await old.end("leave", self._group.patience)
        return True

    async def _pause(self, child: Child | None) -> None:
        if not (child is not None and child.served) and self._group.fail():
            return
        pause = self._back_off.pause(0.0 if child is None else child.served)
        if child is not None:
            text = "process %d has ended (%s)%s: another one takes its place in %.1f s"
            when = "" if child.served else " before it served"
            tell(
                logging.WARNING,
                text,
                child.pid,
                child.reason,
                when,
                pause,
                event="process.ended",
                process=child.pid,
                reason=child.reason,
            )
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._group.ending.wait(), pause)


def _tell_failure(child: Child) -> None:
    tell(
        logging.ERROR,
        "process %d has ended (%s) before it served",
        child.pid,
        child.reason,
        event="process.failed",
        process=child.pid,
        reason=child.reason,
    )
