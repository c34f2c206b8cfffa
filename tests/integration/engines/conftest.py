"""A Redis or a PostgreSQL for each test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.postgres_server import PostgresServer
from support.redis_server import RedisServer

from fraiseql_subs._core import postgres_execute, postgres_install_sql


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Run a private server."""
    async with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    """Run a private server, whose database is prepared."""
    async with PostgresServer() as server:
        assert postgres_execute(server.url, postgres_install_sql([], [], [])) is None
        yield server
