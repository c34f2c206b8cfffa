"""A process that serves, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Collection, Iterator

from typing_extensions import Self

from .._service_manager import VARIABLE
from ._events import tell
from .supervised import DEFERRED, GRACE, MARK

_LAST_WORDS = 1.0
"""How long the channel of a process that has ended is read (seconds)."""


@contextlib.contextmanager
def blocked(numbers: Collection[signal.Signals]) -> Iterator[None]:
    """Have signals wait, in this thread and in processes that it starts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        # Not what it was before: several processes may be started at a time.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


class Child:
    """Starts a process with the command line of this one, and follows it until it has ended.

    Attributes:
        pid: Its number.
        place: The place that it has.
        ready: Done once it listens, with the text that it has to say; or with None: it has ended
            before.
        ended: Done once it has ended, with its status; below 0 it is the number of a signal.
        is_leaving: Whether it was asked to end.
        has_main: Whether it was told to run `main`.
    """

    def __init__(
        self,
        process: Process,
        channel: socket.socket,
        place: int,
        done: Callable[[Child, int], None],
    ) -> None:
        self.pid = process.pid
        self.place = place
        self.ready: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.is_leaving = False
        self.has_main = False
        self._process = process
        self._channel = channel
        self._done = done
        self._listens_since: float | None = None
        self._reading = asyncio.ensure_future(self._read())
        self.ended: asyncio.Future[int] = asyncio.ensure_future(self._wait())

    @classmethod
    async def start(
        cls, listener: socket.socket, place: int, done: Callable[[Child, int], None]
    ) -> Self:
        """Start a process.

        Args:
            listener: The socket that it accepts connections of.
            place: The place that it has.
            done: Called with it and a status once its `main` is over.

        Raises:
            OSError: The system starts no more processes.
        """
        ours, theirs = socket.socketpair()
        # The supervisor speaks for all.
        inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
        with theirs:
            numbers = (theirs.fileno(), listener.fileno())
            try:
                # They wait in the new process until it handles them. This one gets its own later.
                with blocked(DEFERRED):
                    process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        *sys.orig_argv[1:],
                        env={**inherited, MARK: ",".join(map(str, numbers))},
                        pass_fds=numbers,
                    )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        return cls(process, ours, place, done)

    @property
    def listens(self) -> bool:
        """Whether it has begun to listen, and goes on."""
        return self._listens_since is not None and not self.is_leaving and not self.ended.done()

    @property
    def is_serving(self) -> bool:
        """Whether it has clients, or may have: it may also be leaving."""
        return self._listens_since is not None and not self.ended.done()

    @property
    def served(self) -> float:
        """For how long it has served (seconds)."""
        return 0.0 if self._listens_since is None else time.monotonic() - self._listens_since

    @property
    def reason(self) -> str:
        """Why it has ended."""
        status = self.ended.result()
        if status >= 0:
            return f"status {status}"
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-status).name}"
        return f"signal {-status}"

    def say(self, word: str) -> None:
        """Tell it something; see `Supervised`."""
        # The channel holds far more than all that is ever said.
        with contextlib.suppress(OSError):
            self._channel.send(word.encode() + b"\n")

    def run_main(self) -> None:
        """Have it run `main`."""
        self.has_main = True
        self.say("main")

    async def end(self, word: str, patience: float) -> int:
        """Ask it to end, and return its status. It is killed when patience is over (seconds).

        One that has not served has nothing to drain.
        """
        self.is_leaving = True
        if self._listens_since is None:
            # It reads nothing yet.
            self.send_signal(signal.SIGTERM)
            patience = min(patience, GRACE)
        else:
            self.say(word)
        await asyncio.wait([self.ended], timeout=patience)
        if not self.ended.done():
            text = "process %d has not ended %.0f s after it was asked: it is killed"
            tell(
                logging.WARNING,
                text,
                self.pid,
                patience,
                event="process.killed",
                process=self.pid,
            )
            self.send_signal(signal.SIGKILL)
        return await self.ended

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _wait(self) -> int:
        status = await self._process.wait()
        # A process that it has forked may have the channel as well.
        await asyncio.wait([self._reading], timeout=_LAST_WORDS)
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._channel.close()
        if not self.ready.done():
            self.ready.set_result(None)
        return status

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        while chunk := await self._receive(loop):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._follow(json.loads(line))

    async def _receive(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._channel, 4096)
        except OSError:
            return b""

    def _follow(self, message: dict[str, str | int]) -> None:
        if "listening" in message and not self.ready.done():
            self._listens_since = time.monotonic()
            self.ready.set_result(str(message["listening"]))
        elif "done" in message:
            self._done(self, int(message["done"]))
