"""The engines that are measured, and how many events are published to each at once.

Not here: what is measured (measurements.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import asyncpg

from fraiseql_subs import History, Publisher
from load_tests import intake
from load_tests.driver import Node
from load_tests.intake import CHANNELS, PENDING
from load_tests.nats_server import NatsServer
from load_tests.node import EVENT
from load_tests.postgres_server import OUTBOX, PostgresServer
from load_tests.private_server import PrivateServer
from load_tests.redis_server import RedisServer

TABLE = "public.orders"
"""Whose rows are events."""

SCHEMA = f"""CREATE TABLE {TABLE} (
    number bigserial PRIMARY KEY, channel text, id integer, user_id integer, status text,
    total double precision, note text)"""

PUBLISH = """SELECT fraiseql_subs.publish('orders.' || n % $1,
    jsonb_build_object('id', $2::int, 'user_id', $3::int, 'status', $4::text, 'total', $5::float,
        'note', $6::text)) FROM generate_series(1, $7) n"""
INSERT = f"""INSERT INTO {TABLE} (channel, id, user_id, status, total, note)
    SELECT 'orders.' || n % $1, $2, $3, $4, $5, $6 FROM generate_series(1, $7) n"""

Publish: TypeAlias = Callable[[int], Awaitable[None]]
"""Publishes so many events, in batches of `PENDING`."""


@dataclass(frozen=True)
class Kind:
    """An engine in one of its forms.

    Attributes:
        title: How tables call it.
        server: Makes its server, which keeps everything for a node that is stopped.
        has_history: Whether it keeps events for clients that return.
        sql: What publishes a batch in one transaction; None: a `Publisher` publishes.
        table: Whose rows are events; None: of none.
    """

    title: str
    server: Callable[[], PrivateServer]
    has_history: bool = True
    sql: str | None = None
    table: str | None = None

    def node(self, engine: PrivateServer) -> Node:
        """Make a node."""
        return Node(engine.bus, has_history=self.has_history, table=self.table)

    def readers(self, engine: PrivateServer, node: Node) -> list[int]:
        """Return what reads from the engine: the node, and what PostgreSQL runs for it."""
        if isinstance(engine, PostgresServer):
            return [node.pid, *engine.walsenders()]
        return [node.pid]

    @asynccontextmanager
    async def publisher(self, engine: PrivateServer) -> AsyncIterator[Publish]:
        """Connect what publishes to all channels."""
        if self.sql is None:
            history = History() if self.has_history else None
            async with Publisher(engine.bus, history=history) as publisher:
                yield lambda events: intake.publish(publisher, CHANNELS, events, PENDING)
            return
        connection = await asyncpg.connect(engine.url)
        try:
            statement = await connection.prepare(self.sql)

            async def publish(events: int) -> None:
                for _ in range(events // PENDING):
                    await statement.fetch(len(CHANNELS), *EVENT.values(), PENDING)

            yield publish
        finally:
            await connection.close()


# Past its limit a server would cut off a node that does not read.
NATS = partial(NatsServer, 'max_pending: 1GB\nwrite_deadline: "2m"')
REDIS = partial(RedisServer, {"client-output-buffer-limit": "pubsub 0 0 0"})

MESSAGES = Kind("PostgreSQL, `fraiseql_subs.publish`", PostgresServer, sql=PUBLISH)
KINDS = (
    Kind("Redis", REDIS),
    Kind("Redis, `history=None`", REDIS, has_history=False),
    Kind("NATS, `history=None`", NATS, has_history=False),
    Kind("NATS, JetStream", NATS),
    MESSAGES,
    Kind(
        "PostgreSQL, rows of a table",
        partial(PostgresServer, "--table", TABLE, schema=SCHEMA),
        sql=INSERT,
        table=TABLE,
    ),
    Kind("PostgreSQL, outbox", OUTBOX, sql=PUBLISH),
)
