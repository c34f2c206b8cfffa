"""Engines, configured with what a URL cannot say.

Not here: URLs alone, which need none of this.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ._core import check_bus
from ._texts import LONE_SURROGATE, has_utf8
from .config import refuse

MIN_EVENT_BYTES = 1024
MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Bounds of `max_event_bytes` (bytes)."""


@dataclass(frozen=True, slots=True, repr=False)
class Redis:
    """Redis as the engine: `SubscriptionManager(bus=Redis("rediss://host", password=ask))`.

    What is None is as the URL says, or as its default. `repr` shows no password.

    Attributes:
        url: URL as for `bus=`, such as `"redis://127.0.0.1:6379"`.
        username: User of Redis, in place of that in the URL; None: that of the URL, or `default`.
        password: Its password, in place of that in the URL; or a function without parameters that
            returns it, so `Redis("rediss://bus@host", password=ask)` works. The function is
            called before each connection, so a password may change while the program runs. It is
            called on a thread of its own, not on the event loop; it may block, for 10 s at most. If
            it raises, the reason is logged and it is called again later.
        sentinel_password: Password of the sentinels.
        ca: File with the authorities that the server's certificate may come from, as PEM; needs
            `rediss://`.
        client_cert: File with the certificate of this client, as PEM; needs `client_key`.
        client_key: File with its key, as PEM.
        partitions: Parts of the bus: a power of two up to 1,024, the same in all programs.
        prefix: What all keys and channels begin with: 1 to 32 letters, digits, `-`, `_`, `.`.
        max_event_bytes: Size of the largest event (bytes, 1 KiB to 16 MiB; default 1 MiB).
        accept_raw: Whether bare JSON objects that other programs have written are events. False:
            they are counted as `bus_unreadable`, and skipped.

    Raises:
        ConfigurationError: The URL or a setting is wrong; passwords are not shown.
    """

    url: str
    _: KW_ONLY
    username: str | None = None
    password: str | Callable[[], str] | None = field(default=None)
    sentinel_password: str | None = None
    ca: str | Path | None = None
    client_cert: str | Path | None = None
    client_key: str | Path | None = None
    partitions: int | None = None
    prefix: str | None = None
    max_event_bytes: int | None = None
    accept_raw: bool = False

    def __post_init__(self) -> None:
        _check_text(self, "url", 'a URL, such as "redis://127.0.0.1:6379"')
        for name in ("username", "sentinel_password"):
            _check_text(self, name, "a string that is not empty, or None", optional=True)
        remedy = "1 to 32 letters, digits, '-', '_' or '.', such as \"shop\", or None for \"fs1\""
        _check_text(self, "prefix", remedy, optional=True)
        _check_paths(self)
        _check_password(self)
        _check_count(self, "partitions", 1, 1024)
        _check_count(self, "max_event_bytes", MIN_EVENT_BYTES, MAX_EVENT_BYTES)
        if not isinstance(self.accept_raw, bool):
            refuse("Redis.accept_raw", self.accept_raw, "pass True or False")
        check_bus(self)

    def __repr__(self) -> str:
        return _shown(self)


RowEvent: TypeAlias = Literal["insert", "update", "delete"]
"""A change of a row."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose changes are events: `Table("public.orders", channel="orders.{customer_id}")`.

    The data of an event is the row: a member for each column. Its type is INSERT, UPDATE or DELETE.

    Attributes:
        name: The table, `schema.table`, or `table` in the schema `public`.
        channel: Channel of the events; columns of the row stand in braces. A row that moves to
            another channel is told to both, where its replica identity has the column.
        events: Which changes are events.
        tenant: Column with the tenant of a row, for `TenantIsolation`; None: rows have no tenant.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    name: str
    _: KW_ONLY
    channel: str
    events: Sequence[RowEvent] = ("insert", "update", "delete")
    tenant: str | None = None

    def __post_init__(self) -> None:
        _check_text(self, "name", 'the name of a table, such as "public.orders"')
        _check_text(self, "channel", 'a channel, such as "orders" or "orders.{customer_id}"')
        _check_text(self, "tenant", "the name of a column, or None", optional=True)
        allowed = get_args(RowEvent)
        events = self.events
        is_sequence = isinstance(events, Sequence) and not isinstance(events, str)
        if not (is_sequence and events and all(event in allowed for event in events)):
            refuse("Table.events", events, f"pass some of {', '.join(allowed)}, as a tuple")


@dataclass(frozen=True, slots=True, repr=False)
class Postgres:
    """PostgreSQL as the engine: `SubscriptionManager(bus=Postgres("postgresql://me@host/shop"))`.

    The database is prepared by `fraiseql-subs postgres install`. What is None is as the URL says,
    or as its default. `repr` shows no password.

    Attributes:
        url: URL as for `bus=`, such as `"postgresql://me@host/shop?sslmode=verify-full"`.
        username: User of PostgreSQL, in place of that in the URL.
        password: Its password, in place of that in the URL; or a function without parameters that
            returns it, which is called before each connection, on a thread of its own; it may
            block, for 10 s at most.
        ca: File with the authorities that the server's certificate may come from, as PEM; needs
            `sslmode=verify-full`.
        client_cert: File with the certificate of this client, as PEM; needs `client_key`.
        client_key: File with its key, as PEM.
        max_event_bytes: Size of the largest event (bytes, 1 KiB to 16 MiB; default 1 MiB).
        tables: Tables whose changes are events; the same in all programs with subscribers.

    Raises:
        ConfigurationError: The URL or a setting is wrong; passwords are not shown.
    """

    url: str
    _: KW_ONLY
    username: str | None = None
    password: str | Callable[[], str] | None = field(default=None)
    ca: str | Path | None = None
    client_cert: str | Path | None = None
    client_key: str | Path | None = None
    max_event_bytes: int | None = None
    tables: Sequence[Table] = ()

    def __post_init__(self) -> None:
        _check_text(self, "url", 'a URL, such as "postgresql://me@127.0.0.1/shop"')
        _check_text(self, "username", "a string that is not empty, or None", optional=True)
        _check_paths(self)
        _check_password(self)
        _check_count(self, "max_event_bytes", MIN_EVENT_BYTES, MAX_EVENT_BYTES)
        tables = self.tables
        is_sequence = isinstance(tables, Sequence) and not isinstance(tables, str)
        if not (is_sequence and all(isinstance(table, Table) for table in tables)):
            refuse("Postgres.tables", tables, "pass a list of Table(...)")
        check_bus(self)

    def __repr__(self) -> str:
        return _shown(self)


def _check_text(engine: object, name: str, remedy: str, *, optional: bool = False) -> None:
    value = getattr(engine, name)
    # The error does not contain the value: it may be a secret.
    if value is None and optional:
        return
    field_name = f"{type(engine).__name__}.{name}"
    if not isinstance(value, str):
        refuse(field_name, type(value).__name__, f"pass {remedy}")
    if not value:
        refuse(field_name, value, f"pass {remedy}")
    if not has_utf8(value):
        refuse(field_name, "a text", LONE_SURROGATE)


def _check_paths(engine: Redis | Postgres) -> None:
    for name in ("ca", "client_cert", "client_key"):
        path = getattr(engine, name)
        if path is not None and not isinstance(path, Path):
            _check_text(engine, name, "the path of a file")


def _check_password(engine: Redis | Postgres) -> None:
    remedy = "a string that is not empty, or a function without parameters that returns one"
    if inspect.iscoroutinefunction(engine.password):
        refuse(
            f"{type(engine).__name__}.password",
            "an async function",
            "pass a plain one: it is called on a thread of its own, where it may block",
        )
    if not callable(engine.password):
        _check_text(engine, "password", remedy, optional=True)


def _check_count(engine: Redis | Postgres, name: str, least: int, most: int) -> None:
    value = getattr(engine, name)
    if value is None:
        return
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not (is_count and least <= value <= most):
        refuse(f"{type(engine).__name__}.{name}", value, f"pass a count from {least} to {most}")


def _shown(engine: Redis | Postgres) -> str:
    # A URL may have a password before its hosts, and others among its options.
    scheme, _, rest = engine.url.partition("://")
    hosts = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
    return f"{type(engine).__name__}('{scheme}://{hosts}')"
