"""The compiled core of a manager, and the calls that act on all of it: start, close, subscribe.

The manager, its servers, the adapters, the executor and tenant publishers share one handle, so none
of them uses private members of another. Not here: the settings that the core is built from.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from ._causes import Causes, CollectCauses
from .errors import ManagerClosed
from .response_stream import PendingSubscription

if TYPE_CHECKING:
    from ._core import Core
    from ._entries import Entries
    from .config import Drain, Identity


class Closable(Protocol):
    """An object that is closed together with a core."""

    def close(self) -> None:
        """Start closing it; may be called more than once."""


class CoreHandle:
    """Builds the core at its first use.

    Attributes:
        is_open: Whether every client may connect, from any page.
        is_isolated: Whether an event reaches subscribers of its own tenant only.
        has_transactions: Whether an event can be part of a transaction of PostgreSQL.
        max_message_bytes: Size of a message or request body (bytes).
        request_timeout: Time that a client has to send a body (seconds).
        servers: Embedded servers that listen; they are closed with the core.
        entries: The open entries, if entering started the core; None: it was started otherwise.
    """

    def __init__(
        self,
        build: Callable[[], Core],
        *,
        is_open: bool,
        is_isolated: bool,
        has_transactions: bool,
        max_message_bytes: int,
        request_timeout: float,
    ) -> None:
        self._build = build
        self._built: Core | None = None
        self._lock = threading.Lock()
        self._end: Future[None] | None = None
        self.is_open = is_open
        self.is_isolated = is_isolated
        self.has_transactions = has_transactions
        self.max_message_bytes = max_message_bytes
        self.request_timeout = request_timeout
        self.servers: weakref.WeakSet[Closable] = weakref.WeakSet()
        self.entries: Entries | None = None

    def build_with(self, build: Callable[[], Core]) -> None:
        """Build the core again at its next use, from other declarations; it must not be running."""
        self._build, self._built = build, None

    @property
    def core(self) -> Core:
        """The core.

        Raises:
            SchemaError: The declarations cannot be served.
            ConfigurationError: A setting is out of its range.
        """
        if self._built is None:
            self._built = self._build()
        return self._built

    @property
    def is_running(self) -> bool:
        """Whether the core is started and not closed; does not build it."""
        return self._built is not None and self._built.is_running

    @property
    def is_closing(self) -> bool:
        """Whether `close` is running."""
        return self._end is not None

    async def close(self, drain: Drain) -> None:
        """Drain, then stop; see `SubscriptionManager.close`.

        Concurrent calls, from any thread, wait for the same end, which the shortest of their drains
        bounds. Cancelling one of them ends the drain at once: clients receive that the server is
        going away before their operations are cancelled.
        """
        end = self._claim_end()
        if end is not None:
            return await self._join(end, drain)
        await self._close(drain)

    async def close_unless_closing(self, drain: Drain) -> None:
        """Close because nothing uses the manager any more.

        An end that has begun keeps its own drain: this waits for it.
        """
        end = self._claim_end()
        if end is not None:
            return await self._wait(asyncio.wrap_future(end))
        await self._close(drain)

    def _claim_end(self) -> Future[None] | None:
        """Return the end that has begun; None: the caller begins it."""
        with self._lock:
            end = self._end
            if end is None:
                self._end = Future()
            return end

    async def _close(self, drain: Drain) -> None:
        try:
            # The end of its event loop may have stopped it by now.
            with contextlib.suppress(ManagerClosed):
                if self.core.is_running:
                    draining = self.core.drain(drain, True, False)
                    await self._wait(draining)
                    draining.result()
        finally:
            self.stop()

    async def _join(self, ending: Future[None], drain: Drain) -> None:
        """Wait for the end of the manager, which has begun; end its drain once this one is over."""
        end = asyncio.wrap_future(ending)
        hurrying = asyncio.ensure_future(self._hurry_after(ending, end, drain))
        try:
            await self._wait(end)
        finally:
            hurrying.cancel()

    async def _hurry_after(
        self, ending: Future[None], end: asyncio.Future[None], drain: Drain
    ) -> None:
        # The manager may end first.
        with contextlib.suppress(ManagerClosed):
            await self.core.announce(drain.ready_delay)
            await asyncio.wait([end], timeout=drain.seconds)
            with self._lock:
                # Otherwise the manager may have been started again, by another thread.
                if self._end is ending:
                    self.core.hurry(drain.seconds)

    async def _wait(self, end: asyncio.Future[None]) -> None:
        """Wait for the end of the manager; cancelled again, end it without a drain."""
        try:
            await asyncio.wait([end])
        except asyncio.CancelledError:
            self.core.hurry()
            try:
                await asyncio.wait([end])
            except asyncio.CancelledError:
                self.core.stop()
                raise
            raise

    async def end_server(self, drain: Drain) -> None:
        """Drain the connections, and end the server; the manager goes on unless it is being closed.

        If it is, this waits for its end, which keeps its own drain. Cancelling ends the drain at
        once. However often it is cancelled, the server has ended when this is over.
        """
        with self._lock:
            end = self._end
        if end is not None:
            return await self._wait(asyncio.wrap_future(end))
        if not self.is_running:
            return
        cancelled: asyncio.CancelledError | None = None
        # The manager may be closed, also by another thread.
        with contextlib.suppress(ManagerClosed):
            draining = self.core.drain(drain, False, True)
            while not draining.done():
                try:
                    await asyncio.wait([draining])
                except asyncio.CancelledError as error:
                    self.core.hurry()
                    cancelled = error
            # Here, so that what has hurried this drain does not hurry the next one.
            self.core.readmit()
            draining.result()
        if cancelled is not None:
            raise cancelled

    def stop(self) -> None:
        """Stop the core, and wake the waiting calls."""
        end, entries = self._end, self.entries
        try:
            self.core.stop()
        finally:
            if entries is not None:
                entries.is_over = True
            self.entries = self._end = None
            for server in list(self.servers):
                server.close()
            if end is not None:
                end.set_result(None)

    def subscribe(
        self,
        document: str,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        context: Any,
        *,
        subscription_id: str | None = None,
        identity: Identity | Mapping[str, Any] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> PendingSubscription:
        """Open an in-process subscription; see `SubscriptionManager.subscribe`."""
        causes: Causes = []
        with CollectCauses(causes):
            responses = self.core.subscribe(
                subscription_id, document, variables, operation_name, context, identity, extensions
            )
        return PendingSubscription(responses, causes)
