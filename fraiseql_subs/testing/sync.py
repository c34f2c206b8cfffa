"""The client of tests without `async`: an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Self

from fraiseql_subs._core import Receipt
from fraiseql_subs.config import DRAIN, Drain, Identity
from fraiseql_subs.manager import SubscriptionManager
from fraiseql_subs.testing.client import SAME, TestClient
from fraiseql_subs.testing.results import TIMEOUT, TestSubscription
from fraiseql_subs.types import ExecutionResult

_Value = TypeVar("_Value")


class _Loop:
    """An event loop that runs in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _Value]) -> _Value:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncTestClient:
    """`TestClient` for tests that are `def`: `with SyncTestClient(manager) as client`.

    The manager and its resolvers run on an event loop in another thread. For connections and for
    time that is advanced use `TestClient`.

    Args:
        manager: The manager. The block starts it, and closes it at its end.
        identity: Identity of subscribers; None: none.
        context: Value that resolvers find as `context.value`.
        timeout: Time to wait for a result (seconds).
    """

    def __init__(
        self,
        manager: SubscriptionManager,
        *,
        identity: Identity | Mapping[str, Any] | None = None,
        context: Any = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._client = TestClient(manager, identity=identity, context=context, timeout=timeout)
        self._loop: _Loop | None = None

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("the client is entered already: nest another SyncTestClient")
        loop = _Loop()
        try:
            loop.run(self._client.__aenter__())
        except BaseException:
            loop.close()
            raise
        self._loop = loop
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        loop = self._running()
        try:
            loop.run(self._client.__aexit__(exc_type, exc, traceback))
        finally:
            self._loop = None
            loop.close()

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
    ) -> Receipt:
        """Publish one event; see `SubscriptionManager.publish`."""

        async def publish() -> Receipt:
            return await self._client.publish(
                channel, data, event_type=event_type, tenant_id=tenant_id, event_id=event_id
            )

        return self._running().run(publish())

    def publish_many(self, events: Iterable[tuple[str, Any] | dict[str, Any]]) -> list[Receipt]:
        """Publish a batch in order; see `SubscriptionManager.publish_many`."""

        async def publish() -> list[Receipt]:
            return await self._client.publish_many(events)

        return self._running().run(publish())

    def subscribe(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        identity: Identity | Mapping[str, Any] | None = SAME,
        context: Any = SAME,
        extensions: Mapping[str, Any] | None = None,
    ) -> SyncTestSubscription:
        """Subscribe; see `TestClient.subscribe`."""

        async def subscribe() -> TestSubscription:
            return self._client.subscribe(
                document,
                variables,
                operation_name,
                identity=identity,
                context=context,
                extensions=extensions,
            )

        loop = self._running()
        return SyncTestSubscription(loop, loop.run(subscribe()))

    def execute(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        identity: Identity | Mapping[str, Any] | None = SAME,
        context: Any = SAME,
    ) -> ExecutionResult:
        """Run a query or mutation; see `TestClient.execute`."""
        return self._running().run(
            self._client.execute(
                document, variables, operation_name, identity=identity, context=context
            )
        )

    def close(self, *, drain: float | Drain = DRAIN) -> None:
        """Close the manager: subscriptions receive what was published, and end."""
        self._running().run(self._client.close(drain=drain))

    def _running(self) -> _Loop:
        if self._loop is None:
            raise RuntimeError("the client is not entered: use it in `with SyncTestClient(...)`")
        return self._loop


class SyncTestSubscription:
    """A subscription of a test that is a `def`; see `TestSubscription`."""

    def __init__(self, loop: _Loop, subscription: TestSubscription) -> None:
        self._loop = loop
        self._subscription = subscription

    def __enter__(self) -> Self:
        self._loop.run(self._subscription.__aenter__())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[ExecutionResult]:
        while True:
            try:
                yield self._loop.run(self._subscription.__anext__())
            except StopAsyncIteration:
                return

    def next(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the next result, which must have no errors, and return its data."""
        return self._loop.run(self._subscription.next(timeout=timeout))

    def next_errors(self, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """Wait for the next result, which must have errors, and return them."""
        return self._loop.run(self._subscription.next_errors(timeout=timeout))

    def next_result(self, *, timeout: float | None = None) -> ExecutionResult:
        """Wait for the next result, with data, errors and extensions."""
        return self._loop.run(self._subscription.next_result(timeout=timeout))

    def assert_none(self, *, within: float = 0.1) -> None:
        """Check that no result comes within a time (seconds)."""
        self._loop.run(self._subscription.assert_none(within=within))

    def rest(self, *, timeout: float | None = None) -> list[ExecutionResult]:
        """Wait until the subscription has ended, and return the results until then."""
        return self._loop.run(self._subscription.rest(timeout=timeout))

    def close(self) -> None:
        """End the subscription."""
        self._loop.run(self._subscription.aclose())
