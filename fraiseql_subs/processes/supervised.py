"""The side of a process that a supervisor has started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from .._program import Main, begin
from ._watch import Watch
from .sockets import BACKLOG

if TYPE_CHECKING:
    from ..server import Server

MARK = "_FRAISEQL_SUBS_SUPERVISED"
"""Environment variable with the descriptors of the channel and of the listening socket."""


GRACE = 10.0
"""How long a process may take beyond its drain (seconds)."""

DEFERRED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))
"""Signals of a terminal to all its processes: on these the supervisor decides."""


class Supervised:
    """The channel to the supervisor, and the socket that it has opened.

    The supervisor says `main` (run it), `leave` (end; another process goes on with the socket),
    `hurry` (the same at once) and `drain` (end). The end of the channel is the end of the
    supervisor.
    """

    def __init__(self, channel: socket.socket, listener: socket.socket) -> None:
        self._channel = channel
        self.listener = listener
        self._may_run_main = asyncio.Event()
        self._is_ending = False
        self._watch = Watch(channel)
        self._works: set[asyncio.Task[None]] = set()

    @classmethod
    def of_environment(cls) -> Self | None:
        """Return what the supervisor has passed; None: there is no supervisor."""
        mark = os.environ.pop(MARK, None)
        if mark is None:
            return None
        channel, listener = (socket.socket(fileno=int(number)) for number in mark.split(","))
        # Programs that this process starts must not keep them open.
        channel.set_inheritable(False)
        listener.set_inheritable(False)
        for number in DEFERRED:
            signal.signal(number, lambda *_: None)
        # The supervisor has blocked them for the time before.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, DEFERRED)
        return cls(channel, listener)

    def listen(self) -> socket.socket:
        """Return the socket; it has connections from now on, if it had none before."""
        self.listener.listen(BACKLOG)
        return self.listener

    async def run(self, main: Main) -> None:
        """Run `main` once the supervisor says so, and tell it when `main` is over."""
        await self._may_run_main.wait()
        status = 1
        try:
            await begin(main)
            status = 0
        except asyncio.CancelledError:
            self._is_ending = True
            raise
        finally:
            # A `main` that is cancelled may return as well.
            if not self._is_ending:
                self._tell({"done": status})

    def follow(self, server: Server, text: str, *, drain: float) -> None:
        """Tell the supervisor that the server listens, and do what it says from now on.

        Args:
            server: The server.
            text: What the program has to say.
            drain: How long its drain takes at most (seconds).
        """
        self._watch.patience = drain + GRACE
        # The server has a copy, and closes it when it has drained.
        self.listener.close()
        self._follow_signals()
        self._tell({"listening": text})
        self._begin(self._follow(server))

    def _follow_signals(self) -> None:
        """Note that SIGTERM ends this process; its server drains.

        It may be sent to all processes of the program, or to this one. New clients are refused
        until it has ended: nothing says that another process accepts them.
        """
        process, handler = os.getpid(), signal.getsignal(signal.SIGTERM)

        def terminate(number: int, frame: FrameType | None) -> None:
            # A process that this one has forked has the handler as well.
            if os.getpid() == process:
                self._is_ending = True
            if callable(handler):
                handler(number, frame)

        signal.signal(signal.SIGTERM, terminate)

    def close(self) -> None:
        """Close the copies of this process."""
        self._channel.close()
        self.listener.close()

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _follow(self, server: Server) -> None:
        reader, writer = await asyncio.open_connection(sock=self._channel)
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while word := (await reader.readline()).strip():
                if word == b"main":
                    self._may_run_main.set()
                elif word == b"drain":
                    self._end(server)
                else:
                    if word == b"hurry":
                        server.hurry()
                    self._begin(self._leave(server))
        # The supervisor has ended, so no process takes its place.
        self._end(server)

    def _end(self, server: Server) -> None:
        self._is_ending = True
        server.close()

    async def _leave(self, server: Server) -> None:
        """End while another process goes on with the socket."""
        if not self._is_ending:
            self._is_ending = True
            await server.stop_accepting()
        server.close()
