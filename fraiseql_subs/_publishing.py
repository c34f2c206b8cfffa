"""How a manager publishes.

Not here: publishing where no server runs (`publisher`), and how data become events (`_core`).
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, overload

from ._transactions import check_bus, publish
from .tenant import TenantPublisher

if TYPE_CHECKING:
    from ._core import Publication, Receipt
    from ._core_handle import CoreHandle


class Publishing:
    """The methods of a manager that publish."""

    _handle: CoreHandle

    @overload
    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
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
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: object,
    ) -> Coroutine[Any, Any, Receipt]: ...

    def publish(
        self,
        channel: str,
        data: Any,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """Publish one event. Await the result: it is complete at once unless the bus is behind.

        Args:
            channel: Routing key, at least one character.
            data: Anything with a JSON form: dict, list, str, int, float, bool, None, dataclass,
                pydantic model, enum member, datetime, date, time, Decimal, UUID.
            event_type: The type that `event_types` of subscriptions select by.
            tenant_id: The tenant the event belongs to; see `for_tenant` and `TenantIsolation`.
                Without isolation, resolvers find it as `event.tenant_id`, all subscribers receive
                the event, and a warning is logged.
            event_id: Your own id; None: the bus creates one.
            connection: With PostgreSQL as the engine: an open connection or session of SQLAlchemy,
                Django, psycopg, psycopg2 or asyncpg, synchronous or not. The event is published
                when its transaction commits, and never if it is rolled back. One statement is
                executed: by the call, or by awaiting it where the connection is asynchronous. The
                receipt has no position.

        Returns:
            The event's id, and its offset among the events of its channel (under tenant isolation,
            among those of its tenant on the channel), counted from 1.

        Raises:
            PublishError: The data has no JSON form, an argument is not a string or cannot be
                encoded as UTF-8, the channel is empty, or the data names another tenant than
                `tenant_id`. The message says where.
            BusError: The thread has no event loop, and the bus is behind. Nothing was published.
            ManagerClosed: The manager is closed.
            ConfigurationError: `connection` is passed, and the engine is not PostgreSQL.
        """
        if connection is not None:
            check_bus(has_transactions=self._handle.has_transactions)
            core = self._handle.core
            return publish(core, connection, channel, data, event_type, tenant_id, event_id)
        return self._handle.core.publish(channel, data, event_type, tenant_id, event_id)

    @overload
    def publish_json(
        self,
        channel: str,
        json: str | bytes | bytearray | memoryview,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
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
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: object,
    ) -> Coroutine[Any, Any, Receipt]: ...

    def publish_json(
        self,
        channel: str,
        json: str | bytes | bytearray | memoryview,
        *,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        connection: Any = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """Publish one event whose data are JSON already, such as a message of another system.

        The text is checked once and goes into the event as it is: no Python objects are made of it,
        except those that a resolver asks for. All else is as for `publish`.

        Args:
            channel: Routing key, at least one character.
            json: The text of one JSON value; bytes are UTF-8. Of two members with the same name the
                last one counts, as for `json.loads`.
            event_type: As for `publish`.
            tenant_id: As for `publish`.
            event_id: As for `publish`.
            connection: As for `publish`.

        Raises:
            PublishError: It is not one JSON value in UTF-8, begins with a byte order mark, is
                nested deeper than 127 levels, is longer than 1 GiB, or has a lone surrogate, `NaN`,
                an integer past 64 bits or a number that is too large for a float; and as for
                `publish`.
            BusError: As for `publish`.
            ManagerClosed: As for `publish`.
            ConfigurationError: As for `publish`.
        """
        if connection is not None:
            check_bus(has_transactions=self._handle.has_transactions)
            core = self._handle.core
            return publish(
                core, connection, channel, json, event_type, tenant_id, event_id, is_json=True
            )
        return self._handle.core.publish(channel, json, event_type, tenant_id, event_id, True)

    def publish_many(
        self, events: Iterable[tuple[str, Any] | dict[str, Any]]
    ) -> Publication[list[Receipt]]:
        """Publish a batch in order, in one call into Rust.

        Args:
            events: Pairs of channel and data, or dicts of the parameters of `publish` or of
                `publish_json`: `json` in place of `data`.

        Returns:
            The receipts, in the order of the events.

        Raises:
            PublishError: An event is malformed, or has a key that is no parameter of `publish`;
                the message says which. Nothing was published.
            BusError: The thread has no event loop, and the bus has no room for the whole batch.
                Nothing was published; `retryable` says whether a retry may succeed.
            ManagerClosed: The manager is closed. A batch that waited for the bus may have been
                published in part.
        """
        return self._handle.core.publish_many(events)

    def for_tenant(self, tenant_id: str) -> TenantPublisher:
        """Return a publisher for one tenant, which cannot publish events of another.

        Args:
            tenant_id: The tenant, at least one character.

        Raises:
            ConfigurationError: `tenant_id` is empty or not a string; or the manager has no
                `TenantIsolation`, without which the events would reach all tenants.
        """
        return TenantPublisher(self._handle, tenant_id)
