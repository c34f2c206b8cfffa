"""A client for tests, in the process of the manager."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from typing_extensions import Self

from fraiseql_subs._core import Publication, Receipt
from fraiseql_subs._settings import check_drain
from fraiseql_subs.config import DRAIN, Drain, Identity
from fraiseql_subs.manager import SubscriptionManager
from fraiseql_subs.testing.connection import TestConnection
from fraiseql_subs.testing.results import TIMEOUT, TestSubscription
from fraiseql_subs.types import ExecutionResult


class _Same:
    """The value that the client was made with."""


SAME: Any = _Same()


class TestClient:
    """Subscribes to a manager, and publishes: `async with TestClient(manager) as client`.

    `subscribe` is in process: without a protocol, a token or `Security.authenticate`; the identity
    is the one that the test passes. `connect` opens a connection, with all of that.

    Args:
        manager: The manager. The block starts it, and closes it unless it was started before.
        identity: Identity of subscribers in process; None: none.
        context: Value that resolvers find as `context.value`.
        headers: Headers of connections, such as `{"authorization": "Bearer ..."}`.
        timeout: Time to wait for a result (seconds).
    """

    __test__ = False

    def __init__(
        self,
        manager: SubscriptionManager,
        *,
        identity: Identity | Mapping[str, Any] | None = None,
        context: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.manager = manager
        self._identity = identity
        self._context = context
        self._headers = dict(headers or {})
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        await self.manager.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.manager.__aexit__(exc_type, exc, traceback)

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
    ) -> Publication[Receipt]:
        """Publish one event; see `SubscriptionManager.publish`."""
        return self.manager.publish(
            channel, data, event_type=event_type, tenant_id=tenant_id, event_id=event_id
        )

    def publish_many(
        self, events: Iterable[tuple[str, Any] | dict[str, Any]]
    ) -> Publication[list[Receipt]]:
        """Publish a batch in order; see `SubscriptionManager.publish_many`."""
        return self.manager.publish_many(events)

    def subscribe(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        identity: Identity | Mapping[str, Any] | None = SAME,
        context: Any = SAME,
        extensions: Mapping[str, Any] | None = None,
    ) -> TestSubscription:
        """Subscribe in process; see `SubscriptionManager.subscribe`.

        Args:
            document: GraphQL document.
            variables: Its variables; None: none.
            operation_name: Name of the operation in the document; None if it has only one.
            identity: Identity of the subscriber; default: that of the client.
            context: Value that resolvers find as `context.value`; default: that of the client.
            extensions: Extensions of the request, such as `{"resume": {}}`.

        Returns:
            The subscription; entering it raises `ValidationError` if it is refused.
        """
        results = self.manager.subscribe(
            document,
            variables,
            operation_name,
            self._context if context is SAME else context,
            identity=self._identity if identity is SAME else identity,
            extensions=extensions,
        )
        return TestSubscription(results, self._timeout)

    async def execute(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        identity: Identity | Mapping[str, Any] | None = SAME,
        context: Any = SAME,
    ) -> ExecutionResult:
        """Run a query or mutation of the schema that the manager serves, and return its result.

        Raises:
            AssertionError: No result has come in time. A subscription is run by `subscribe`.
            ValidationError: It is refused.
        """
        operation = self.subscribe(
            document, variables, operation_name, identity=identity, context=context
        )
        async with operation:
            try:
                return await operation.next_result()
            except AssertionError as error:
                raise AssertionError(f"{error}; a subscription is run by `subscribe`") from None

    def connect(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        payload: Mapping[str, Any] | None = None,
        context: Any = SAME,
        query_string: str = "",
        remote_address: str | None = "127.0.0.1:50000",
    ) -> TestConnection:
        """Open a connection, as a WebSocket of graphql-transport-ws does, but without a socket.

        Origins, rates, tokens, `Security.authenticate` and limits apply.

        Args:
            headers: Headers of the handshake, besides those of the client, which they replace.
            payload: Payload of `connection_init`; None: none.
            context: What an adapter of another server passes; default: that of the client.
            query_string: The part of the target after the `?`.
            remote_address: Address of the client; None: unknown.

        Returns:
            The connection; entering it raises `ConnectionEnded` if it is refused.
        """
        own = dict(headers or {})
        replaced = {name.lower() for name in own}
        inherited = {
            name: self._headers[name] for name in self._headers if name.lower() not in replaced
        }
        return TestConnection(
            self.manager,
            headers={**inherited, **own},
            payload=payload,
            context=self._context if context is SAME else context,
            query_string=query_string,
            remote_address=remote_address,
            timeout=self._timeout,
        )

    async def close(self, *, drain: float | Drain = DRAIN) -> None:
        """Close the manager: subscriptions receive what was published, and end."""
        await self.manager.close(drain=check_drain(drain))
