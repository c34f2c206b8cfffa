"""Publishes events of one tenant."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, overload

from ._texts import LONE_SURROGATE, has_utf8
from ._transactions import check_bus, publish
from .config import refuse
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._core import Publication, Receipt
    from ._core_handle import CoreHandle


class TenantPublisher:
    """Publishes events of one tenant, never of another; created by `manager.for_tenant`.

    Attributes:
        tenant_id: The tenant.
    """

    __slots__ = ("_handle", "_tenant_id")

    def __init__(self, handle: CoreHandle, tenant_id: str) -> None:
        if not (isinstance(tenant_id, str) and tenant_id):
            refuse("tenant_id", tenant_id, "pass the tenant as a string, at least one character")
        if not has_utf8(tenant_id):
            refuse("tenant_id", tenant_id, LONE_SURROGATE)
        if not handle.is_isolated:
            raise ConfigurationError(
                "for_tenant() of a manager without tenant isolation, where every subscriber is sent"
                " the events of every tenant: pass Security(tenant=TenantIsolation()) to the"
                " manager"
            )
        self._handle = handle
        self._tenant_id = tenant_id

    @property
    def tenant_id(self) -> str:
        """The tenant."""
        return self._tenant_id

    @overload
    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        event_id: str | None = None,
        connection: None = None,
    ) -> Publication[Receipt]: ...

    @overload
    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        event_id: str | None = None,
        connection: object,
    ) -> Coroutine[Any, Any, Receipt]: ...

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """Publish one event of the tenant; see `SubscriptionManager.publish`.

        Raises:
            PublishError: Also if the data has another tenant at `TenantIsolation.event_field`.
        """
        core = self._handle.core
        if connection is not None:
            check_bus(has_transactions=self._handle.has_transactions)
            return publish(core, connection, channel, data, event_type, self._tenant_id, event_id)
        return core.publish(channel, data, event_type, self._tenant_id, event_id)

    @overload
    def publish_json(
        self,
        channel: str,
        json: str | bytes | bytearray | memoryview,
        *,
        event_type: str | None = None,
        event_id: str | None = None,
        connection: None = None,
    ) -> Publication[Receipt]: ...

    @overload
    def publish_json(
        self,
        channel: str,
        json: str | bytes | bytearray | memoryview,
        *,
        event_type: str | None = None,
        event_id: str | None = None,
        connection: object,
    ) -> Coroutine[Any, Any, Receipt]: ...

    def publish_json(
        self,
        channel: str,
        json: str | bytes | bytearray | memoryview,
        *,
        event_type: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """Publish one event of the tenant, as JSON; see `SubscriptionManager.publish_json`.

        Raises:
            PublishError: Also if the data has another tenant at `TenantIsolation.event_field`.
        """
        core, tenant = self._handle.core, self._tenant_id
        if connection is not None:
            check_bus(has_transactions=self._handle.has_transactions)
            return publish(
                core, connection, channel, json, event_type, tenant, event_id, is_json=True
            )
        return core.publish(channel, json, event_type, tenant, event_id, True)

    def publish_many(
        self, events: Iterable[tuple[str, Any] | dict[str, Any]]
    ) -> Publication[list[Receipt]]:
        """Publish a batch of the tenant; see `SubscriptionManager.publish_many`.

        Raises:
            PublishError: Also if an event has another tenant in its `tenant_id` or its data.
        """
        return self._handle.core.publish_many(events, self._tenant_id)

    def __repr__(self) -> str:
        return f"<TenantPublisher {self._tenant_id!r}>"
