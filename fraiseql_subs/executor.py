"""The low level, for people who bring their own transport."""

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
    """Subscriptions by id, with responses as the bytes that go on the wire.

    Made by the manager: `manager.executor`.
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
            One serialised GraphQL response, `{"data": ...}`; None when the subscription has ended,
            whose id is free then.

        Raises:
            ConfigurationError: No subscription has this id, or it has ended.
            ValidationError: The subscription ended with errors.
        """
        reader = self._subscriptions.get(subscription_id)
        if reader is None:
            raise ConfigurationError(
                f"no subscription {subscription_id!r}: use an id that register_subscription() gave"
                " and that has not ended"
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
        """Free the id of a subscription that has ended, unless another one has it by now."""
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
            Whether there was one of this id.
        """
        reader = self._subscriptions.pop(subscription_id, None)
        if reader is None:
            return False
        reader.responses.close()
        return True

    def get_metrics(self) -> Metrics:
        """Read the counters; see `SubscriptionManager.metrics`."""
        return Metrics(**self._handle.core.metrics())
