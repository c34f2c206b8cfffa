"""The low-level interface, for use with your own transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, ValidationError
from .metrics import Metrics
from .response_stream import ResponseReader

if TYPE_CHECKING:
    from ._core import Receipt
    from ._core_handle import CoreHandle
    from .config import Identity


class Executor:
    """Subscriptions by id, with serialised responses.

    Created by the manager: `manager.executor`.
    """

    __slots__ = ("_handle", "_subscriptions")

    def __init__(self, handle: CoreHandle) -> None:
        self._handle = handle
        self._subscriptions: dict[str, ResponseReader] = {}

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
            operation_name: Name of the operation in the document; None if it has only one.
            subscription_id: Your own id, unique within the manager; None: one is created.
            context: Value that resolvers find as `context.value`.
            identity: Identity of the subscriber; without one, rules of `Security` that need an
                identity deny.
            extensions: Extensions of the request, such as `{"resume": {"after": id}}`; see
                `SubscriptionManager.subscribe`.

        Returns:
            The id of the subscription.

        Raises:
            ValidationError: The document or the variables are refused, or the id is in use.
            ManagerClosed: The manager is closed.
        """
        pending = self._handle.subscribe(
            document,
            variables,
            operation_name,
            context,
            subscription_id=subscription_id,
            identity=identity,
            extensions=extensions,
        )
        responses = await pending.responses
        self._subscriptions[responses.id] = ResponseReader(responses, pending.causes)
        return responses.id

    async def next_event(self, subscription_id: str) -> bytes | None:
        """Wait for the next response of a subscription.

        Returns:
            One serialised GraphQL response, `{"data": ...}`; None if the subscription has ended,
            whose id may then be used again.

        Raises:
            ConfigurationError: No subscription has this id, or it has ended.
            ValidationError: The subscription ended with errors.
        """
        reader = self._subscriptions.get(subscription_id)
        if reader is None:
            raise ConfigurationError(
                f"no subscription {subscription_id!r}: use an id of register_subscription() whose"
                " subscription has not ended"
            )
        try:
            response = await reader.read()
        except ValidationError:
            self._forget(subscription_id, reader)
            raise
        if response is None:
            self._forget(subscription_id, reader)
        return response

    def _forget(self, subscription_id: str, reader: ResponseReader) -> None:
        """Free the id of an ended subscription, unless another one already uses it."""
        if self._subscriptions.get(subscription_id) is reader:
            del self._subscriptions[subscription_id]
            reader.responses.close()

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
        return await self._handle.core.publish(channel, data, event_type, tenant_id, event_id)

    async def complete_subscription(self, subscription_id: str) -> bool:
        """End a subscription.

        Returns:
            Whether a subscription had this id.
        """
        reader = self._subscriptions.pop(subscription_id, None)
        if reader is None:
            return False
        reader.responses.close()
        return True

    def get_metrics(self) -> Metrics:
        """Return the counters; see `SubscriptionManager.metrics`."""
        return Metrics(**self._handle.core.metrics())
