"""The low level, for people who bring their own transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError
from .metrics import Metrics
from .response_stream import next_response

if TYPE_CHECKING:
    from ._causes import Causes
    from ._core import Receipt, Responses
    from ._core_handle import CoreHandle
    from .config import Identity


class Executor:
    """Subscriptions by id, with responses as the bytes that go on the wire.

    Made by the manager: `manager.executor`.
    """

    __slots__ = ("_handle", "_subscriptions")

    def __init__(self, handle: CoreHandle) -> None:
        self._handle = handle
        self._subscriptions: dict[str, tuple[Responses, Causes]] = {}

    async def register_subscription(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        *,
        subscription_id: str | None = None,
        context: Any = None,
        identity: Identity | Mapping[str, Any] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> str:
        """Register a subscription; an event published afterwards reaches it.

        Args:
            document: GraphQL document.
            variables: Its variables; None: none.
            operation_name: Which operation of the document; None when it has one only.
            subscription_id: Id of your own, unique within the manager; None: one is made.
            context: What resolvers find as `context.value`.
            identity: In whose name; rules of `Security` that need an identity deny without one.
            extensions: Extensions of the request, such as `{"resume": {"after": id}}`; see
                `SubscriptionManager.subscribe`.

        Returns:
            The id of the subscription.

        Raises:
            ValidationError: The document or the variables are refused, or the id is in use.
            ManagerClosed: The manager is closed.
        """
        opening = self._handle.subscribe(
            document,
            variables,
            operation_name,
            context,
            subscription_id=subscription_id,
            identity=identity,
            extensions=extensions,
        )
        responses = await opening.responses
        self._subscriptions[responses.id] = responses, opening.causes
        return responses.id

    async def next_event(self, subscription_id: str) -> bytes | None:
        """Wait for the next response of a subscription.

        Returns:
            One serialised GraphQL response, `{"data": ...}`; None once the subscription has ended.

        Raises:
            ConfigurationError: No subscription has this id.
            ValidationError: The subscription ended with errors.
        """
        found = self._subscriptions.get(subscription_id)
        if found is None:
            raise ConfigurationError(
                f"no subscription {subscription_id!r}: use an id that register_subscription() gave"
                " and that was not completed"
            )
        return await next_response(*found)

    async def publish_event(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
    ) -> Receipt:
        """Publish one event; see `SubscriptionManager.publish`."""
        return await self._handle.publish(
            channel, data, event_type=event_type, tenant_id=tenant_id, event_id=event_id
        )

    async def complete_subscription(self, subscription_id: str) -> bool:
        """End a subscription.

        Returns:
            Whether there was one of this id.
        """
        found = self._subscriptions.pop(subscription_id, None)
        if found is None:
            return False
        responses, _ = found
        responses.close()
        return True

    def get_metrics(self) -> Metrics:
        """Read the counters; see `SubscriptionManager.metrics`."""
        return Metrics(**self._handle.core.metrics())
