"""Handles SIGTERM and Ctrl-C in a program that serves: its servers drain and end.

Not here: programs inside another server, which has its own signal handlers
(`adapters/_shutdown.py`).
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .server import Server

Handler: TypeAlias = Callable[[int, "FrameType | None"], Any]


class Signals:
    """The handlers of this process, installed while a server listens.

    The first signal asks every server to end. The second ends the drain at once. A third has the
    effect that it would have without these handlers.
    """

    def __init__(self) -> None:
        self._servers: list[weakref.ref[Server]] = []
        self._previous: dict[int, Any] = {}
        self._process = 0
        self._count = 0

    def add(self, server: Server) -> None:
        """Install the handlers for a server, unless the program handles SIGTERM itself.

        Call it on the thread that runs the server's event loop; signals reach the main thread only.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGTERM)
        if handler != self._receive:
            if handler is not signal.SIG_DFL:
                return
            self._install()
        self._servers.append(weakref.ref(server))

    def remove(self, server: Server) -> None:
        """Remove a server; after the last one the previous handlers are restored."""
        self._servers = [known for known in self._servers if known() not in (None, server)]
        if not self._servers and threading.current_thread() is threading.main_thread():
            self._restore()

    def _install(self) -> None:
        self._servers, self._previous = [], {}
        self._process, self._count = os.getpid(), 0
        # A handler of the program for Ctrl-C is kept.
        interrupt = signal.getsignal(signal.SIGINT)
        is_default = interrupt is signal.default_int_handler
        if is_default or _is_of_asyncio(interrupt):
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._receive)
        self._previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._receive)

    def _restore(self) -> None:
        for number, previous in self._previous.items():
            # The program may have installed its own handler since.
            if signal.getsignal(number) == self._receive:
                signal.signal(number, previous)
        self._previous = {}

    def _live(self) -> list[Server]:
        servers = [known() for known in self._servers]
        return [server for server in servers if server is not None]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Receive a signal, at any point of the main thread; the event loop does the work."""
        servers = self._live()
        self._count += 1
        is_draining = any(server.is_draining for server in servers)
        if not servers or os.getpid() != self._process:
            return self._pass_on(number, frame)
        if self._count == 1:
            previous = self._previous.get(number)
            is_awaited = any(server.is_awaited for server in servers)
            if callable(previous) and _is_of_asyncio(previous) and not is_awaited:
                # Cancels the main task of asyncio.run, which then raises KeyboardInterrupt.
                previous(number, frame)
                return
            work: Callable[[], None] = lambda: self._end(number)  # noqa: E731
        elif self._count == 2 and is_draining:
            work = self._hurry
        else:
            return self._pass_on(number, frame)
        try:
            servers[0].event_loop.call_soon_threadsafe(work)
        except RuntimeError:
            # The loop was closed while the server was still open.
            self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal as if these handlers were not installed."""
        # A program may have stored this handler, and call it after its removal.
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        previous = self._previous.get(number, default)
        if callable(previous):
            previous(number, frame)
            return
        signal.signal(number, previous)
        os.kill(os.getpid(), number)

    def _end(self, number: int) -> None:
        servers = self._live()
        for server in servers:
            server.close()
        outermost: dict[Any, Server] = {}
        for server in servers:
            outermost.setdefault(server.task, server)
        for task, server in outermost.items():
            if not any(other.is_awaited for other in servers if other.task is task):
                if task.done():
                    return self._pass_on(number, None)
                server.interrupt(number)

    def _hurry(self) -> None:
        for server in self._live():
            server.hurry()


def _is_of_asyncio(handler: Any) -> bool:
    """Whether `asyncio.run` has installed a handler; it does so from Python 3.11 on."""
    function = getattr(handler, "func", None)
    return getattr(function, "__qualname__", None) == "Runner._on_sigint"


SIGNALS = Signals()
