"""Roles of PostgreSQL: that of a publisher is enough for each program that only publishes."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator

import psycopg
import pytest
from declared import node
from nodes import take
from publishing_command import publish as publish_from_shell
from support import eventually
from support.postgres_server import PostgresServer

from fraiseql_subs import Publisher, SyncPublisher
from fraiseql_subs._core import postgres_execute, postgres_install_sql

FEED = "subscription { feed }"


@pytest.fixture(params=[False, True], ids=["log", "outbox"])
async def urls(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, str]]:
    """Run a private server in one of the forms; return the URLs of a node and of a publisher."""
    async with PostgresServer() as server:
        await server.sql("CREATE ROLE app LOGIN")
        install = postgres_install_sql([], ["app"], [], request.param, False)
        failure, _ = postgres_execute(server.url, install)
        assert failure is None
        options = "?outbox=true" if request.param else ""
        yield server.url + options, server.url_of("app") + options


async def test_a_publisher_needs_no_rights_of_a_node(urls, caplog):
    of_node, of_publisher = urls
    caplog.set_level(logging.WARNING)
    async with node(of_node) as manager, manager.subscribe(FEED) as results:
        async with Publisher(of_publisher) as publisher:
            await publisher.publish("feed", 1)
        with SyncPublisher(of_publisher) as publisher:
            await asyncio.to_thread(publisher.publish, "feed", 2)
        status, _, err = await publish_from_shell("feed", "3", "--to", of_publisher)
        assert (status, err) == (0, "")
        assert await take(results, 3) == [1, 2, 3]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_publisher_within_a_transaction_needs_no_rights_of_a_node(urls, caplog):
    of_node, of_publisher = urls
    caplog.set_level(logging.WARNING)
    async with node(of_node) as manager, manager.subscribe(FEED) as results:
        with SyncPublisher(of_publisher) as publisher:
            with psycopg.connect(of_publisher.partition("?")[0]) as connection:
                publisher.publish("feed", 1, connection=connection)
        assert await take(results, 1) == [1]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_ctrl_c_ends_an_installation_that_waits(postgres: PostgresServer):
    await postgres.sql("CREATE TABLE orders (id int PRIMARY KEY)")
    async with await psycopg.AsyncConnection.connect(postgres.url) as blocker:
        await blocker.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fraiseql_subs", "postgres", "install"),
            *("--url", postgres.url, "--table", "orders"),
        )

        async def waits() -> bool:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return await postgres.sql(waiting) == "1"

        await eventually(waits, "the installation waits for the lock")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == -signal.SIGINT
