"""Transactions of PostgreSQL as applications open them: by each package, blocking and not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import django
import django.conf
import psycopg
import psycopg2
import sqlalchemy
from django.db.utils import ConnectionHandler
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, create_async_engine
from sqlalchemy.ext.asyncio import async_sessionmaker as session_maker
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool


@dataclass(frozen=True)
class Open:
    """An open transaction.

    Attributes:
        connection: What the application has: a connection or a session.
        commit: Commits.
        rollback: Rolls back.
    """

    connection: Any
    commit: Callable[[], Any]
    rollback: Callable[[], Any]


AsyncKind = Callable[[str], contextlib.AbstractAsyncContextManager[Open]]
Kind = Callable[[str], contextlib.AbstractContextManager[Open]]


@contextlib.asynccontextmanager
async def asyncpg_connection(url: str) -> AsyncIterator[Open]:
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield Open(connection, transaction.commit, transaction.rollback)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def asyncpg_pool(url: str) -> AsyncIterator[Open]:
    async with asyncpg.create_pool(url, min_size=1) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield Open(connection, transaction.commit, transaction.rollback)


@contextlib.asynccontextmanager
async def psycopg_async(url: str) -> AsyncIterator[Open]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield Open(connection, connection.commit, connection.rollback)


@contextlib.asynccontextmanager
async def sqlalchemy_async_connection(url: str) -> AsyncIterator[Open]:
    engine = create_async_engine(_driver(url, "psycopg"), poolclass=NullPool)
    async with engine.connect() as connection:
        yield Open(connection, connection.commit, connection.rollback)


@contextlib.asynccontextmanager
async def sqlalchemy_async_session(url: str) -> AsyncIterator[Open]:
    engine = create_async_engine(_driver(url, "asyncpg"), poolclass=NullPool)
    async with AsyncSession(engine) as session:
        yield Open(session, session.commit, session.rollback)


@contextlib.asynccontextmanager
async def sqlalchemy_async_scoped_session(url: str) -> AsyncIterator[Open]:
    engine = create_async_engine(_driver(url, "asyncpg"), poolclass=NullPool)
    session = async_scoped_session(session_maker(engine), lambda: 1)
    yield Open(session, session.commit, session.rollback)
    await session.remove()


ASYNC_KINDS: list[AsyncKind] = [
    asyncpg_connection,
    asyncpg_pool,
    psycopg_async,
    sqlalchemy_async_connection,
    sqlalchemy_async_session,
    sqlalchemy_async_scoped_session,
]


@contextlib.contextmanager
def psycopg_connection(url: str) -> Iterator[Open]:
    with psycopg.connect(url) as connection:
        yield Open(connection, connection.commit, connection.rollback)


@contextlib.contextmanager
def psycopg2_connection(url: str) -> Iterator[Open]:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        yield Open(connection, connection.commit, connection.rollback)


@contextlib.contextmanager
def sqlalchemy_connection(url: str) -> Iterator[Open]:
    engine = sqlalchemy.create_engine(_driver(url, "psycopg2"), poolclass=NullPool)
    with engine.connect() as connection:
        yield Open(connection, connection.commit, connection.rollback)


@contextlib.contextmanager
def sqlalchemy_session(url: str) -> Iterator[Open]:
    engine = sqlalchemy.create_engine(_driver(url, "psycopg"), poolclass=NullPool)
    with Session(engine) as session:
        yield Open(session, session.commit, session.rollback)


@contextlib.contextmanager
def sqlalchemy_scoped_session(url: str) -> Iterator[Open]:
    engine = sqlalchemy.create_engine(_driver(url, "psycopg"), poolclass=NullPool)
    session = scoped_session(sessionmaker(engine))
    yield Open(session, session.commit, session.rollback)
    session.remove()


@contextlib.contextmanager
def django_connection(url: str) -> Iterator[Open]:
    if not django.conf.settings.configured:
        django.conf.settings.configure(LOGGING_CONFIG=None)
        django.setup()
    parts = urlsplit(url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username,
        "HOST": parts.hostname,
        "PORT": parts.port,
    }
    connection = ConnectionHandler({"default": database})["default"]
    connection.set_autocommit(False)
    yield Open(connection, connection.commit, connection.rollback)
    connection.close()


KINDS: list[Kind] = [
    psycopg_connection,
    psycopg2_connection,
    sqlalchemy_connection,
    sqlalchemy_session,
    sqlalchemy_scoped_session,
    django_connection,
]


def _driver(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://")
