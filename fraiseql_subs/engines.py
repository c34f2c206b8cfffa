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
        checks = _Checks(self)
        checks.text("url", 'a URL, such as "redis://127.0.0.1:6379"', optional=False)
        for name in ("username", "sentinel_password"):
            checks.text(name, "a string that is not empty, or None")
        checks.text(
            "prefix",
            "1 to 32 letters, digits, '-', '_' or '.', such as \"shop\", or None for \"fs1\"",
        )
        checks.paths("ca", "client_cert", "client_key")
        checks.secret("password")
        checks.count("partitions", 1, 1024)
        checks.count("max_event_bytes", MIN_EVENT_BYTES, MAX_EVENT_BYTES)
        checks.flag("accept_raw")
        check_bus(self)

    def __repr__(self) -> str:
        return f"Redis('{_hosts(self.url)}')"


@dataclass(frozen=True, slots=True, repr=False)
class Nats:
    """NATS as the engine: `SubscriptionManager(bus=Nats("tls://host", credentials="bus.creds"))`.

    What is None is as the URL says, or as its default. `repr` shows no password. One login at most
    is set: a user and a password, a token, `credentials` or `nkey`.

    Attributes:
        url: URL as for `bus=`, such as `"nats://127.0.0.1:4222"`; several hosts with commas.
        username: User of NATS, in place of that in the URL.
        password: Its password; or a function without parameters that returns it. The function is
            called before each connection, on a thread of its own, and may block for 10 s at most.
        token: A token in place of a user; or a function as for `password`.
        credentials: File with a user's JWT and seed, as `nsc` writes it. Files are read again
            before each connection.
        nkey: File with the seed of an nkey.
        ca: File with the authorities that the server's certificate may come from, as PEM; needs
            `tls://`.
        client_cert: File with the certificate of this client, as PEM; needs `client_key`.
        client_key: File with its key, as PEM.
        partitions: JetStream streams that keep the events: 1 to 64, the same in all programs;
            default 1.
        replicas: On how many servers JetStream keeps each event: 1, 3 or 5; None: as the stream
            is, or 1.
        max_bytes: How much each JetStream stream keeps (bytes, from 1 MiB); None: as the stream
            is, or no limit.
        prefix: What all subjects begin with: 1 to 32 letters, digits, `-`, `_`.
        max_event_bytes: Size of the largest event (bytes, 1 KiB to 16 MiB; default 1,000,000). It
            must be less than `max_payload` of the server.
        accept_raw: Whether bare JSON objects that other programs have written are events. False:
            they are counted as `bus_unreadable`, and skipped.

    Raises:
        ConfigurationError: The URL or a setting is wrong; passwords are not shown.
    """

    url: str
    _: KW_ONLY
    username: str | None = None
    password: str | Callable[[], str] | None = field(default=None)
    token: str | Callable[[], str] | None = field(default=None)
    credentials: str | Path | None = None
    nkey: str | Path | None = None
    ca: str | Path | None = None
    client_cert: str | Path | None = None
    client_key: str | Path | None = None
    partitions: int | None = None
    replicas: int | None = None
    max_bytes: int | None = None
    prefix: str | None = None
    max_event_bytes: int | None = None
    accept_raw: bool = False

    def __post_init__(self) -> None:
        checks = _Checks(self)
        checks.text("url", 'a URL, such as "nats://127.0.0.1:4222"', optional=False)
        checks.text("username", "a string that is not empty, or None")
        checks.text(
            "prefix", "1 to 32 letters, digits, '-' or '_', such as \"shop\", or None for \"fs1\""
        )
        checks.paths("credentials", "nkey", "ca", "client_cert", "client_key")
        checks.secret("password")
        checks.secret("token")
        checks.count("partitions", 1, 64)
        checks.count("replicas", 1, 5)
        checks.count("max_bytes", 1024 * 1024, 2**63 - 1)
        checks.count("max_event_bytes", MIN_EVENT_BYTES, MAX_EVENT_BYTES)
        checks.flag("accept_raw")
        check_bus(self)

    def __repr__(self) -> str:
        return f"Nats('{_hosts(self.url)}')"


RowEvent: TypeAlias = Literal["insert", "update", "delete"]
"""A change of a row."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose changes are events: `Table("public.orders", channel="orders.{customer_id}")`.

    The data of an event is the row: a member for each column. Its type is INSERT, UPDATE or DELETE.

    Attributes:
        name: The table, `schema.table`, or `table` in the schema `public`. It is spelled as in SQL,
            where letters become small outside of double quotes: `'public."My orders"'`.
        channel: Channel of the events; columns of the row stand in braces. A row that moves to
            another channel, or tenant, is a DELETE there and an INSERT here, where its replica
            identity has the column.
        events: Which changes are events. A move is an update.
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
        checks = _Checks(self)
        checks.text("name", 'the name of a table, such as "public.orders"', optional=False)
        checks.text(
            "channel", 'a channel, such as "orders" or "orders.{customer_id}"', optional=False
        )
        checks.text("tenant", "the name of a column, or None")
        allowed = get_args(RowEvent)
        events = self.events
        is_sequence = isinstance(events, Sequence) and not isinstance(events, str)
        if not (is_sequence and events and all(event in allowed for event in events)):
            refuse("Table.events", events, f"pass some of {', '.join(allowed)}, as a tuple")


@dataclass(frozen=True, slots=True, repr=False)
class Postgres:
    """PostgreSQL as the engine: `SubscriptionManager(bus=Postgres("postgresql://me@host/shop"))`.

    Or as a source beside another engine: `SubscriptionManager(bus="redis://host",
    sources=[Postgres("postgresql://me@host/shop")])`. One of the nodes reads it then, for all.

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
        outbox: Whether the database was prepared by `fraiseql-subs postgres install --outbox`; the
            same in all programs (default False).
        slot: Name of the replication slot of a source, 1 to 48 of a to z, 0 to 9 and `_`; None:
            `fraiseql_subs`. The same in all programs with one bus; another one for each bus that
            has this database as a source. Not for `bus=`, where each program has a temporary one.

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
    outbox: bool | None = None
    slot: str | None = None

    def __post_init__(self) -> None:
        checks = _Checks(self)
        checks.text("url", 'a URL, such as "postgresql://me@127.0.0.1/shop"', optional=False)
        checks.text("username", "a string that is not empty, or None")
        checks.text("slot", 'the name of a replication slot, such as "fraiseql_subs", or None')
        checks.paths("ca", "client_cert", "client_key")
        checks.secret("password")
        checks.count("max_event_bytes", MIN_EVENT_BYTES, MAX_EVENT_BYTES)
        if self.outbox is not None:
            checks.flag("outbox")
        tables = self.tables
        is_sequence = isinstance(tables, Sequence) and not isinstance(tables, str)
        if not is_sequence:
            refuse("Postgres.tables", type(tables).__name__, "pass a list of Table(...)")
        for index, table in enumerate(tables):
            if not isinstance(table, Table):
                kind = type(table).__name__
                refuse(f"Postgres.tables[{index}]", kind, "pass Table(...)")
        check_bus(self)

    def __repr__(self) -> str:
        return f"Postgres('{_hosts(self.url)}')"


class _Checks:
    """Checks the settings of an engine. Errors do not contain values that may be secrets."""

    def __init__(self, engine: Redis | Nats | Postgres | Table) -> None:
        self._engine = engine

    def _read(self, name: str) -> tuple[str, object]:
        return f"{type(self._engine).__name__}.{name}", getattr(self._engine, name)

    def text(self, name: str, remedy: str, *, optional: bool = True) -> None:
        label, value = self._read(name)
        if value is not None or not optional:
            self._check_text(label, value, remedy)

    def paths(self, *names: str) -> None:
        for name in names:
            label, value = self._read(name)
            if value is not None:
                value = str(value) if isinstance(value, Path) else value
                self._check_text(label, value, "the path of a file")

    def secret(self, name: str) -> None:
        label, value = self._read(name)
        if inspect.iscoroutinefunction(value):
            refuse(
                label,
                "an async function",
                "pass a plain one: it is called on a thread of its own, where it may block",
            )
        if value is not None and not callable(value):
            remedy = "a string that is not empty, or a function without parameters that returns one"
            self._check_text(label, value, remedy)

    def count(self, name: str, least: int, most: int) -> None:
        label, value = self._read(name)
        if value is None:
            return
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if not (is_count and least <= value <= most):  # type: ignore[operator]
            refuse(label, value, f"pass a count from {least} to {most}")

    def flag(self, name: str) -> None:
        label, value = self._read(name)
        if not isinstance(value, bool):
            refuse(label, value, "pass True or False")

    @staticmethod
    def _check_text(label: str, value: object, remedy: str) -> None:
        if not isinstance(value, str):
            refuse(label, type(value).__name__, f"pass {remedy}")
        if not value:
            refuse(label, value, f"pass {remedy}")
        if not has_utf8(value):
            refuse(label, "a text", LONE_SURROGATE)


def _hosts(url: str) -> str:
    # A URL may have a password before its hosts, and others among its options.
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest)[0].rpartition('@')[2]}"
