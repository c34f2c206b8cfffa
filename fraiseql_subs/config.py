"""Settings of a manager: its limits, and what authentication receives and returns.

Values are checked when they are created. Not here: enforcing them, which is done by the core.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NoReturn, TypeAlias, get_args

from fraiseql_subs._texts import LONE_SURROGATE, has_utf8
from fraiseql_subs.errors import ConfigurationError

_MAX_EVENTS = 1_000_000
_MAX_SECONDS = 30 * 24 * 3600
_MAX_BYTES = 2**63 - 1
_MAX_TIME = 365 * 24 * 3600

KEEPALIVE_PATIENCE = 30.0
"""Seconds in which clients of the older `graphql-ws` subprotocol expect the next `ka`."""

Transport: TypeAlias = Literal[
    "graphql-transport-ws", "graphql-ws", "get", "post", "sse", "multipart"
]
"""A WebSocket subprotocol, an HTTP method, or a streaming protocol for subscriptions."""

TRANSPORTS: tuple[Transport, ...] = get_args(Transport)

SlowConsumer: TypeAlias = Literal["disconnect", "drop_oldest", "latest"]


_MAX_SHOWN = 100
"""How much of a wrong value an error shows (characters)."""


def refuse(setting: str, value: object, remedy: str) -> NoReturn:
    """Raise an error with the name of a setting, its value, and what to write instead."""
    shown = repr(value)
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[:_MAX_SHOWN]}..."
    raise ConfigurationError(f"{setting} is {shown}: {remedy}")


def is_number(value: object) -> bool:
    """Whether a value is a finite number; a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_text(setting: str, value: object, example: str) -> None:
    """Refuse a value that is not a string, or an empty one."""
    if not (isinstance(value, str) and value):
        refuse(setting, value, f"pass {example}")
    if not has_utf8(value):
        refuse(setting, value, LONE_SURROGATE)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_BYTES


MAX_HEAD_BYTES = 128 * 1024
"""Size of the buffer for a head of HTTP/1.1 (bytes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one manager; each bounds a queue, a size or a time.

    Attributes:
        connection_init_timeout: Time from the handshake of a WebSocket until its client is
            accepted, including `connection_init`, fetching keys and `Security.authenticate`
            (seconds, above 0). Past it the hook is cancelled and the socket closed with 4408.
        max_connections: Open connections, and requests from the head until the response is written
            (count); past it a handshake or request is refused with 503. None: no limit.
        max_subscriptions_per_connection: Subscriptions that one connection may have at once
            (count); past it a further one is answered with an error.
        max_message_bytes: Largest message a client may send (bytes); past it the socket is closed
            with 1009.
        max_head_bytes: Largest head of an HTTP request: its target, and for each field the bytes
            of its name and value and 32 more (bytes, at most 131072); past it the response is 431.
        request_timeout: Time a client has to send a body (seconds, above 0); past it the response
            is 408. The embedded server also closes a connection that has sent no head, or that has
            no request, for so long. It is also the time limit of `Security.authenticate` for a
            request; past it the response is 503.
        send_timeout: Time for which a response of the embedded server waits until its client reads
            more of it (seconds, above 0); past it the response is aborted. This includes HTTP
            streams, also with `keepalive=None`.
        max_depth: Deepest selection of a document (levels); None: no limit.
        max_complexity: Fields that a document may select, with fragments expanded (count); None: no
            limit.
        max_aliases: Aliased fields of one operation, with fragments expanded (count); None: no
            limit.
        max_directives: Directives of one operation, with fragments expanded (count); None: no
            limit.
        max_tokens: Lexical tokens of a document (count); None: no limit.
        max_retained_bytes: Memory that the running operations of one connection may keep for their
            requests: ids, names, documents and arguments (bytes); past it a further one is answered
            with an error.
        max_pending_bytes: Results that may wait for one slow connection (bytes); past it
            `slow_consumer` applies.
        slow_consumer: `"disconnect"` ends the connection with 1013, `"drop_oldest"` drops the
            oldest waiting results, `"latest"` keeps the newest result of each subscription.
        keepalive: Interval of the server's pings, and of the heartbeats of HTTP streams (seconds,
            above 0). Clients of the older `graphql-ws` subprotocol receive `ka` only if it is below
            30 s, after which they would disconnect. A client that answers no ping and reads nothing
            for two intervals is closed with 1013; one that reads nothing of its pending data for
            five intervals is disconnected. HTTP streams of the embedded server also end after
            `send_timeout`. Only time in which the server ran counts. None: no pings, no heartbeats,
            and no client is disconnected for its silence.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    connection_init_timeout: float = 3.0
    max_connections: int | None = None
    max_subscriptions_per_connection: int = 100
    max_message_bytes: int = 1024 * 1024
    max_head_bytes: int = 64 * 1024
    request_timeout: float = 10.0
    send_timeout: float = 30.0
    max_depth: int | None = 15
    max_complexity: int | None = 1000
    max_aliases: int | None = 100
    max_directives: int | None = 50
    max_tokens: int | None = 5000
    max_retained_bytes: int = 8 * 1024 * 1024
    max_pending_bytes: int = 1024 * 1024
    slow_consumer: SlowConsumer = "disconnect"
    keepalive: float | None = 12.0

    def __post_init__(self) -> None:
        for name in ("connection_init_timeout", "request_timeout", "send_timeout"):
            self._check_seconds(name, optional=False)
        self._check_seconds("keepalive", optional=True)
        for name in (
            "max_subscriptions_per_connection",
            "max_message_bytes",
            "max_head_bytes",
            "max_retained_bytes",
            "max_pending_bytes",
        ):
            self._check_count(name, optional=False)
        if self.max_head_bytes > MAX_HEAD_BYTES:
            remedy = f"use at most {MAX_HEAD_BYTES} bytes"
            refuse("Limits.max_head_bytes", self.max_head_bytes, remedy)
        for name in (
            "max_connections",
            "max_depth",
            "max_complexity",
            "max_aliases",
            "max_directives",
            "max_tokens",
        ):
            self._check_count(name, optional=True)
        policies = get_args(SlowConsumer)
        if self.slow_consumer not in policies:
            expected = ", ".join(f'"{policy}"' for policy in policies)
            refuse("Limits.slow_consumer", self.slow_consumer, f"use one of {expected}")

    @property
    def is_keepalive_slow(self) -> bool:
        """Whether it is too long for clients of the older `graphql-ws` subprotocol."""
        return self.keepalive is not None and self.keepalive >= KEEPALIVE_PATIENCE

    def _check_seconds(self, name: str, *, optional: bool) -> None:
        value = getattr(self, name)
        if (optional and value is None) or (is_number(value) and 0 < value <= _MAX_TIME):
            return
        remedy = f"pass a number of seconds above 0, at most {_MAX_TIME}"
        refuse(
            f"Limits.{name}", value, f"{remedy}, or None to switch it off" if optional else remedy
        )

    def _check_count(self, name: str, *, optional: bool) -> None:
        value = getattr(self, name)
        if (optional and value is None) or _is_count(value):
            return
        remedy = "pass a whole number of at least 1"
        refuse(f"Limits.{name}", value, f"{remedy}, or None for no limit" if optional else remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Sets which events are kept for clients that reconnect.

    Attributes:
        events: Newest events that are kept of each channel; under tenant isolation, of each tenant
            on a channel (count, 1 to 1,000,000).
        seconds: How long an event is kept (seconds, above 0).
        max_bytes: Size of the kept events of all channels together (bytes); past it the channels
            with the most bytes drop their oldest events. Counts the events in Rust; the Python
            objects that resolvers read from an event's data are not counted.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    events: int = 1000
    seconds: float = 300.0
    max_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        off = "; history=None keeps nothing"
        if not (_is_count(self.events) and self.events <= _MAX_EVENTS):
            remedy = f"pass a whole number from 1 to {_MAX_EVENTS}{off}"
            refuse("History.events", self.events, remedy)
        if not (is_number(self.seconds) and 0 < self.seconds <= _MAX_SECONDS):
            remedy = f"pass a number of seconds above 0, at most {_MAX_SECONDS}{off}"
            refuse("History.seconds", self.seconds, remedy)
        if not _is_count(self.max_bytes):
            remedy = f"pass a whole number of bytes of at least 1{off}"
            refuse("History.max_bytes", self.max_bytes, remedy)


DRAIN = 10.0
"""Seconds that running operations have to end when a manager or server closes."""

MAX_DRAIN = 24 * 3600
"""Longest drain (seconds)."""

_MAX_CLOSES = 1_000_000
"""The most closes in one second (count)."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Sets how a manager or a server ends: `drain=10.0` is `drain=Drain(10.0)`.

    Attributes:
        seconds: Time that running operations have to end (seconds, 0 to 24 hours).
        ready_delay: How long clients are let in before that, while `/health/ready` and `is_ready()`
            already send them elsewhere (seconds): the time in which a load balancer notices. It is
            not part of `seconds`.
        closes_per_second: The most connections that are closed in one second, so that their clients
            do not all reconnect at once (above 0). If `seconds` is too short for that, they are
            closed faster, and a warning is logged. None: 20, or more without a warning.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    seconds: float = DRAIN
    ready_delay: float = field(default=0.0, kw_only=True)
    closes_per_second: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("seconds", "ready_delay"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value <= MAX_DRAIN):
                remedy = f"pass a number of seconds from 0 to {MAX_DRAIN}"
                refuse(f"Drain.{name}", value, remedy)
        closes = self.closes_per_second
        if not (closes is None or (is_number(closes) and 0 < closes <= _MAX_CLOSES)):
            remedy = f"pass a number above 0, at most {_MAX_CLOSES}, or None for the default"
            refuse("Drain.closes_per_second", closes, remedy)

    @property
    def longest(self) -> float:
        """How long it takes at most (seconds)."""
        return self.ready_delay + self.seconds

    def announced(self) -> Drain:
        """Return the same once clients go elsewhere, or cannot come any more."""
        return replace(self, ready_delay=0.0)


AT_ONCE = Drain(0.0)
"""Waits for nothing."""

DEFAULT_DRAIN = Drain()

DEFAULT_HISTORY = History()


@dataclass(frozen=True, slots=True)
class ConnectionParams:
    """How a client connected: the input of `Security.authenticate`.

    Attributes:
        payload: The payload of `connection_init`; None if the client sent none.
        headers: HTTP headers of the handshake; names in lower case.
        remote_address: Address of the peer as `host:port`; None when the server does not know it.
        connection_id: Id of the connection, as in `Context` and in the logs.
        identity: The identity of a verified token, with `Security.jwt`; otherwise None.
        context: The value that an adapter of another server was passed for this client, such as the
            user that the application knows; otherwise None.
        query: Parameters of the URL of the handshake or request, decoded; the first of several with
            the same name. Clients that cannot set headers, such as `EventSource`, send credentials
            here; proxies write URLs to their logs, so use short-lived ones.
        query_string: The same, undecoded: the part after the `?`; "" if there is none.
        in_process: Whether this is an in-process subscription, without a connection. Then there is
            no payload, header, query or address, `connection_id` is "", and `context` and
            `identity` are the arguments of `subscribe`.
    """

    payload: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    remote_address: str | None = None
    connection_id: str = ""
    identity: Identity | None = None
    context: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    query_string: str = ""
    in_process: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """The user behind a client.

    Attributes:
        user_id: The user, as the application knows it.
        tenant_id: The tenant the user belongs to; None: none.
        roles: Roles such as `"admin"`; any sequence of strings, kept as a tuple.
        permissions: Permissions such as `"orders:read"`; any sequence of strings, kept as a tuple.
        claims: Any other data about the user, as a JSON object.
        expires_at: Seconds since the epoch; the connection is closed then with 4403. None: never.

    Raises:
        ConfigurationError: There is no user, `roles` or `permissions` contain something other than
            strings, `claims` is not a mapping, or `expires_at` is not a number.
    """

    user_id: str
    tenant_id: str | None = None
    roles: Sequence[str] = ()
    permissions: Sequence[str] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires_at: float | None = None

    def __post_init__(self) -> None:
        if not _is_id(self.user_id) or self.user_id == "":
            refuse("Identity.user_id", self.user_id, _remedy(self.user_id, "user"))
        if not (self.tenant_id is None or _is_id(self.tenant_id)):
            remedy = f"{_remedy(self.tenant_id, 'tenant')}, or None"
            refuse("Identity.tenant_id", self.tenant_id, remedy)
        if not isinstance(self.claims, Mapping):
            refuse("Identity.claims", self.claims, 'pass a mapping, such as {"plan": "pro"}')
        for name in ("roles", "permissions"):
            value = getattr(self, name)
            object.__setattr__(self, name, strings(f"Identity.{name}", value, '["admin"]'))
        if self.expires_at is not None and not is_number(self.expires_at):
            remedy = "pass seconds since the epoch, such as `moment.timestamp()`, or None"
            refuse("Identity.expires_at", self.expires_at, remedy)


def as_identity(value: object) -> Identity:
    """Return the identity in a mapping, or in an object with the same members.

    Raises:
        ConfigurationError: It has no user, a member that no identity has, or one that `Identity`
            refuses.
    """
    if isinstance(value, Identity):
        return value
    names = [member.name for member in fields(Identity)]
    if isinstance(value, Mapping):
        for name in value:
            if name not in names:
                remedy = "what else is known of a client belongs into `claims`"
                refuse("a member of an identity", name, f"use some of {', '.join(names)}; {remedy}")
        members = dict(value)
    elif hasattr(value, "user_id"):
        members = {name: getattr(value, name) for name in names if hasattr(value, name)}
    else:
        remedy = 'return Identity(user_id=...), a dict with "user_id", or None to refuse'
        raise ConfigurationError(f"{value!r} is not an identity: {remedy}")
    if members.get("user_id") in (None, ""):
        raise ConfigurationError('an identity needs a "user_id": there is none')
    # None counts as absent.
    return Identity(**{name: member for name, member in members.items() if member is not None})


def _remedy(value: object, owner: str) -> str:
    if isinstance(value, str) and not has_utf8(value):
        return LONE_SURROGATE
    return f"pass the id of the {owner}, as text"


def _is_id(value: object) -> bool:
    """Whether a value may be an id: a text, or a database id such as an `int` or a `UUID`."""
    if isinstance(value, str):
        return has_utf8(value)
    return value is not None and not isinstance(value, bool | bytes | list | tuple | set | Mapping)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Accepts a client with a payload for its acknowledgement; returned by `Security.authenticate`.

    Attributes:
        identity: The client's identity, an `Identity` or a mapping with its members. None: the
            identity of its token, if it has one; otherwise rules that need an identity deny.
        ack_payload: Payload of `connection_ack`, a JSON object; None: no payload. Clients over HTTP
            receive no acknowledgement.

    Raises:
        ConfigurationError: An argument has the wrong type.
    """

    identity: Identity | Mapping[str, Any] | None = None
    ack_payload: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not (self.identity is None or isinstance(self.identity, Identity | Mapping)):
            remedy = 'pass Identity("ada"), a mapping with its members, or None'
            refuse("Accepted.identity", self.identity, remedy)
        if not (self.ack_payload is None or isinstance(self.ack_payload, Mapping)):
            remedy = 'pass a mapping, such as {"version": 2}, or None'
            refuse("Accepted.ack_payload", self.ack_payload, remedy)


def check_transports(transports: object) -> list[str]:
    """Check the enabled transports.

    Raises:
        ConfigurationError: One is unknown, or no operation could be requested.
    """
    names = strings("transports", transports, '["graphql-transport-ws", "post"]')
    known = ", ".join(f'"{name}"' for name in TRANSPORTS)
    for name in names:
        if name not in TRANSPORTS:
            refuse("one of transports", name, f"use some of {known}")
    if not names:
        refuse("transports", transports, f"nothing could be asked: use some of {known}")
    streams = [name for name in names if name in ("sse", "multipart")]
    if streams and "post" not in names and ("get" not in names):
        refuse("transports", transports, f'"{streams[0]}" needs "get" or "post" beside it')
    return list(names)


def strings(setting: str, value: object, example: str) -> tuple[str, ...]:
    """Return a collection of strings; refuse a single string, which usually lacks its brackets."""
    if isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(item, str) for item in value
    ):
        for item in value:
            if not has_utf8(item):
                refuse(f"an entry of {setting}", item, LONE_SURROGATE)
        return tuple(value)
    refuse(setting, value, f"pass a list of strings, such as {example}")
