"""Drains a manager when the server that runs the application is asked to end.

ASGI notifies an application only after all connections are closed. That is too late to finish
running operations, and never happens while an event stream is open. So this module handles the
signal itself, and passes it to the server when the manager has drained: ADR 0036. hypercorn ends
its workers by a multiprocessing event that they poll, not by a signal; this module polls the same
event, but cannot delay it.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._core_handle import CoreHandle
    from ..config import Drain

POLL = 0.1
"""Interval between polls of the multiprocessing event (seconds); hypercorn's is the same."""


def watch_shutdown(handle: CoreHandle, drain: Drain) -> None:
    """Drain a manager when the server is asked to end. Call it on the server's event loop.

    Does nothing unless a supported server handles SIGTERM.

    Args:
        handle: The manager to drain.
        drain: How it drains.
    """
    if threading.current_thread() is threading.main_thread():
        _WATCH.add(handle, drain)


class _Watch:
    """The managers of this process that run inside another server."""

    def __init__(self) -> None:
        self._drains: weakref.WeakKeyDictionary[CoreHandle, Drain]
        self._drains = weakref.WeakKeyDictionary()
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._limit: float | None = None
        self._previous: dict[int, Any] = {}
        self._sockets: tuple[socket.socket, ...] = ()
        self._has_begun = False
        self._is_hurried = False
        self._held: Callable[[], object] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, handle: CoreHandle, drain: Drain) -> None:
        """Start watching for a manager, if the server can be watched."""
        event_loop = asyncio.get_running_loop()
        handler = signal.getsignal(signal.SIGTERM)
        is_new = event_loop is not self._event_loop or _is_uvicorn(handler)
        if handler != self._receive and is_new:
            watch = self._way_to_watch(handler)
            if watch is None:
                return
            self._drains.clear()
            self._event_loop, self._limit = event_loop, None
            self._has_begun, self._is_hurried, self._held = False, False, None
            watch(event_loop)
        self._drains[handle] = drain

    def _way_to_watch(self, handler: Any) -> Callable[[asyncio.AbstractEventLoop], None] | None:
        if _is_uvicorn(handler):
            return partial(self._replace, handler)
        if _is_event_loop(handler):
            return partial(self._listen, handler)
        event = getattr(multiprocessing.current_process(), "_kwargs", {}).get("shutdown_event")
        if event is not None:
            return lambda _: self._keep(self._poll(event))
        return None

    # uvicorn installs its own signal handlers.

    def _replace(self, handler: Any, _: asyncio.AbstractEventLoop) -> None:
        config = getattr(handler.__self__, "config", None)
        # uvicorn's own time limit; None: unlimited.
        self._limit = getattr(config, "timeout_graceful_shutdown", None)
        self._keep(self._look_at(handler.__self__))
        self._previous = {
            number: signal.signal(number, self._receive)
            for number in (signal.SIGTERM, signal.SIGINT)
            if signal.getsignal(number) == handler
        }

    async def _look_at(self, server: Any) -> None:
        """Drain when a program ends uvicorn by `should_exit`, of which there is no notification.

        The shutdown cannot be delayed: uvicorn closes the WebSockets. Event streams end.
        """
        # uvicorn polls it at the same interval.
        while not getattr(server, "should_exit", True):  # noqa: ASYNC110
            await asyncio.sleep(POLL)
        if not self._has_begun:
            self._has_begun = True
            await self._drain(accepts=False)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Receive a signal, at any point of the main thread."""
        previous, event_loop = self._previous[number], self._event_loop
        try:
            assert event_loop is not None
            event_loop.call_soon_threadsafe(self._told, partial(previous, number, frame))
        except RuntimeError:
            # The loop is closed, and this handler is still installed.
            previous(number, frame)

    # An event loop is notified of signals through a file descriptor.

    def _listen(self, handler: Any, event_loop: asyncio.AbstractEventLoop) -> None:
        numbers = (signal.SIGTERM, signal.SIGINT)
        taken = {int(number) for number in numbers if signal.getsignal(number) == handler}
        for old in self._sockets:
            old.close()
        self._sockets = reading, writing = socket.socketpair()
        for new in self._sockets:
            new.setblocking(False)
        loops = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        event_loop.add_reader(reading, self._woken, reading, loops, taken)

    def _woken(self, reading: socket.socket, loops: int, taken: set[int]) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in reading.recv(4096):
                hand_on = partial(_write, loops, bytes([number]))
                if number in taken:
                    self._told(hand_on)
                else:
                    hand_on()

    # The workers of hypercorn.

    async def _poll(self, event: Any) -> None:
        # Another process sets it.
        while not event.is_set():  # noqa: ASYNC110
            await asyncio.sleep(POLL)
        await self._drain(accepts=False)

    def _told(self, hand_on: Callable[[], object]) -> None:
        """Drain, then pass the signal on; a second signal ends the drain, and a third passes."""
        if self._has_begun:
            for handle in list(self._drains):
                handle.core.hurry()
            if self._held is None or self._is_hurried:
                hand_on()
            # Otherwise the first one is passed on, a moment later: the clients are being closed.
            self._is_hurried = True
            return
        self._has_begun, self._held = True, hand_on
        self._keep(self._end())

    async def _end(self) -> None:
        try:
            await self._drain(accepts=True)
        finally:
            held, self._held = self._held, None
            if held is not None:
                held()

    async def _drain(self, *, accepts: bool) -> None:
        """Drain all managers.

        Args:
            accepts: Whether the server still accepts clients, which may be sent elsewhere.
        """
        draining = []
        for handle, drain in list(self._drains.items()):
            if handle.is_running:
                if self._limit is not None:
                    drain = replace(drain, seconds=min(drain.seconds, self._limit))
                if not accepts:
                    drain = drain.announced()
                # Clients are not accepted again, because this process ends.
                draining.append(handle.core.drain(drain, False, False))
        if draining:
            await asyncio.gather(*draining, return_exceptions=True)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _write(descriptor: int, data: bytes) -> None:
    # The loop may have ended.
    with contextlib.suppress(OSError):
        os.write(descriptor, data)


def _is_uvicorn(handler: Any) -> bool:
    """Whether a handler is uvicorn's, also in a gunicorn worker."""
    server = getattr(handler, "__self__", None)
    return any(kind.__module__.partition(".")[0] == "uvicorn" for kind in type(server).__mro__)


def _is_event_loop(handler: Any) -> bool:
    """Whether a handler was installed by `loop.add_signal_handler`."""
    is_uvloop = isinstance(getattr(handler, "__self__", None), asyncio.AbstractEventLoop)
    return is_uvloop or getattr(handler, "__name__", None) == "_sighandler_noop"


_WATCH = _Watch()
