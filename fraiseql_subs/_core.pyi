"""The compiled module of the package. Private: use the names that `fraiseql_subs` exports."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from types import GenericAlias
from typing import Any, Generic, TypeAlias, TypeVar, final

import typing_extensions
from typing_extensions import Self

from ._bus import BusOptions
from ._membership import Disconnecting
from ._site import Site
from ._summary import DocumentSummary
from .adapters._tasks import Peer
from .config import Drain, History, Identity, Limits
from .definition import Definition
from .engines import Nats, Postgres, Redis
from .schema import SchemaSource
from .security import Security, TenantIsolation
from .types import Context

__all__ = [
    "CLOSE_TIMEOUT",
    "INTERNAL_ERROR",
    "LONE_SURROGATE",
    "RECORDS_AT_ONCE",
    "RECORDS_PER_SECOND",
    "RECORDS_TOLD_AFTER",
    "Admission",
    "Call",
    "Connection",
    "ConnectionPages",
    "Core",
    "Event",
    "Handover",
    "Publication",
    "PublishKeys",
    "PublisherCore",
    "Receipt",
    "Response",
    "Responses",
    "__version__",
    "advance_clock",
    "check_bus",
    "check_hosts",
    "check_origins",
    "check_path",
    "check_rate",
    "check_rule",
    "check_snapshot",
    "count_unwritten",
    "flush_log",
    "load",
    "postgres_execute",
    "postgres_install_sql",
    "postgres_uninstall_sql",
    "read_event",
    "reset_clock",
    "settle",
]

__version__: str
"""The version of the package, such as `1.2.3`."""

CLOSE_TIMEOUT: float
"""Time in which a client has to read its close frame before its socket is closed (seconds)."""

LONE_SURROGATE: str
"""Why a text with a lone surrogate is refused."""

RECORDS_AT_ONCE: int
"""Records of the log of one kind that are written at once (count)."""

RECORDS_PER_SECOND: int
"""Records of the log of one kind that are written in each second after that (count)."""

RECORDS_TOLD_AFTER: float
"""Time for which counts of records are collected before they are written (seconds)."""

_T_co = TypeVar("_T_co", covariant=True)
_Variables_co = typing_extensions.TypeVar("_Variables_co", covariant=True, default=dict[str, Any])

_Node: TypeAlias = tuple[str, str, str, float, int, int, int, bool]
"""The members of `Node`."""

_Reached: TypeAlias = tuple[list[_Node], list[_Node], bool]
"""The nodes that have answered, those that have not, and whether all have."""

_Listed: TypeAlias = tuple[str, str, str | None, str | None, str | None, str, int, float]
"""A connection: ids of its node and its own, user, tenant, peer, protocol, operations, start."""

_Trace: TypeAlias = tuple[bytes, bytes, int, str | None]
"""A trace context: ids of the trace and of the span, flags, `tracestate`."""

INTERNAL_ERROR: str
"""Message that the client receives for a masked exception."""

class _Data(Any):  # type: ignore[misc]
    """Has any type, so that a resolver may return `event.data` or `event["id"]`, as it declares.

    What is read of it has any type, too: type checkers that are strict refuse what is unknown.
    """

    def __getitem__(self, key: Any, /) -> _Data: ...
    def __getattr__(self, name: str, /) -> _Data: ...
    def __call__(self, *arguments: Any, **options: Any) -> _Data: ...
    def __iter__(self) -> Iterator[_Data]: ...
    def __len__(self) -> int: ...
    def __contains__(self, item: object, /) -> bool: ...
    def __add__(self, other: Any, /) -> _Data: ...
    def __sub__(self, other: Any, /) -> _Data: ...
    def __mul__(self, other: Any, /) -> _Data: ...
    def __truediv__(self, other: Any, /) -> _Data: ...
    def __floordiv__(self, other: Any, /) -> _Data: ...
    def __mod__(self, other: Any, /) -> _Data: ...
    def __neg__(self) -> _Data: ...
    def __lt__(self, other: Any, /) -> bool: ...
    def __le__(self, other: Any, /) -> bool: ...
    def __gt__(self, other: Any, /) -> bool: ...
    def __ge__(self, other: Any, /) -> bool: ...

_Of_co = typing_extensions.TypeVar("_Of_co", covariant=True, default=_Data)

@final
class Event(Mapping[str, Any], Generic[_Of_co]):
    """One published event: its envelope as attributes, its data also as a read-only mapping.

    It is a `collections.abc.Mapping` of the data, for `dict(event)`, `{**event}` and `match`. It
    equals every mapping with equal data; the envelope is not compared.

    `event["status"]` reads a field of the data without building the other fields; `event.data`
    builds all of it, once for all resolvers of the event.

    A resolver that is annotated `event: Event[Order]` finds an instance of that class as
    `event.data`: a dataclass, a model, a TypedDict, an enum or another type that an argument may
    have. It is made when it is first read, for this call alone. Data that the class refuses, or
    that lack one of its fields, raise `ValueError`.

    Resolvers receive events from the bus. `Event({"id": 1})` creates an unpublished event for tests
    of a resolver; its data is converted to JSON as in `publish`. `Event[Order]({"id": 1})` creates
    one for a resolver that is annotated so.
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
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    # Set by `Event[Order](...)`.
    @property
    def __orig_class__(self) -> Any: ...
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
    def traceparent(self) -> str | None:
        """The span that published it, as the header of W3C Trace Context; None: it has none."""
    @property
    def tracestate(self) -> str | None:
        """The `tracestate` of that span, if it has one."""
    @property
    def data(self) -> _Of_co:
        """The published data, or with `Event[Order]` an instance of that class.

        Without a class they are shared by all resolvers of the event, so they are read-only.
        Their objects and lists are dicts and lists whose mutating methods raise `TypeError`. A
        copy, such as `{**event.data}` or `copy.deepcopy(event.data)`, is plain.
        """
    def __getitem__(self, key: str, /) -> _Data: ...
    def get(self, key: str, default: Any = None) -> Any: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

@final
class Call(Generic[_Variables_co]):
    """One call of a subscription with `batch=True`: what one subscriber asks of the resolver.

    It has the attributes `event`, `variables` and `context`, which are read-only.

    `Call(Event({"id": 1}), {"userId": 5}, Context(identity=Identity("ann")))` creates one for tests
    of a resolver. Without variables they are an empty dict; without a context it has none. With a
    class as `arguments=`, `list[Call[Arguments]]` says to a type checker what the variables are.
    """

    def __new__(
        cls,
        event: Event[Any],
        variables: _Variables_co | None = None,
        context: Context | None = None,
    ) -> Self: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    @property
    def event(self) -> Event:
        """The event. Calls for one event mostly have the same object; `event.id` identifies it."""
    @property
    def variables(self) -> _Variables_co:
        """The subscriber's arguments, converted to the types in `arguments=`.

        A dict by the names in `arguments=`, with every argument of the field: one that the client
        left out is None. Arguments that only a schema in SDL declares are JSON values under their
        GraphQL names. With a class as `arguments=` it is an instance of it, where an argument that
        was left out has its default, and is absent if it is `NotRequired` in a TypedDict.

        The same object for each event: do not change it.
        """
    @property
    def context(self) -> Context:
        """Who asks, and the operation: `call.context.identity`.

        `AttributeError` if there is none: with `shared=True` the call answers several clients.
        """

@final
class Receipt:
    """Id of a published event and its position on the bus."""

    @property
    def event_id(self) -> str:
        """The publisher's id, or one that the bus created."""
    @property
    def offset(self) -> int:
        """Position among the events of its channel, under tenant isolation of its tenant there."""
    @property
    def position(self) -> str | None:
        """Where the event is in its stream, as in the ids of results: ``<epoch>-<offset>``.

        With an engine it means the same on every node. None: the event is queued
        (``on_unavailable="queue"``), and has no position yet; or the engine does not say it.
        """
    def __eq__(self, other: object, /) -> bool: ...

@final
class PublisherCore:
    """A link to an engine, which publishes."""

    def __new__(
        cls, bus: BusOptions, history: History | None, tenant: TenantIsolation | None
    ) -> Self: ...
    def publish(
        self,
        events: Iterable[tuple[str, Any] | dict[str, Any]],
        is_batch: bool,
        trace: _Trace | None,
    ) -> list[Receipt]:
        """Publish a batch and block until it is answered.

        Args:
            events: The events.
            is_batch: Whether errors name the event.
            trace: The span in which they are published.
        """
    def publish_then(
        self,
        events: Iterable[tuple[str, Any] | dict[str, Any]],
        is_batch: bool,
        trace: _Trace | None,
        done: Callable[[list[Receipt] | None, BaseException | None], None],
    ) -> None:
        """Publish a batch; call `done(receipts, error)` on another thread once it is answered."""
    def prepare(
        self,
        channel: str,
        data: Any,
        event_type: str | None,
        tenant_id: str | None,
        event_id: str | None,
        is_json: bool,
        trace: _Trace | None,
    ) -> tuple[Receipt, tuple[str, str, str | None, str | None, str, str | None]]:
        """Check one event that something else publishes; `is_json`: the data are JSON text.

        Returns:
            Its receipt, without a position; channel, data as JSON, tenant, type, id, `traceparent`.
        """
    def close(self, drain: float) -> None:
        """Wait until what was published is answered, at most `drain` seconds, and end the link."""

@final
class ConnectionPages:
    """The connections of nodes, in parts."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> list[_Listed]: ...

@final
class Handover:
    """The way of one listening socket from Python to the server."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """Return the descriptor to send the socket to, by `socket.send_fds`, with one byte."""

@final
class PublishKeys:
    """Digests of the keys of programs that publish over HTTP."""

    def __new__(cls, keys: Sequence[str]) -> Self: ...

@final
class Publication(Coroutine[Any, Any, _T_co]):
    """The awaitable that `publish` returns; usually already complete, so it need not be awaited."""

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
        """Return the response that refuses the request by its head; None: it is accepted."""
    def abandoned(self) -> None:
        """Record that the client has disconnected before its body was complete."""
    def late(self) -> Response:
        """Return the response to an accepted request whose body has not come in time."""
    def answer(self, body: bytes) -> asyncio.Future[Response]:
        """Answer an accepted request."""

@final
class Responses:
    """Returns the serialised responses of one in-process subscription."""

    @property
    def id(self) -> str:
        """Id of the subscription."""
    def take(self) -> bytes | asyncio.Future[None] | None:
        """Return the next response, None at the end, or a future to await before the next call."""
    def close(self) -> None:
        """End the subscription."""

@final
class Connection:
    """One WebSocket connection of a Python server."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol to accept with."""
    @property
    def refusal(self) -> tuple[int, list[tuple[str, str]], bytes] | None:
        """Status, headers and body of the response that refuses the handshake; None: accept it."""
    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the socket has to be closed at once, even during a write."""
    def receive_text(self, text: str) -> asyncio.Future[None] | None:
        """Receive one text message; return a future to await before the next one, if any."""
    def receive_binary(self) -> None:
        """Receive one binary message."""
    def take(self) -> list[bytes | tuple[int, str]] | asyncio.Future[None] | None:
        """Return all ready messages, a future to await before the next call, or None at the end."""
    def closed(self) -> None:
        """Record that the socket is closed."""

@final
class Response:
    """The response to a request that a Python server received."""

    @property
    def status(self) -> int:
        """Status code."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names, in lower case, and values; with the length of the body if it is not a stream."""
    @property
    def is_whole(self) -> bool:
        """Whether the next part is the whole body."""
    @property
    def is_cut_short(self) -> bool:
        """Whether the body has ended although it is incomplete."""
    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the connection has to be aborted at once."""
    def take(self) -> bytes | asyncio.Future[None] | None:
        """Return the next part of the body, a future to await before the next call, or None."""
    def closed(self) -> None:
        """Record that the client is gone, or has received all of it."""

@final
class Core:
    """The compiled part of `SubscriptionManager`."""

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
        node_name: str | None,
        unready_after: float | None,
        report: Callable[[Callable[[], list[Any]]], Callable[[], None]] | None = None,
        tracing: Callable[[], Any] | None = None,
    ) -> Self: ...
    @property
    def is_closed(self) -> bool:
        """Whether the manager was closed, and not started again."""
    @property
    def is_running(self) -> bool:
        """Whether the manager is started."""
    @property
    def sdl(self) -> str:
        """The served schema, as SDL."""
    def validate(self, document: str, /) -> DocumentSummary:
        """Check a document as that of a client, and return what it asks for.

        Raises:
            ValidationError: A client would be refused.
        """
    def start(self) -> None:
        """Start on the running event loop, also after an earlier stop."""
    def stop(self) -> None:
        """End everything at once and wait for the threads."""
    def publish(
        self,
        channel: str,
        data: Any,
        event_type: str | None = None,
        tenant_id: str | None = None,
        event_id: str | None = None,
        is_json: bool = False,
    ) -> Publication[Receipt]:
        """Publish one event; `is_json`: the data are the text of a JSON value."""
    def publish_many(
        self, events: Iterable[tuple[str, Any] | dict[str, Any]], tenant_id: str | None = None
    ) -> Publication[list[Receipt]]:
        """Publish a batch in order; with `tenant_id`, all events for that tenant."""
    def prepare(
        self,
        channel: str,
        data: Any,
        event_type: str | None,
        tenant_id: str | None,
        event_id: str | None,
        is_json: bool,
        _trace: _Trace | None,
    ) -> tuple[Receipt, tuple[str, str, str | None, str | None, str, str | None]]:
        """Check one event that something else publishes; `is_json`: the data are JSON text.

        Returns:
            Its receipt, without a position; channel, data as JSON, tenant, type, id, `traceparent`.
        """
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
        site: Site,
        tls: tuple[bytes, bytes] | None,
        unix: str | None,
        reuse_port: bool,
        listener: Handover | None,
    ) -> tuple[str, int] | None:
        """Bind and serve; return the address and the port, or None for a unix socket."""
    def stop_accepting(self) -> asyncio.Future[None]:
        """Leave new connections in the queue of the socket, for other processes that have it."""
    def connections(
        self,
    ) -> list[tuple[str, Identity | Mapping[str, Any] | None, str | None, str, int, float]]:
        """List the open connections; see `ConnectionInfo`."""
    def announce(self, delay: float) -> asyncio.Future[None]:
        """Say that further clients should go elsewhere; done after `delay` seconds, or earlier."""
    def drain(self, drain: Drain, whole: bool, readmit: bool) -> asyncio.Future[None]:
        """Drain, then close the remaining connections with 1001; the last drain, or `readmit`."""
    def readmit(self) -> None:
        """Accept clients again after such a drain."""
    def hurry(self, limit: float | None = None) -> None:
        """End the running drain at once.

        Args:
            limit: How long the caller's own drain was (seconds), which bounds how long queued
                events may still wait for the engine; None: as long as the running one allows.
        """
    def not_cut(self) -> None:
        """Count a closed connection whose socket the server still keeps."""
    def disconnect(self, asked: Disconnecting) -> asyncio.Future[tuple[int, _Reached]]:
        """Close the selected connections of all nodes; return their number."""
    def connections_everywhere(
        self, timeout: float
    ) -> asyncio.Future[tuple[ConnectionPages, _Reached]]:
        """List the connections of all nodes."""
    def nodes(self) -> asyncio.Future[list[_Node]]:
        """List the nodes, this one first."""
    def is_ready(self, with_bus: bool) -> bool:
        """Whether clients should be sent to this process."""
    def connect(self, subprotocols: list[str], peer: Peer) -> Connection:
        """Open a WebSocket connection of a Python server; refuse it after `stop`."""
    def admit(self, method: str, peer: Peer) -> Admission:
        """Accept or refuse an HTTP request that a Python server received, by its head."""
    def metrics_text(self, accept: str | None, /) -> tuple[str, str]:
        """Metrics in the format that an `Accept` header asks for: the type of content, the text."""
    def samples(self) -> list[Any]:
        """Metrics with their labels, as `read_samples` reads them; empty before the first start."""
    def metrics(self) -> dict[str, int]:
        """Counters by name; empty before the first start."""

def load(arguments: Sequence[str], /) -> int:
    """Run `fraiseql-subs load` with these arguments, without the GIL.

    Prints the result, or the errors. Ctrl-C stops it.

    Returns:
        The exit status: 0 every delivery arrived once and in order, 1 not so, 2 invalid options, 3
        the load could not be run, 130 stopped.
    """

def read_event(event: Event, reader: Callable[[Any], Any]) -> Event:
    """Return an event whose `data` is what `reader` makes of the published data."""

def advance_clock(seconds: float) -> None:
    """Advance the clocks of this process by which events, identities and rates age; for tests."""

def settle() -> list[asyncio.Future[int]]:
    """Wait until the managers of the running event loop have passed on what was begun; for tests.

    Returns:
        A future for each of them; its result changes with each event, call and result.
    """

def reset_clock() -> None:
    """Set the clock by which tokens and identities end back to that of the system."""

def check_hosts(hosts: Sequence[str], with_any: bool) -> None:
    """Refuse names that are not host names; `with_any`: `*` is allowed and matches any."""

def check_bus(bus: str | Redis | Nats | Postgres) -> None:
    """Refuse a URL that names no engine, or settings of an engine that cannot be used."""

def check_snapshot(at: str) -> None:
    """Refuse a text that is not one of `pg_current_snapshot()`."""

def postgres_install_sql(
    tables: Sequence[str],
    publishers: Sequence[str],
    nodes: Sequence[str],
    outbox: bool,
    switch: bool,
) -> str:
    """Return the SQL that prepares a database: for tables, for roles that publish, for nodes.

    `switch`: whether a database that is prepared in the other form is changed.
    """

def postgres_uninstall_sql(slots: list[str]) -> str:
    """Return the SQL that removes what was installed, and the slots of sources."""

def postgres_execute(url: str, sql: str) -> tuple[str | None, list[str]]:
    """Run SQL in one transaction; return why it has failed, or None, and PostgreSQL's warnings."""

def check_origins(origins: Sequence[str]) -> None:
    """Refuse values that are not origins of pages."""

def check_path(path: str) -> None:
    """Refuse an invalid dotted path."""

def count_unwritten(count: int) -> None:
    """Count log records that were not written."""

def flush_log() -> None:
    """Write all log records that wait for an event loop."""

def check_rate(rate: str) -> None:
    """Refuse a rate that cannot be parsed."""

def check_rule(rule: object, kind: str) -> None:
    """Refuse an invalid rule; checks that need a schema run later."""
