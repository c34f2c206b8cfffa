"""`publish(connection=...)`: an event exists exactly if the caller's transaction commits."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import date
from decimal import Decimal

import psycopg
import pytest
import sqlalchemy
from declared import node
from nodes import take
from open_transactions import ASYNC_KINDS, KINDS, psycopg_async, psycopg_connection

from fraiseql_subs import (
    ConfigurationError,
    Identity,
    Publisher,
    PublishError,
    Security,
    SyncPublisher,
    TenantIsolation,
)

FEED = "subscription { feed }"

async_kinds = pytest.mark.parametrize("kind", ASYNC_KINDS, ids=lambda kind: kind.__name__)
blocking_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@async_kinds
async def test_an_event_is_seen_if_its_transaction_commits(kind, postgres):
    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        async with kind(postgres.url) as transaction:
            await manager.publish("feed", 1, connection=transaction.connection)
            await transaction.rollback()
        async with kind(postgres.url) as transaction:
            receipt = await manager.publish("feed", 2, connection=transaction.connection)
            assert receipt.event_id and receipt.position is None
            await manager.publish("feed", 3, connection=transaction.connection)
            await transaction.commit()
        assert await take(results, 2) == [2, 3]


@blocking_kinds
async def test_an_event_is_seen_if_a_transaction_that_blocks_commits(kind, postgres):
    def write() -> None:
        with SyncPublisher(postgres.url) as publisher:
            with kind(postgres.url) as transaction:
                publisher.publish("feed", 1, connection=transaction.connection)
                transaction.rollback()
            with kind(postgres.url) as transaction:
                publisher.publish("feed", 2, connection=transaction.connection)
                publisher.publish("feed", 3, connection=transaction.connection)
                transaction.commit()

    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        await asyncio.to_thread(write)
        assert await take(results, 2) == [2, 3]


async def test_a_publisher_without_a_server_publishes_in_a_transaction(postgres):
    async with (
        node(postgres.url) as manager,
        manager.subscribe(FEED) as results,
        Publisher(postgres.url) as publisher,
        psycopg_async(postgres.url) as transaction,
    ):
        await publisher.publish("feed", 1, connection=transaction.connection)
        await publisher.publish("feed", 2)
        await transaction.commit()
        assert await take(results, 2) == [2, 1]


async def test_type_id_tenant_and_data_arrive_as_they_were_published(postgres):
    isolated = Security(tenant=TenantIsolation())
    acme = Identity(user_id="1", tenant_id="acme")
    document = "subscription { envelope }"
    async with (
        node(postgres.url, security=isolated) as manager,
        manager.subscribe(document, identity=acme) as results,
        psycopg_async(postgres.url) as transaction,
    ):
        data = {"day": date(2026, 11, 26), "total": Decimal("1.50"), "text": "a\\u0000 '\"%s:x"}
        publisher = manager.for_tenant("acme")
        await publisher.publish(
            "envelopes", data, event_type="paid", event_id="p-7", connection=transaction.connection
        )
        with pytest.raises(PublishError, match="tenant"):
            await publisher.publish(
                "envelopes", {"tenant_id": "other"}, connection=transaction.connection
            )
        await transaction.commit()
        ((event_id, kind, tenant, _, channel),) = await take(results, 1)
        assert (event_id, kind, tenant, channel) == ("p-7", "paid", "acme", "envelopes")


@pytest.mark.parametrize(
    ("channel", "data", "options", "message"),
    [
        ("", 1, {}, "channel"),
        ("feed", object(), {}, "data"),
        ("feed", "a\0b", {}, "U\\+0000"),
        ("feed", {"a\0": 1}, {}, "U\\+0000"),
        ("feed\0", 1, {}, "U\\+0000"),
        # `jsonb` writes blanks after commas, so its text is longer.
        ("feed", [7] * 400_000, {}, "1048576"),
        ("feed", "x" * 1_048_576, {}, "1048576"),
        ("feed", 1, {"event_id": ""}, "event_id"),
        ("c" * 300, 1, {}, "254"),
    ],
)
async def test_a_refused_event_leaves_the_transaction_as_it_was(
    channel, data, options, message, postgres
):
    async with (
        node(postgres.url) as manager,
        manager.subscribe(FEED) as results,
        psycopg_async(postgres.url) as transaction,
    ):
        with pytest.raises(PublishError, match=message):
            await manager.publish(channel, data, connection=transaction.connection, **options)
        await manager.publish("feed", 1, connection=transaction.connection)
        await transaction.commit()
        assert await take(results, 1) == [1]


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\\\\\u0000", "\x01"])
async def test_text_that_looks_like_a_zero_character_is_published(text, postgres):
    with SyncPublisher(postgres.url) as publisher, psycopg_connection(postgres.url) as transaction:
        receipt = await asyncio.to_thread(
            publisher.publish, "feed", text, connection=transaction.connection
        )
        assert receipt.event_id


async def test_a_call_on_a_thread_publishes_without_await(postgres):
    def write() -> None:
        with psycopg_connection(postgres.url) as transaction:
            manager.publish("feed", 1, connection=transaction.connection)
            transaction.commit()

    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        await asyncio.to_thread(write)
        assert await take(results, 1) == [1]


async def test_the_cursors_of_a_connection_may_be_of_another_kind(postgres):
    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        with psycopg.connect(postgres.url, cursor_factory=psycopg.RawCursor) as connection:
            await manager.publish("feed", 1, connection=connection)
        kind = psycopg.AsyncRawCursor
        async with await psycopg.AsyncConnection.connect(
            postgres.url, cursor_factory=kind
        ) as connection:
            task = asyncio.create_task(manager.publish("feed", 2, connection=connection))
            assert (await task).event_id
        assert await take(results, 2) == [1, 2]


async def test_an_object_that_is_no_connection_is_refused_with_advice(postgres):
    async with node(postgres.url) as manager:
        with pytest.raises(PublishError, match=r"dict.*SQLAlchemy"):
            await manager.publish("feed", 1, connection={})


async def test_a_connection_of_another_database_is_refused(postgres, tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/orders.sqlite")
    async with node(postgres.url) as manager:
        with engine.connect() as connection, pytest.raises(PublishError, match="sqlite"):
            await manager.publish("feed", 1, connection=connection)
        with (
            sqlite3.connect(":memory:") as connection,
            pytest.raises(PublishError, match="Connection"),
        ):
            await manager.publish("feed", 1, connection=connection)
    engine.dispose()


async def test_a_blocking_publisher_refuses_an_asynchronous_connection(postgres):
    async with psycopg_async(postgres.url) as transaction:
        with (
            SyncPublisher(postgres.url) as publisher,
            pytest.raises(PublishError, match=r"await manager\.publish"),
        ):
            publisher.publish("feed", 1, connection=transaction.connection)


async def test_another_engine_refuses_a_connection(postgres):
    async with node("memory://") as manager, psycopg_async(postgres.url) as transaction:
        with pytest.raises(ConfigurationError, match="postgresql://"):
            await manager.publish("feed", 1, connection=transaction.connection)


async def test_a_transaction_that_has_failed_says_so(postgres):
    async with node(postgres.url) as manager, psycopg_async(postgres.url) as transaction:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await transaction.connection.execute("select 1 / 0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            await manager.publish("feed", 1, connection=transaction.connection)
