"""The compiled half of the package. Private: use what `fraiseql_subs` exports."""

import asyncio
from collections.abc import Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from types import GenericAlias
from typing import Any, TypeVar, final

from typing_extensions import Self

from ._bus import BusOptions
from .adapters._tasks import Peer
from .config import History, Identity, Limits
from .definition import Definition
from .schema import SchemaSource
from .security import Security

__all__ = [
    "CLOSE_TIMEOUT",
    "INTERNAL_ERROR",
    "LONE_SURROGATE",
    "RECORDS_AT_ONCE",
    "RECORDS_PER_SECOND",
    "RECORDS_TOLD_AFTER",
    "Admission",
    "Connection",
    "Core",
    "Event",
    "Publication",
    "Receipt",
    "Response",
    "Responses",
    "check_hosts",
    "check_origins",
    "check_path",
    "check_rate",
    "check_rule",
    "count_unwritten",
    "load",
]

CLOSE_TIMEOUT: float
"""How long a client has to take its close before its socket is cut (seconds)."""

LONE_SURROGATE: str
"""Why a text with a lone surrogate is refused."""

RECORDS_AT_ONCE: int
"""Records of the log of one kind that are written at once (count)."""

RECORDS_PER_SECOND: int
"""Records of the log of one kind that are written in each second after that (count)."""

RECORDS_TOLD_AFTER: float
"""How long counts of records gather before they are written (seconds)."""

_T_co = TypeVar("_T_co", covariant=True)

INTERNAL_ERROR: str
"""What the client is sent of an exception that is not meant for it."""

class _Data(Any):  # type: ignore[misc]
    """Fits any annotation, so that a resolver annotated `-> Order` may return `event.data`."""

@final
class Event(Mapping[str, Any]):
    """One published event: its envelope as attributes, its data also as a read-only mapping.

    It is a `collections.abc.Mapping` of the data: `dict(event)`, `{**event}`, `match`, and equal to
    mappings of equal data, whatever its envelope.

    `event["status"]` reads a field of the data without building the rest of it; `event.data`
    builds it whole, once for all resolvers of the event.

    Resolvers are given events by the bus. `Event({"id": 1})` makes one that was not published, for
    tests of a resolver; its data is JSON as if it had been.
    """

    def __new__(
        cls,
        data: Any,
        *,
        channel: str = "test",
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        offset: int = 1,
    ) -> Self: ...
    @property
    def id(self) -> str:
        """Unique id."""
    @property
    def offset(self) -> int:
        """Position among the events of its channel, under tenant isolation of its tenant there."""
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
    def data(self) -> _Data:
        """The published data. Shared by all resolvers of the event, so it cannot be changed.

        Its objects and lists are dicts and lists whose methods that change them raise `TypeError`.
        A copy, such as `{**event.data}` or `copy.deepcopy(event.data)`, is plain.
        """
    def __getitem__(self, key: str, /) -> Any: ...
    def get(self, key: str, default: Any = None) -> Any: ...
    def __eq__(self, other: object, /) -> bool: ...
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
        """Position among the events of its channel, under tenant isolation of its tenant there."""
    @property
    def position(self) -> str | None:
        """Where the event is in its stream, as in the ids of results: ``<epoch>-<offset>``.

        With an engine it means the same on every node. None: the event is queued
        (``on_unavailable="queue"``), and has no position yet.
        """
    def __eq__(self, other: object, /) -> bool: ...

@final
class Publication(Coroutine[Any, Any, _T_co]):
    """What `publish` returns: done already in the common case, so it need not be awaited."""

    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    def __await__(self) -> Generator[Any, Any, _T_co]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any) -> Any: ...
    def throw(self, exception: Any) -> Any: ...  # type: ignore[override]
    def close(self) -> None: ...

@final
class Admission:
    def refusal(self) -> Response | None:
        """Take the response that refuses the request, before its body is read."""
    def abandoned(self) -> None:
        """Note that the client has left before its body was there."""
    def answer(self, body: bytes) -> asyncio.Future[Response]:
        """Answer a request that was let in."""

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
class Connection:
    """One WebSocket connection that a Python server carries."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol to accept with."""
    @property
    def refusal(self) -> tuple[int, list[tuple[str, str]], bytes] | None:
        """Status, headers and body of the response that refuses the handshake, if so."""
    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the socket has to be closed at once, whatever is being written."""
    def receive_text(self, text: str) -> asyncio.Future[None] | None:
        """Take one text message; returns a future to await before the next one, if any."""
    def receive_binary(self) -> None:
        """Take one binary message."""
    def take(self) -> list[bytes | tuple[int, str]] | asyncio.Future[None] | None:
        """Take all messages that are ready, a future to await before asking again, or None."""
    def closed(self) -> None:
        """Note that the socket is gone."""

@final
class Response:
    """The response to a request that a Python server carries."""

    @property
    def status(self) -> int:
        """Status code."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names, in lower case, and values; the length of a whole body is among them."""
    @property
    def is_whole(self) -> bool:
        """Whether the next part is the whole body."""
    @property
    def is_cut_short(self) -> bool:
        """Whether all was taken of a body that ends for another reason than that it is whole."""
    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the transport has to be ended at once."""
    def take(self) -> bytes | asyncio.Future[None] | None:
        """Take the next part of the body, a future to await before asking again, or None."""
    def closed(self) -> None:
        """Note that the client is gone, or has all of it."""

@final
class Core:
    """What `SubscriptionManager` is made of."""

    def __new__(
        cls,
        *,
        schema: SchemaSource,
        definitions: Sequence[Definition],
        limits: Limits,
        bus: BusOptions,
        history: History | None,
        security: Security,
        trusted_documents: list[tuple[str, str]] | None,
        introspection: bool,
        transports: list[str],
        debug: bool,
        page: tuple[bytes, str] | None,
        workers: int,
    ) -> Self: ...
    @property
    def is_closed(self) -> bool:
        """Whether the manager was closed, and not started again."""
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
    ) -> Publication[Receipt]:
        """Publish one event."""
    def publish_many(
        self, events: Iterable[tuple[str, Any] | dict[str, Any]], tenant_id: str | None = None
    ) -> Publication[list[Receipt]]:
        """Publish a batch in order; with `tenant_id`, all in the name of that tenant."""
    def subscribe(
        self,
        id: str | None,
        document: str,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        context: Any,
        identity: Identity | Mapping[str, Any] | None,
        extensions: Mapping[str, Any] | None,
    ) -> asyncio.Future[Responses]:
        """Start an in-process subscription; the future is done once it is registered."""
    def serve(
        self,
        host: str,
        port: int,
        path: str,
        tls: tuple[bytes, bytes] | None,
        unix: str | None,
        reuse_port: bool,
    ) -> tuple[str, int] | None:
        """Bind and serve; returns the address and the port, unless it listens at a path."""
    def connections(
        self,
    ) -> list[tuple[str, Identity | Mapping[str, Any] | None, str | None, str, int, float]]:
        """List who is connected; see `ConnectionInfo`."""
    def drain(self, drain: float, whole: bool, readmit: bool) -> asyncio.Future[None]:
        """Let clients leave within `drain` seconds, then close the rest with 1001."""
    def hurry(self) -> None:
        """End the drain that is under way."""
    def not_cut(self) -> None:
        """Count a connection that was ended, and whose socket the server keeps."""
    def disconnect(
        self,
        user_id: str | None,
        tenant_id: str | None,
        connection_id: str | None,
        code: int,
        reason: str,
    ) -> asyncio.Future[int]:
        """Close the selected connections."""
    def connect(self, subprotocols: list[str], peer: Peer) -> Connection:
        """Open a WebSocket connection that a Python server carries; refuse it once closed."""
    def admit(self, method: str, peer: Peer) -> Admission:
        """Let in or refuse an HTTP request that a Python server received, by its head."""
    def prometheus(self) -> str:
        """Counters in the text format of Prometheus; empty before the first start."""
    def metrics(self) -> dict[str, int]:
        """Counters by name; empty before the first start."""

def load(arguments: Sequence[str], /) -> int:
    """Run `fraiseql-subs load` with these arguments, without the GIL.

    Prints what it finds, or what is wrong. Ctrl-C stops it.

    Returns:
        The exit status: 0 every delivery came once and in order, 1 it did not, 2 options that
        cannot be, 3 the load could not be run, 130 stopped.
    """

def check_hosts(hosts: Sequence[str], with_any: bool) -> None:
    """Refuse names under which no server can be reached; `with_any`: `*` stands for any."""

def check_origins(origins: Sequence[str]) -> None:
    """Refuse origins that no page can have."""

def check_path(path: str) -> None:
    """Refuse a dotted path that leads nowhere."""

def count_unwritten(count: int) -> None:
    """Count log records that were not written."""

def check_rate(rate: str) -> None:
    """Refuse a rate that cannot be read."""

def check_rule(rule: object, kind: str) -> None:
    """Refuse a rule that could not be used; what needs a schema is checked later."""
