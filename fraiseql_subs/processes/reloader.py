"""Serves by one process, which is replaced when a file of the program changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchfiles import Change, DefaultFilter, awatch

from ..errors import ConfigurationError
from ._child import Child
from ._events import tell
from ._group import Group
from .sockets import Sockets

_SUFFIXES = (".py", ".graphql", ".gql")
"""The files whose change is one of the program."""

_PATIENCE = 5.0
"""How long the previous process has to end (seconds)."""

_INVALID = 2
"""The status of an invalid command line, which no change of a file mends."""


async def serve_and_reload(
    sockets: Sockets, folder: Path, *, drain: float, announce: Callable[[str], object]
) -> int:
    """Serve by one process until SIGTERM, Ctrl-C, or the end of its `main`.

    A process that ends by itself is started again when a file changes.

    Args:
        sockets: The socket that it serves at.
        folder: The folder that is watched.
        drain: How long the drain takes at most when the program ends (seconds).
        announce: Called with what the first process has to say.

    Returns:
        The status: 0 after a drain, 1 if the process had to be killed, 2 for an invalid command
        line.

    Raises:
        ConfigurationError: The folder cannot be watched.
    """
    group = Group(sockets, drain=drain, announce=announce, outlives_failures=True)
    group.handle_signals()
    # It tells each change as well.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    program = _Reloaded(group, folder)
    try:
        await program.run()
    finally:
        program.close()
        status = await group.finish()
    return status


class _Reloaded:
    def __init__(self, group: Group, folder: Path) -> None:
        self._group = group
        self._has_served = False
        self._changed = asyncio.Event()
        self._watching = asyncio.ensure_future(self._watch(folder))
        self._ending = asyncio.ensure_future(group.ending.wait())

    async def run(self) -> None:
        """Start the process again and again, until it has to end."""
        # A change after the start of the process must not be missed.
        await asyncio.sleep(0)
        while not self._group.ending.is_set():
            self._changed.clear()
            child = await self._group.spawn()
            serving = asyncio.ensure_future(self._follow(child))
            await self._wait_for_change()
            if self._group.ending.is_set():
                return
            await self._group.stop("hurry", _PATIENCE)
            await serving

    def close(self) -> None:
        """Watch no more."""
        self._watching.cancel()
        self._ending.cancel()

    async def _follow(self, child: Child | None) -> None:
        """Wait until a process has ended."""
        if child is not None:
            self._has_served |= await self._group.admit(child)
            await asyncio.wait([child.ended])
            self._tell_end(child)

    def _tell_end(self, child: Child) -> None:
        if child.is_leaving or self._group.ending.is_set():
            return
        if child.ended.result() == _INVALID and not self._has_served:
            return self._group.end(_INVALID)
        tell(
            logging.WARNING,
            "the process has ended (%s): it starts when a file changes",
            child.reason,
            event="process.ended",
            process=child.pid,
            reason=child.reason,
        )

    async def _wait_for_change(self) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        ends: list[asyncio.Future[Any]] = [changed, self._watching, self._ending]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        if self._watching.done():
            self._watching.result()

    async def _watch(self, folder: Path) -> None:
        try:
            async for changes in awatch(folder, watch_filter=_Sources()):
                names = ", ".join(sorted({_name(path, folder) for _, path in changes}))
                tell(logging.INFO, "reloading: %s", names, event="reload.begun", files=names)
                self._changed.set()
        except OSError as error:
            raise ConfigurationError(f"--reload: {folder} cannot be watched: {error}") from None


class _Sources(DefaultFilter):
    """Files of the program; those of editors, caches and environments are left out."""

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(_SUFFIXES) and super().__call__(change, path)


def _name(path: str, folder: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(folder))
    return path
