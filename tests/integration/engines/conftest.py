"""A Redis or a PostgreSQL for each test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.postgres_server import PostgresServer
from support.redis_server import RedisServer


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Run a private server."""
    async with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    """Run a private server, whose database is prepared."""
    async with PostgresServer() as server:
        server.install()
        yield server


@pytest.fixture
async def outbox() -> AsyncIterator[PostgresServer]:
    """Run a private server without logical decoding, whose database has an outbox.

    `subs` is the role of nodes, `app` that of programs that publish by SQL.
    """
    async with PostgresServer(wal_level="replica") as server:
        await server.sql(
            "CREATE ROLE installer LOGIN; CREATE ROLE subs LOGIN; CREATE ROLE app LOGIN"
        )
        await server.sql("GRANT CREATE ON DATABASE postgres TO installer")
        server.install(role="installer", publishers=["app"], nodes=["subs"], outbox=True)
        yield server
