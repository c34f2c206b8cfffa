"""The embedded server inside a running asyncio program."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from typing_extensions import Self

from ._listeners import address_of, hand_over
from ._loading import refuse_while_loading
from ._ownership import Ownership
from ._records import records
from ._signals import SIGNALS
from ._site import Site
from ._texts import naming_lone_surrogates
from .config import AT_ONCE, Drain
from .errors import ConfigurationError, ManagerClosed
from .security import TLS

if TYPE_CHECKING:
    from ._core_handle import CoreHandle


_log = logging.getLogger("fraiseql_subs.server")

_UNDER_WAY = 0.5
"""Time from accepting a connection to the end of its handshake (seconds)."""


def refuse_running_loop(main: object) -> None:
    """Check that no event loop runs on this thread, because `main` could not be run inside it.

    Raises:
        ConfigurationError: An event loop runs.
    """
    if _running_loop() is not None:
        if asyncio.iscoroutine(main):
            main.close()
        raise ConfigurationError(
            "run() makes an event loop, and one runs here already: use"
            " `async with manager.serve(...)` in a coroutine"
        )


class Server:
    """The embedded actix-web server; created by `SubscriptionManager.serve`.

    Listens inside `async with`. At the end of the block the server drains. It also closes the
    manager if an entry had started it and no other task is inside `async with manager`.

    Inside, `await server.wait_closed()` waits until the program is asked to end. If the block is
    entered on the main thread of a program that does not handle SIGTERM, the server handles SIGTERM
    and Ctrl-C: `wait_closed` returns. If no task waits for it, the task that has entered is
    cancelled, the server drains, and the event loop ends with `SystemExit` (SIGTERM) or
    `KeyboardInterrupt` (Ctrl-C). A second signal ends the drain at once. At the end of the block
    the previous handlers are restored.

    Attributes:
        host: Address it is bound to; "" with `unix`.
        port: Port it is bound to, set once it listens; 0 with `unix`.
        path: Path of the GraphQL endpoint.
        root_path: Where all paths are served too, as proxies show them; "": nowhere else.
        unix: Path of the unix socket it listens at; None: it listens at host and port.
        listener: The listening socket that it was given; None: it makes one.
        publish_path: Path at which programs publish; None: there is none.
    """

    def __init__(
        self,
        handle: CoreHandle,
        host: str,
        port: int,
        site: Site,
        drain: Drain,
        tls: TLS | None = None,
        *,
        unix: str | Path | None = None,
        reuse_port: bool = False,
        listener: socket.socket | None = None,
    ) -> None:
        if listener is not None:
            host, port, unix = address_of(listener)
        site.check_listening(is_unix=unix is not None)
        self.unix = None if unix is None else str(unix)
        # As plain `str` and `int`, also for the default values.
        self.host = str(host) if unix is None else ""
        self.port = int(port) if unix is None else 0
        self.listener = listener
        self.path = site.path
        self.root_path = site.root_path
        self.publish_path = None if site.publish is None else site.publish[0]
        self._site = site
        self._reuse_port = reuse_port
        self._handle = handle
        self._drain = drain
        # What is left of it.
        self._left = drain
        self._tls = tls
        self._ownership: Ownership | None = None
        self._closing = asyncio.Event()
        self._is_closed_early = False
        self._waiting = 0
        self._task: asyncio.Task[Any] | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._is_ending = False
        self._hurried = asyncio.Event()
        self._interrupted_by: int | None = None

    @property
    def url(self) -> str:
        """URL for WebSocket clients, such as `ws://127.0.0.1:8000/graphql`; `wss` with TLS.

        Paths in URLs begin with `root_path`.

        For a unix socket it is `ws+unix:/run/app.sock:/graphql`, the form of npm's `ws`.
        """
        if self.unix is not None:
            return f"ws+unix:{self.unix}:{self.root_path}{self.path}"
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://{self._authority}{self.root_path}{self.path}"

    @property
    def http_url(self) -> str:
        """URL for HTTP clients and browsers, `http://127.0.0.1:8000/graphql`; `https` with TLS.

        For a unix socket it is `http+unix://%2Frun%2Fapp.sock/graphql`, the form of
        requests-unixsocket.
        """
        return self._http_url(self.path)

    @property
    def publish_url(self) -> str | None:
        """URL at which programs publish, `http://127.0.0.1:8000/publish`; None without a key."""
        return None if self.publish_path is None else self._http_url(self.publish_path)

    def _http_url(self, path: str) -> str:
        if self.unix is not None:
            return f"http+unix://{quote(self.unix, safe='')}{self.root_path}{path}"
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{self._authority}{self.root_path}{path}"

    @property
    def _is_local(self) -> bool:
        """Whether it can be reached only from this machine."""
        return self.unix is not None or ipaddress.ip_address(self.host).is_loopback

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    async def __aenter__(self) -> Self:
        refuse_while_loading("a server")
        core = self._handle.core
        ownership = Ownership.enter(self._handle)
        try:
            with naming_lone_surrogates(ConfigurationError):
                bound = core.serve(
                    self.host,
                    self.port,
                    self._site,
                    None if self._tls is None else self._tls.read(),
                    self.unix,
                    self._reuse_port,
                    None if self.listener is None else hand_over(self.listener),
                )
            if bound is not None:
                self.host, self.port = bound
        except BaseException:
            if ownership.let_go():
                core.stop()
            raise
        self._ownership = ownership
        self._closing, self._hurried = asyncio.Event(), asyncio.Event()
        self._task, self._event_loop = asyncio.current_task(), asyncio.get_running_loop()
        self._is_ending, self._interrupted_by, self._left = False, None, self._drain
        if self._is_closed_early:
            self._is_closed_early = False
            self._closing.set()
        if self._handle.is_open and not self._is_local:
            records.write(
                _log,
                logging.WARNING,
                "anybody who reaches %s may subscribe, from any page: pass a Security(...)"
                " to the manager, or bind 127.0.0.1 behind a proxy that authenticates",
                self.url,
                event="server.open",
            )
        self._handle.servers.add(self)
        SIGNALS.add(self)
        self._tell("server.listening", "serving GraphQL subscriptions on %s", self.url)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not reset when it is left: what waits for its end then must not announce it.
        self._is_ending = True
        try:
            await self._leave()
        finally:
            self._tell("server.closed", "%s is closed", self.url)
            self._closing.set()
            self._handle.servers.discard(self)
            SIGNALS.remove(self)
            if isinstance(exc, asyncio.CancelledError) and self._interrupted_by is not None:
                # Raised by the loop, not here: the exception of a task is raised where the task is
                # awaited.
                self.event_loop.call_soon(_exit, self._interrupted_by)

    def _tell(self, event: str, text: str, *args: object) -> None:
        fields = {"url": self.url}
        records.write(_log, logging.INFO, text, *args, event=event, fields=fields)

    async def _leave(self) -> None:
        ownership = self._ownership
        assert ownership is not None, "it is entered"
        drain = AT_ONCE if self._hurried.is_set() else self._left
        seconds = _rounded(drain.seconds)
        self._tell("server.draining", "%s drains for up to %g s", self.url, seconds)
        try:
            # Drains before it leaves: code that uses the manager for a client leaves during the
            # drain.
            if not ownership.is_last:
                await self._handle.end_server(drain)
                drain = drain.announced()
        except asyncio.CancelledError:
            drain = AT_ONCE
            raise
        finally:
            await ownership.leave(drain)

    def close(self) -> None:
        """Ask the program to leave the `async with`; `wait_closed` returns.

        Any thread may call it, also more than once. The server listens until the block ends. Before
        the block is entered, the request takes effect at entry.
        """
        if self._event_loop is None:
            self._is_closed_early = True
        elif self._event_loop is _running_loop():
            self._closing.set()
        else:
            # The loop may have ended.
            with contextlib.suppress(RuntimeError):
                self._event_loop.call_soon_threadsafe(self._closing.set)

    async def stop_accepting(self) -> None:
        """Leave new connections in the queue of `listener`, for other processes that have it.

        Clients whose handshakes or requests are under way are served: this returns half a second
        later. Then leave the `async with`; the other processes are ready, so it does not wait until
        clients are sent elsewhere.
        """
        self._left = self._left.announced()
        await self._handle.core.stop_accepting()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), min(_UNDER_WAY, self._left.seconds / 2))

    async def wait_closed(self) -> None:
        """Wait until the server has to end: SIGTERM, Ctrl-C, `close()`, or its manager is closed.

        Then leave the `async with`, which drains. Several tasks may wait. With
        `Drain(ready_delay=)`, it returns after that time, and `/health/ready` is 503 at once.

        Raises:
            ConfigurationError: The server was not entered, so it does not listen.
        """
        if self._event_loop is None:
            raise ConfigurationError(
                "the server does not listen yet: await wait_closed() inside `async with server`"
            )
        closing = self._closing
        self._waiting += 1
        try:
            await closing.wait()
            # It may have been left by now, and entered again.
            if closing is self._closing and not self._is_ending:
                await self._announce()
        finally:
            self._waiting -= 1

    async def _announce(self) -> None:
        """Send clients elsewhere, and still serve those that come, for `ready_delay`.

        The core remembers the end of this time: the drain waits for what is left of it.
        """
        if self._handle.is_running and not self._handle.is_closing:
            # The manager may be closed before.
            with contextlib.suppress(ManagerClosed):
                await self._handle.core.announce(self._left.ready_delay)

    async def end_program(self, program: asyncio.Task[object]) -> None:
        """Cancel `main`, and subtract the time that it needs from the drain.

        Return when it has ended, when half of the drain is over, or at a second signal.
        """
        self._is_ending = True
        program.cancel()
        begun = time.monotonic()
        hurried = asyncio.ensure_future(self._hurried.wait())
        either: list[asyncio.Future[Any]] = [program, hurried]
        longest = self._left.seconds / 2
        await asyncio.wait(either, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        left = max(0.0, self._left.seconds - (time.monotonic() - begun))
        self._left = replace(self._left, seconds=left)

    # Used by the signal handlers.

    @property
    def is_awaited(self) -> bool:
        """Whether `wait_closed` is awaited."""
        return self._waiting > 0

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun: clients go elsewhere, `main` is cancelled, or it drains."""
        return self._is_ending or (self.is_awaited and self._closing.is_set())

    @property
    def task(self) -> asyncio.Task[Any]:
        """The task that has entered the block."""
        assert self._task is not None, "it is entered"
        return self._task

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which the block was entered."""
        assert self._event_loop is not None, "it is entered"
        return self._event_loop

    def interrupt(self, number: int) -> None:
        """Cancel the task that has entered the block, because of a signal."""
        self._interrupted_by = number
        self.task.cancel()

    def hurry(self) -> None:
        """End the drain at once, or have the next one end so: unfinished operations are ended."""
        self._hurried.set()
        # Another server of the manager may listen by now.
        if self in self._handle.servers:
            self._handle.core.hurry()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _rounded(seconds: float) -> float:
    """Return what is left of a time as people write it (seconds)."""
    return round(seconds, 1 if seconds >= 1 else 2)


def _exit(number: int) -> None:
    """End the program because of a signal, like `sys.exit` or Ctrl-C."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(0)
