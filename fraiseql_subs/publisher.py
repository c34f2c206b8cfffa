"""Publishes events where no server runs: workers, scripts, views of another framework, notebooks.

Not here: publishing in a program that serves (`SubscriptionManager.publish`).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TypeAlias

from typing_extensions import Self

from ._bus import BusOptions, OnUnavailable
from ._core import PublisherCore, Receipt
from ._settings import check_history
from ._transactions import check_bus, publish, publish_blocking
from .config import DEFAULT_HISTORY, History, refuse
from .engines import Nats, Postgres, Redis
from .security import TenantIsolation
from .tracing import PublisherTracing, TraceContext, Tracing

CLOSE_TIME = 5.0
"""Seconds that closing waits for the answers to what was published."""


class _Link:
    """The link of a publisher in this process; a forked process gets its own."""

    def __init__(self, bus: BusOptions, history: History | None, tenant: Any) -> None:
        check_history(history)
        if not (tenant is None or isinstance(tenant, TenantIsolation)):
            refuse("tenant", tenant, "pass TenantIsolation(...), or None")
        self._arguments = (bus, history, tenant)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._core = PublisherCore(*self._arguments)
        _links.add(self)

    @property
    def core(self) -> PublisherCore:
        """The link; its thread is not in a forked process, which makes another one."""
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._core = PublisherCore(*self._arguments)
                    self._process = os.getpid()
        return self._core

    def renew_lock(self) -> None:
        """Replace the lock in a forked process: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Wait until what was published is answered, and end the link."""
        if self._process == os.getpid():
            self._core.close(CLOSE_TIME)


_links: weakref.WeakSet[_Link] = weakref.WeakSet()


def _renew_locks() -> None:
    """Let forked processes make links of their own."""
    for link in list(_links):
        link.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


@atexit.register
def _close_all() -> None:
    """End the links that are still open, before the interpreter does."""
    for link in list(_links):
        link.close()


_Event: TypeAlias = tuple[str, Any, str | None, str | None, str | None]
"""Channel, data, event type, tenant and id of an event."""


class _LinkedPublisher:
    """What publishers have in common: the link that they were configured for."""

    def __init__(
        self,
        bus: str | Redis | Nats | Postgres,
        *,
        history: History | None = DEFAULT_HISTORY,
        tenant: TenantIsolation | None = None,
        on_unavailable: OnUnavailable = "wait",
        publish_timeout: float = 5.0,
        tracing: bool | Tracing = True,
    ) -> None:
        options = BusOptions(bus, on_unavailable, publish_timeout)
        self._has_transactions = options.has_transactions
        self._tracing = PublisherTracing(tracing)
        self._link = _Link(options, history, tenant)


class SyncPublisher(_LinkedPublisher):
    """Publishes events to the engine of other processes, and blocks until it has answered.

    `with SyncPublisher("redis://...") as publisher: publisher.publish("orders", {...})`. It is made
    once for a program, may be used by all of its threads, and by a process that is forked.

    Args:
        bus: The URL that the servers have, or a `Redis(...)`, `Nats(...)` or `Postgres(...)`.
        history: As the servers have it: what the engine keeps of each channel for clients that
            return.
        tenant: As the servers have it in `Security(tenant=...)`; None: there is no isolation.
        on_unavailable: What publishing does while the engine cannot be reached; as for
            `SubscriptionManager`.
        publish_timeout: Time that `publish` waits for the engine's answer (seconds).
        tracing: Whether spans of OpenTelemetry are made, if the program has set a tracer provider;
            `Tracing(...)`: how.

    Raises:
        ConfigurationError: An argument is out of its range.
    """

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Receipt:
        """Publish one event; returns when the engine has it.

        Args:
            channel: Routing key, at least one character.
            data: Anything with a JSON form, as for `SubscriptionManager.publish`.
            event_type: What `event_types` of subscriptions select by.
            tenant_id: The tenant the event belongs to.
            event_id: An id of your own: publishing it again within five minutes is no second event
                with Redis; other engines have other times, or none.
            connection: With PostgreSQL as the engine: an open connection or session, in whose
                transaction the event is published, as for `SubscriptionManager.publish`. It must
                not be asynchronous.

        Raises:
            PublishError: The event cannot be published, or the engine has not taken it in time;
                `retryable` and `outcome` say what is known.
            ConfigurationError: `connection` is passed, and the engine is not PostgreSQL.
        """
        event = (channel, data, event_type, tenant_id, event_id)
        return self._publish_event(connection, event, is_json=False)

    def publish_json(
        self,
        channel: str,
        json: str | bytes | bytearray | memoryview,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Receipt:
        """Publish one event whose data are JSON already; see `SubscriptionManager.publish_json`.

        The text goes to the engine as it is. All else is as for `publish`.

        Raises:
            PublishError: `json` is not one JSON value in UTF-8; and as for `publish`.
            ConfigurationError: As for `publish`.
        """
        event = (channel, json, event_type, tenant_id, event_id)
        return self._publish_event(connection, event, is_json=True)

    def publish_many(self, events: Iterable[tuple[str, Any] | dict[str, Any]]) -> list[Receipt]:
        """Publish a batch in order; see `SubscriptionManager.publish_many`.

        Raises:
            PublishError: An event is malformed, and nothing was published; or the engine has not
                taken an event in time, and others may have been published.
        """
        with self._tracing.publishing_many(events) as span:
            return self._link.core.publish(events, True, span.context)

    def _publish_event(self, connection: Any, event: _Event, *, is_json: bool) -> Receipt:
        if connection is not None:
            check_bus(has_transactions=self._has_transactions)
            core = self._link.core
            with self._tracing.publishing(event[0]) as span:
                return publish_blocking(
                    core, connection, *event, is_json=is_json, trace=span.context
                )
        written = _event(*event, is_json=is_json)
        with self._tracing.publishing(event[0]) as span:
            receipt = self._link.core.publish([written], False, span.context)[0]
            span.published(receipt)
            return receipt

    def close(self) -> None:
        """Wait until what was published is answered, at most 5 s, and end the link."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Publisher(_LinkedPublisher):
    """Publishes events to the engine of other processes, from asyncio.

    `async with Publisher("redis://...") as publisher: await publisher.publish("orders", {...})`.
    The arguments are those of `SyncPublisher`. It may be used by several event loops.
    """

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Receipt:
        """Publish one event; done when the engine has it. See `SyncPublisher.publish`.

        A coroutine: without `await` nothing is sent. `connection` may be asynchronous.

        If the `await` is cancelled, the event is published all the same.

        Raises:
            PublishError: As for `SyncPublisher.publish`.
            ConfigurationError: As for `SyncPublisher.publish`.
        """
        event = (channel, data, event_type, tenant_id, event_id)
        return await self._publish_event(connection, event, is_json=False)

    async def publish_json(
        self,
        channel: str,
        json: str | bytes | bytearray | memoryview,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Receipt:
        """Publish one event whose data are JSON already; see `SyncPublisher.publish_json`.

        A coroutine, as `publish`.

        Raises:
            PublishError: As for `SyncPublisher.publish_json`.
            ConfigurationError: As for `SyncPublisher.publish_json`.
        """
        event = (channel, json, event_type, tenant_id, event_id)
        return await self._publish_event(connection, event, is_json=True)

    async def publish_many(
        self, events: Iterable[tuple[str, Any] | dict[str, Any]]
    ) -> list[Receipt]:
        """Publish a batch in order; see `SyncPublisher.publish_many`.

        Raises:
            PublishError: As for `SyncPublisher.publish_many`.
        """
        with self._tracing.publishing_many(events) as span:
            return await self._publish(events, span.context, is_batch=True)

    async def _publish_event(self, connection: Any, event: _Event, *, is_json: bool) -> Receipt:
        if connection is not None:
            check_bus(has_transactions=self._has_transactions)
            core = self._link.core
            with self._tracing.publishing(event[0]) as span:
                return await publish(core, connection, *event, is_json=is_json, trace=span.context)
        written = _event(*event, is_json=is_json)
        with self._tracing.publishing(event[0]) as span:
            receipt = (await self._publish([written], span.context, is_batch=False))[0]
            span.published(receipt)
            return receipt

    async def _publish(
        self,
        events: Iterable[tuple[str, Any] | dict[str, Any]],
        trace: TraceContext | None,
        *,
        is_batch: bool,
    ) -> list[Receipt]:
        loop = asyncio.get_running_loop()
        published: asyncio.Future[list[Receipt]] = loop.create_future()

        def settle(receipts: list[Receipt] | None, error: BaseException | None) -> None:
            if published.done():
                return
            if error is not None:
                published.set_exception(error)
            else:
                published.set_result(receipts or [])

        def done(receipts: list[Receipt] | None, error: BaseException | None) -> None:
            # The loop may have ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, receipts, error)

        self._link.core.publish_then(events, is_batch, trace, done)
        return await published

    async def close(self) -> None:
        """Wait until what was published is answered, at most 5 s, and end the link."""
        await asyncio.to_thread(self._link.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _event(
    channel: str,
    data: Any,
    event_type: str | None,
    tenant_id: str | None,
    event_id: str | None,
    *,
    is_json: bool = False,
) -> dict[str, Any]:
    """Return the parameters of `publish` or `publish_json` as `publish_many` takes them."""
    return {
        "channel": channel,
        "json" if is_json else "data": data,
        "event_type": event_type,
        "tenant_id": tenant_id,
        "event_id": event_id,
    }
