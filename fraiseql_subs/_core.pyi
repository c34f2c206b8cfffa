"""The compiled half of the package. Private: use what `fraiseql_subs` exports."""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from typing import Any, final, overload

from typing_extensions import Self

from .config import Identity, Limits
from .definition import Definition
from .schema import SchemaSource
from .security import Security

__all__ = [
    "Core",
    "Event",
    "Publication",
    "Receipt",
    "Responses",
]

@final
class Event(Mapping[str, Any]):
    """One published event: its envelope as attributes, its data also as a read-only mapping.

    `event["status"]` reads a field of the data without building the rest of it; `event.data`
    builds it whole, once for all resolvers of the event.
    """

    @property
    def id(self) -> str:
        """Unique id."""
    @property
    def offset(self) -> int:
        """Position on the bus, counted from 1."""
    @property
    def channel(self) -> str:
        """The channel it was published to."""
    @property
    def event_type(self) -> str | None:
        """Its type, if it was published with one."""
    @property
    def tenant_id(self) -> str | None:
        """The tenant it belongs to, if it was published with one."""
    @property
    def data(self) -> Any:
        """The published data. Shared by all resolvers of the event: do not change it."""
    def __getitem__(self, key: str, /) -> Any: ...
    @overload
    def get(self, key: str, /) -> Any | None: ...
    @overload
    def get(self, key: str, default: Any = None, /) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

@final
class Receipt:
    """Id of a published event and its position on the bus."""

    @property
    def event_id(self) -> str:
        """The publisher's id, or one that the bus made."""
    @property
    def offset(self) -> int:
        """Position on the bus, counted from 1."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Publication:
    """What `publish` returns: done already in the common case."""

    def __await__(self) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any) -> Any: ...
    def throw(self, exception: BaseException) -> Any: ...
    def close(self) -> None: ...

@final
class Responses:
    """Takes the pre-serialised responses of one in-process subscription."""

    @property
    def id(self) -> str:
        """Id of the subscription."""
    def take(self) -> bytes | asyncio.Future[None] | None:
        """Take the next response, None at the end, or a future to await before asking again."""
    def close(self) -> None:
        """End the subscription."""

@final
class Core:
    """What `SubscriptionManager` is made of."""

    def __new__(
        cls,
        *,
        schema: SchemaSource,
        definitions: Sequence[Definition],
        limits: Limits,
        security: Security,
        trusted_documents: list[tuple[str, str]] | None,
        introspection: bool,
        debug: bool,
    ) -> Self: ...
    @property
    def is_running(self) -> bool:
        """Whether the manager is started."""
    @property
    def sdl(self) -> str:
        """The schema that is served."""
    def start(self) -> None:
        """Start on the running event loop, also after the end."""
    def stop(self) -> None:
        """End everything at once and wait for the threads."""
    def publish(
        self,
        channel: str,
        data: Any,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
    ) -> Awaitable[Receipt]:
        """Publish one event."""
    def publish_many(
        self, events: Iterable[tuple[str, Any] | dict[str, Any]], tenant_id: str | None = None
    ) -> Awaitable[list[Receipt]]:
        """Publish a batch in order; with `tenant_id`, all in the name of that tenant."""
    def subscribe(
        self,
        id: str | None,
        document: str,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        context: Any,
        identity: Identity | Mapping[str, Any] | None,
    ) -> asyncio.Future[Responses]:
        """Start an in-process subscription; the future is done once it is registered."""
    def serve(
        self, host: str, port: int, path: str, workers: int, tls: tuple[bytes, bytes] | None
    ) -> tuple[str, int]:
        """Bind and serve; gives the address and the port."""
    def drain(self, drain: float, whole: bool) -> asyncio.Future[None]:
        """Complete what can be completed within `drain` seconds, close the rest with 1001."""
    def disconnect(
        self,
        user_id: str | None,
        tenant_id: str | None,
        connection_id: str | None,
        code: int,
        reason: str,
    ) -> asyncio.Future[int]:
        """Close the selected connections."""
    def metrics(self) -> dict[str, int]:
        """Counters by name; empty before the first start."""
