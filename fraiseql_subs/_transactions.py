"""Publishes an event as part of a transaction that the application has open in PostgreSQL.

One statement calls the function `fraiseql_subs.publish` of the database on the connection of the
caller, so the event exists exactly if the transaction commits. Not here: how an event is made of
data (`_core`), and the function in the database (`fraiseql-subs postgres install`).
"""

from __future__ import annotations

import inspect
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeAlias

from .errors import ConfigurationError, PublishError

if TYPE_CHECKING:
    from ._core import Receipt
    from .tracing import TraceContext

_ADVICE = (
    "pass an open Session, AsyncSession, Connection or AsyncConnection of SQLAlchemy, a connection"
    " of Django (django.db.connection), of psycopg, psycopg2 or asyncpg"
)


class Preparer(Protocol):
    """What makes an event of data: the core of a manager or of a publisher."""

    def prepare(
        self,
        channel: str,
        data: Any,
        event_type: str | None,
        tenant_id: str | None,
        event_id: str | None,
        is_json: bool,
        trace: TraceContext | None,
    ) -> tuple[Receipt, tuple[str, str, str | None, str | None, str, str | None]]:
        """Return the receipt of an event, and the fields of its `TransactionEvent`."""


class TransactionEvent(NamedTuple):
    """The arguments of `fraiseql_subs.publish` in the database, in their order, and the trace.

    Attributes:
        channel: The channel, at least one character.
        data: The data as JSON text.
        tenant_id: The tenant; None: none.
        event_type: The type; None: none.
        event_id: The id of the event.
        traceparent: The span that publishes it; None: it is not traced.
    """

    channel: str
    data: str
    tenant_id: str | None
    event_type: str | None
    event_id: str
    traceparent: str | None

    @property
    def parameters(self) -> dict[str, str | None]:
        """The parameters of its statement, in their order."""
        parameters = self._asdict()
        traceparent = parameters.pop("traceparent")
        return parameters if traceparent is None else {"traceparent": traceparent, **parameters}

    def statement(self, plain: str, traced: str) -> str:
        """Return the statement that publishes it."""
        return plain if self.traceparent is None else traced


_CALL = "select fraiseql_subs.publish({}, cast({} as jsonb), {}, {}, {})"
# The setting would last as long as the transaction, so its value is set back: it may be that of
# the application, and is not that of the next event. Each part reads the one before it, which makes
# their order. A database that was prepared earlier ignores the setting.
_TRACED = f"""\
select pg_catalog.set_config('fraiseql_subs.traceparent', before.value, true)
from (
    select coalesce(pg_catalog.current_setting('fraiseql_subs.traceparent', true), '') as value
    offset 0
) as before,
lateral (
    select pg_catalog.set_config('fraiseql_subs.traceparent', {{}}, true) as value
    where before.value is not null
    offset 0
) as given,
lateral ({_CALL} where given.value is not null offset 0) as published"""
_NAMES = [f":{name}" for name in TransactionEvent._fields]
_NAMED = _CALL.format(*_NAMES[:-1]), _TRACED.format(_NAMES[-1], *_NAMES[:-1])
_FORMAT = _CALL.format(*["%s"] * 5), _TRACED.format(*["%s"] * 6)
# Without the cast to text, asyncpg applies the codec that the application has set for jsonb.
_NUMBERED = (
    _CALL.format("$1", "$2::text", "$3", "$4", "$5"),
    _TRACED.format("$1", "$2", "$3::text", "$4", "$5", "$6"),
)


def check_bus(*, has_transactions: bool) -> None:
    """Refuse an engine that has no transactions.

    Raises:
        ConfigurationError: PostgreSQL is neither the engine nor a source.
    """
    if not has_transactions:
        raise ConfigurationError(
            "publish(connection=...) needs PostgreSQL as the engine or as a source: set"
            ' bus="postgresql://...", or sources=[Postgres(...)]'
        )


class _Done(Coroutine[Any, Any, "Receipt"]):
    """The result of a call that is done: it may be awaited, and need not be."""

    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt

    def send(self, value: object) -> NoReturn:
        raise StopIteration(self._receipt)

    def throw(self, *error: Any) -> NoReturn:
        raise error[0]

    def close(self) -> None:
        pass

    def __await__(self) -> Generator[Any, Any, Receipt]:
        return self._receipt
        yield


def publish(
    core: Preparer,
    connection: Any,
    channel: str,
    data: Any,
    event_type: str | None,
    tenant_id: str | None,
    event_id: str | None,
    *,
    is_json: bool = False,
    trace: TraceContext | None = None,
) -> Coroutine[Any, Any, Receipt]:
    """Publish an event in the transaction of a connection of any kind.

    Args:
        core: What makes the event.
        connection: The connection.
        channel: The channel of the event.
        data: Its data.
        event_type: Its type.
        tenant_id: Its tenant.
        event_id: Its id.
        is_json: Whether the data are the text of a JSON value.
        trace: The span that publishes it, unless the core makes one.

    Returns:
        What has to be awaited for an asynchronous connection. With one that blocks the event is
        published by the call.

    Raises:
        PublishError: The event is malformed, or the connection is of no known kind. Nothing was
            executed, so the transaction can go on.
    """
    receipt, event = _prepare(core, channel, data, event_type, tenant_id, event_id, is_json, trace)
    done = _execute(connection, event)
    return _Done(receipt) if done is None else _wait(done, receipt)


async def _wait(done: Awaitable[object], receipt: Receipt) -> Receipt:
    await done
    return receipt


def publish_blocking(
    core: Preparer,
    connection: Any,
    channel: str,
    data: Any,
    event_type: str | None,
    tenant_id: str | None,
    event_id: str | None,
    *,
    is_json: bool = False,
    trace: TraceContext | None = None,
) -> Receipt:
    """Publish an event in the transaction of a connection that blocks.

    Raises:
        PublishError: As for `publish`; or the connection is asynchronous.
    """
    receipt, event = _prepare(core, channel, data, event_type, tenant_id, event_id, is_json, trace)
    done = _execute(connection, event)
    if done is None:
        return receipt
    if inspect.iscoroutine(done):
        done.close()
    raise PublishError(
        f"connection is {type(connection).__qualname__}, which is asynchronous: publish by"
        " `await manager.publish(..., connection=...)` or `await Publisher.publish(...)`"
    )


def _prepare(
    core: Preparer,
    channel: str,
    data: Any,
    event_type: str | None,
    tenant_id: str | None,
    event_id: str | None,
    is_json: bool,
    trace: TraceContext | None,
) -> tuple[Receipt, TransactionEvent]:
    event_id = uuid.uuid4().hex if event_id is None else event_id
    receipt, fields = core.prepare(channel, data, event_type, tenant_id, event_id, is_json, trace)
    event = TransactionEvent(*fields)
    # A statement that PostgreSQL refuses would end the transaction of the caller.
    for name, text in event._asdict().items():
        if text is not None and "\x00" in text:
            raise PublishError(f"{name} has the character U+0000, which PostgreSQL cannot store")
    return receipt, event


def _execute(connection: Any, event: TransactionEvent) -> Awaitable[object] | None:
    """Call `fraiseql_subs.publish` on a connection.

    Returns:
        What has to be awaited for an asynchronous connection; None where the call is done.

    Raises:
        PublishError: The connection is of no known kind, or not of PostgreSQL.
    """
    for names, call in _BLOCKING.items():
        if isinstance(connection, _imported(names)):
            call(connection, event)
            return None
    for names, call in _ASYNC.items():
        if isinstance(connection, _imported(names)):
            done: Awaitable[object] = call(connection, event)
            return done
    raise PublishError(
        f"connection is {type(connection).__qualname__}, which cannot be used: {_ADVICE}"
    )


def _imported(names: tuple[str, ...]) -> tuple[type, ...]:
    """Return classes by their names; without those of modules that this program does not use."""
    found = []
    for name in names:
        module, _, attribute = name.rpartition(".")
        kind = getattr(sys.modules.get(module), attribute, None)
        if isinstance(kind, type):
            found.append(kind)
    return tuple(found)


def _sqlalchemy(connection: Any, event: TransactionEvent) -> Any:
    bind = connection.get_bind() if hasattr(connection, "get_bind") else connection
    _check_database(bind.dialect.name)
    text = sys.modules["sqlalchemy"].text(event.statement(*_NAMED))
    return connection.execute(text, event.parameters)


def _sqlalchemy_blocking(connection: Any, event: TransactionEvent) -> None:
    _sqlalchemy(connection, event).close()


def _django(connection: Any, event: TransactionEvent) -> None:
    _check_database(connection.vendor)
    _cursor(connection, event)


def _cursor(connection: Any, event: TransactionEvent) -> None:
    with connection.cursor() as cursor:
        _execute_format(cursor, event)


def _execute_format(cursor: Any, event: TransactionEvent) -> Any:
    return cursor.execute(event.statement(*_FORMAT), tuple(event.parameters.values()))


def _psycopg(connection: Any, event: TransactionEvent) -> None:
    # Those that the connection makes may read another form of parameters (`RawCursor`).
    with sys.modules["psycopg"].Cursor(connection) as cursor:
        _execute_format(cursor, event)


async def _psycopg_async(connection: Any, event: TransactionEvent) -> None:
    async with sys.modules["psycopg"].AsyncCursor(connection) as cursor:
        await _execute_format(cursor, event)


def _check_database(name: str) -> None:
    if name != "postgresql":
        raise PublishError(
            f"connection is of {name}, and only PostgreSQL carries events in its transactions"
        )


_Kinds: TypeAlias = dict[tuple[str, ...], Callable[[Any, TransactionEvent], Any]]
"""The function for the connections of some classes."""

_BLOCKING: _Kinds = {
    (
        "sqlalchemy.engine.Connection",
        "sqlalchemy.orm.Session",
        "sqlalchemy.orm.scoped_session",
    ): _sqlalchemy_blocking,
    ("django.db.ConnectionProxy", "django.db.backends.base.base.BaseDatabaseWrapper"): _django,
    ("psycopg.Connection",): _psycopg,
    ("psycopg2.extensions.connection",): _cursor,
}

_ASYNC: _Kinds = {
    (
        "sqlalchemy.ext.asyncio.AsyncConnection",
        "sqlalchemy.ext.asyncio.AsyncSession",
        "sqlalchemy.ext.asyncio.async_scoped_session",
    ): _sqlalchemy,
    ("psycopg.AsyncConnection",): _psycopg_async,
    ("asyncpg.Connection", "asyncpg.pool.PoolConnectionProxy"): lambda connection, event: (
        connection.execute(event.statement(*_NUMBERED), *event.parameters.values())
    ),
}
