"""Keeps several processes running, and replaces them one by one at SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable

from .._service_manager import tell_ready, tell_reloading
from ._child import Child, blocked
from ._events import tell
from ._group import Group, SupersededError
from ._place import Place
from .hangups import Hangups
from .sockets import Sockets


async def supervise(
    sockets: Sockets,
    count: int,
    *,
    drain: float,
    start_timeout: float,
    announce: Callable[[str], object],
    hangups: Hangups,
) -> int:
    """Serve by several processes until SIGTERM, Ctrl-C, or the end of their `main`.

    Args:
        sockets: The sockets of the address that they share.
        count: How many there are.
        drain: How long their drain takes at most (seconds).
        start_timeout: How long a process may take until it listens (seconds).
        announce: Called with what the first process has to say.
        hangups: What has handled SIGHUP until now.

    Returns:
        The status: 0 after a drain; 1 if processes cannot be started or had to be killed; that of
        the first process if it ends before it listens, or of `main`.
    """
    group = Group(sockets, drain=drain, announce=announce, start_timeout=start_timeout)
    group.handle_signals()
    restart = _Restart(group, hangups)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, restart.ask)
    try:
        return await _serve(group, restart, count)
    finally:
        _ignore_signals()


async def _serve(group: Group, restart: _Restart, count: int) -> int:
    # The others need not say the same if it fails.
    first = await restart.first()
    if first is None or first.ready.result() is None:
        return await _failed(group, None if first is None else await first.ended)
    places = [Place(group, number, None if number else first) for number in range(count)]
    restart.follow(places)
    keeping = [asyncio.ensure_future(place.keep()) for place in places]
    await group.ending.wait()
    status = await group.finish()
    await asyncio.gather(*keeping, restart.finished())
    return status


def _ignore_signals() -> None:
    """Have signals change nothing any more: all processes have ended but this one.

    The end of the event loop would make them end the program with another status.
    """
    loop, numbers = asyncio.get_running_loop(), (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    with blocked(numbers):
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


async def _failed(group: Group, status: int | None) -> int:
    """Return the status after a first process that does not serve."""
    if group.ending.is_set():
        return await group.finish()
    if status is not None and status < 0:
        text = "the first process was ended by signal %d before it served"
        reason = f"signal {-status}"
        tell(logging.ERROR, text, -status, event="process.failed", reason=reason)
    return status if status is not None and status > 0 else 1


class _Restart:
    """Replaces all processes when it is asked to."""

    def __init__(self, group: Group, hangups: Hangups) -> None:
        self._group = group
        self._hangups = hangups
        self._places: list[Place] = []
        self._is_asked = False
        self._work: asyncio.Future[None] | None = None

    async def first(self) -> Child | None:
        """Start the first process; see `Group.start`."""
        while True:
            self._is_asked = False
            with contextlib.suppress(SupersededError):
                return await self._group.start(0)

    def follow(self, places: list[Place]) -> None:
        """Replace the processes in these places from now on."""
        self._places = places
        if self._is_asked:
            self._begin()

    def ask(self) -> None:
        """Begin, or begin anew: the code may have changed since the last one was asked for.

        A terminal that closes sends SIGHUP as well: then all end.
        """
        if self._hangups.is_terminal_gone:
            return self._group.end(0)
        self._is_asked = True
        self._group.supersede()
        if self._places:
            self._begin()

    async def finished(self) -> None:
        """Wait until none runs."""
        if self._work is not None:
            await self._work

    def _begin(self) -> None:
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while self._is_asked and not self._group.ending.is_set():
            self._is_asked = False
            tell_reloading()
            text = "restarting %d processes, one by one"
            tell(logging.INFO, text, len(self._places), event="restart.begun")
            count = await self._renew_all()
            if self._is_asked or self._group.ending.is_set():
                continue
            old = len(self._places) - count
            if old:
                text = "the restart has failed: %d processes go on as they were"
                tell(logging.ERROR, text, old, event="restart.failed")
                tell_ready(text % old)
            else:
                tell(logging.INFO, "all processes are new", event="restart.done")
                tell_ready(f"serving by {count} processes")

    async def _renew_all(self) -> int:
        """Replace one after the other; return how many were.

        That is up to the first that was not, or until it is asked for again.
        """
        for count, place in enumerate(self._places):
            with contextlib.suppress(SupersededError):
                if not self._is_asked and await place.renew():
                    continue
            return count
        return len(self._places)
