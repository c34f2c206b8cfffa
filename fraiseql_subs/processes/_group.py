"""The processes that run: their start, which of them runs `main`, and the end of all."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any

from .._service_manager import tell_ready, tell_stopping
from ._child import Child
from ._events import tell
from .sockets import Sockets
from .supervised import GRACE

_MAX_FAILURES = 5
"""How many processes in a row may end before they listen, while none serves (count)."""


_MAX_LEFT_BEHIND = 4
"""How many processes may be ending that were given up before they served (count)."""


class SupersededError(Exception):
    """A process was given up before it served, because a newer one is to be started."""


class Group:
    """Processes that share an address.

    Attributes:
        ending: Set once all have to end.
        patience: How long a process has to end (seconds).

    Args:
        sockets: The sockets of the address.
        drain: How long their drain takes at most (seconds).
        announce: Called with what the first process has to say.
        start_timeout: How long a process may take until it listens (seconds); None: any time.
        outlives_failures: Whether a `main` that raises does not end the program.
    """

    def __init__(
        self,
        sockets: Sockets,
        *,
        drain: float,
        announce: Callable[[str], object],
        start_timeout: float | None = None,
        outlives_failures: bool = False,
    ) -> None:
        self.ending = asyncio.Event()
        self.patience = drain + GRACE
        self._sockets = sockets
        self._announce: Callable[[str], object] | None = announce
        self._children: set[Child] = set()
        self._starting: list[int] = []
        self._status = 0
        self._signals = 0
        self._failures = 0
        self._start_timeout = start_timeout
        self._outlives_failures = outlives_failures
        self._superseded = asyncio.Event()
        self._left_behind: dict[Child, asyncio.Future[int]] = {}

    def handle_signals(self) -> None:
        """End all at SIGTERM and Ctrl-C; the second one ends the drain, the third one kills.

        A shell ignores Ctrl-C for what it runs in the background: then it does nothing here either.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._interrupt)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGINT, self._interrupt)

    async def start(self, place: int) -> Child | None:
        """Start a process, and wait until it listens, or has ended.

        It is killed if it does neither in time.

        Args:
            place: The place that it has.

        Returns:
            The process; None: there is none, which the log says, or all have to end.

        Raises:
            SupersededError: See `supersede`.
        """
        superseded = self._superseded
        child = await self.spawn(place)
        if child is None:
            return None
        events = [asyncio.ensure_future(each.wait()) for each in (self.ending, superseded)]
        ends: list[asyncio.Future[Any]] = [child.ready, *events]
        await asyncio.wait(ends, timeout=self._start_timeout, return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()
        if not child.ready.done():
            if self.ending.is_set():
                await child.end("drain", self.patience)
            elif superseded.is_set():
                self._leave_behind(child)
                raise SupersededError
            else:
                self._give_up(child)
        await self.admit(child)
        return child

    def supersede(self) -> None:
        """End the processes that do not serve yet: they may have read what is old by now."""
        self._superseded.set()
        self._superseded = asyncio.Event()

    def _leave_behind(self, child: Child) -> None:
        """Have a process end that does not serve; the next one need not wait for it.

        When there are many of them, the oldest are killed.
        """
        tell(
            logging.INFO,
            "process %d is ended before it served: a newer one is started",
            child.pid,
            event="process.superseded",
            process=child.pid,
        )
        for oldest in list(self._left_behind)[: 1 - _MAX_LEFT_BEHIND]:
            oldest.send_signal(signal.SIGKILL)
        ending = asyncio.ensure_future(child.end("drain", self.patience))
        self._left_behind[child] = ending
        ending.add_done_callback(lambda _: self._left_behind.pop(child))

    def _give_up(self, child: Child) -> None:
        tell(
            logging.ERROR,
            "process %d has not begun to serve after %g s (--start-timeout): it is killed",
            child.pid,
            self._start_timeout,
            event="process.late",
            process=child.pid,
        )
        child.send_signal(signal.SIGKILL)

    async def spawn(self, place: int = 0) -> Child | None:
        """Start a process; see `start`."""
        if self.ending.is_set():
            return None
        self._starting.append(place)
        try:
            child = await Child.start(self._sockets.of(place), place, self._main_is_over)
        except OSError as error:
            text = "the system starts no more processes: %s"
            tell(logging.ERROR, text, error, event="process.not_started", cause=error)
            return None
        finally:
            self._starting.remove(place)
        self._children.add(child)
        child.ended.add_done_callback(lambda _: self._forget(child))
        if self.ending.is_set():
            await child.end("drain", self.patience)
        return child

    async def admit(self, child: Child) -> bool:
        """Wait until a process listens, and return True; False: it has ended before."""
        announcement = await child.ready
        if announcement is None:
            return False
        self._failures = 0
        self._close_sockets()
        text = "process %d serves"
        tell(logging.INFO, text, child.pid, event="process.serving", process=child.pid)
        if self._announce is not None:
            self._announce(announcement)
            self._announce = None
            tell_ready(announcement.partition("\n")[0])
        self._assign_main()
        return True

    def fail(self) -> bool:
        """Count a process that has not begun to serve; return whether all end because of it."""
        self._failures += 1
        if self._failures < _MAX_FAILURES or any(child.listens for child in self._children):
            return False
        text = "no process can be started: the last %d attempts failed"
        tell(logging.ERROR, text, self._failures, event="processes.failed")
        self.end(1)
        return True

    def end(self, status: int) -> None:
        """Have all end; the program ends with this status, if that is the first reason."""
        if not self.ending.is_set():
            self._status = status
            self.ending.set()
            self._close_sockets()
            tell_stopping()

    async def finish(self) -> int:
        """Drain all; return the status of the program."""
        is_clean = await self.stop("drain", self.patience)
        return self._status or int(not is_clean)

    async def stop(self, word: str, patience: float) -> bool:
        """Have all processes end, and return whether those that served ended as they should.

        Args:
            word: What they are told.
            patience: How long each has until it is killed (seconds).
        """
        served = [child for child in self._children if child.listens]
        staying = [child for child in self._children if not child.is_leaving]
        await asyncio.gather(*(child.end(word, patience) for child in staying))
        # Those that were leaving, or were just being started.
        while self._children:
            await asyncio.wait([child.ended for child in self._children])
        return all(child.ended.result() == 0 for child in served)

    def _interrupt(self) -> None:
        self._signals += 1
        self.end(0)
        if self._signals == 1:
            return
        for child in self._children:
            if self._signals == 2 and child.ready.done():
                child.say("hurry")
            else:
                child.send_signal(signal.SIGKILL)

    def _forget(self, child: Child) -> None:
        self._children.discard(child)
        self._close_sockets()
        self._assign_main()

    def _close_sockets(self) -> None:
        """Close the sockets of places without a process: others accept the connections.

        At the end, those of processes as well: a process closes its own when it has drained, so
        clients reach one that tells them.
        """
        if self.ending.is_set():
            self._sockets.keep(())
        elif any(child.is_serving for child in self._children):
            self._sockets.keep({*self._starting, *(child.place for child in self._children)})

    def _assign_main(self) -> None:
        """Have one of them run `main`; another one only when that one has ended."""
        if self.ending.is_set() or any(child.has_main for child in self._children):
            return
        # In a restart the newest one is not the next to leave.
        youngest = min(
            (child for child in self._children if child.listens),
            key=lambda child: child.served,
            default=None,
        )
        if youngest is not None:
            youngest.run_main()

    def _main_is_over(self, child: Child, status: int) -> None:
        if not child.is_leaving and not (status and self._outlives_failures):
            self.end(status)
