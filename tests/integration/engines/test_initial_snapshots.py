"""Rows of PostgreSQL as they are, and then each change after exactly that."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from nodes import take
from returning import BEGIN, after
from support import PATIENCE, eventually
from support.postgres_server import PostgresServer

from fraiseql_subs import (
    Event,
    Postgres,
    Snapshot,
    SubscriptionManager,
    Table,
    subscription,
)

ITEMS = "SELECT id, version FROM items ORDER BY id"
SNAPSHOT = "SELECT pg_current_snapshot()::text"
END = 0
"""The id of the last row."""


@pytest.fixture
async def items(postgres: PostgresServer) -> AsyncIterator[PostgresServer]:
    """Make a table whose changes are events."""
    await postgres.sql("CREATE TABLE items (id int PRIMARY KEY, version int NOT NULL)")
    postgres.install("items")
    yield postgres


async def state(connection: asyncpg.Connection) -> Snapshot[list[str]]:
    """Return the rows as they are now."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(ITEMS)
        at = await connection.fetchval(SNAPSHOT)
    return Snapshot([f"{id} {version}" for id, version in rows], at=at)


def declared(pool: asyncpg.Pool):
    async def initial() -> Snapshot[list[str]]:
        async with pool.acquire() as connection:
            return await state(connection)

    @subscription(channel="items", initial=initial, timeout=None)
    async def items(event: Event) -> list[str]:
        return [f"{event['id']} {event['version']}"]

    return items


def over(server: PostgresServer, *resolvers) -> SubscriptionManager:
    bus = Postgres(server.url, tables=[Table("items", channel="items")])
    return SubscriptionManager([*resolvers], bus=bus)


def publish(channel: str, data: str) -> str:
    """Return the SQL that publishes an event."""
    return f"SELECT fraiseql_subs.publish('{channel}', '{data}');"


def parsed(texts: list[str]) -> list[tuple[int, int]]:
    return [(int(id), int(version)) for id, version in map(str.split, texts)]


class Client:
    """A list that follows the table."""

    def __init__(self, manager: SubscriptionManager) -> None:
        self.results = manager.subscribe("subscription { items }")
        self.rows: dict[int, int] = {}

    async def follow(self) -> dict[int, int]:
        """Follow until the last row is there. Each version of a row comes once, in order."""
        async with self.results as results:
            first = await anext(results)
            assert first.errors is None, first
            self.rows = dict(parsed(first.data["items"]))
            while END not in self.rows:
                result = await anext(results)
                ((id, version),) = parsed(result.data["items"])
                assert version == self.rows.get(id, 0) + 1, (id, version, self.rows.get(id))
                self.rows[id] = version
        return self.rows


async def write(url: str, seed: int, ends: asyncio.Event) -> None:
    """Insert and update rows, in transactions of all kinds."""
    dice = random.Random(seed)
    connection = await asyncpg.connect(url)
    upsert = (
        "INSERT INTO items VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET version = "
        "items.version + 1"
    )
    while not ends.is_set():
        # Rows are locked in one order, so no two transactions wait for each other.
        ids = sorted({dice.randint(1, 200) for _ in range(dice.randint(1, 6))})
        async with connection.transaction():
            for id in ids:
                kind = dice.random()
                if kind < 0.2:
                    savepoint = connection.transaction()
                    await savepoint.start()
                    await connection.execute(upsert, id)
                    await savepoint.rollback()
                elif kind < 0.4:
                    async with connection.transaction():
                        await connection.execute(upsert, id)
                else:
                    await connection.execute(upsert, id)
            if dice.random() < 0.1:
                await asyncio.sleep(0.05)
    await connection.close()


async def have_what_is_there(items, pool, following) -> None:
    """End the clients by a last row; check that the list of each has the rows of the table."""
    await items.sql(f"INSERT INTO items VALUES ({END}, 1)")
    lists = await asyncio.wait_for(asyncio.gather(*following), PATIENCE)
    async with pool.acquire() as connection:
        expected = dict(parsed((await state(connection)).value))
    assert all(rows == expected for rows in lists)


async def test_subscriptions_that_start_among_writers_miss_and_repeat_nothing(items):
    ends = asyncio.Event()
    async with asyncpg.create_pool(items.url, min_size=8, max_size=8) as pool:
        async with over(items, declared(pool)) as manager:
            writers = [asyncio.ensure_future(write(items.url, seed, ends)) for seed in range(8)]
            clients = []
            for number in range(200):
                clients.append(asyncio.ensure_future(Client(manager).follow()))
                if number % 10 == 9:
                    await asyncio.sleep(0.02)

            async def are_many() -> bool:
                return int(await items.sql("SELECT count(*) FROM items")) > 100

            await eventually(are_many, "many rows are written")
            ends.set()
            await asyncio.gather(*writers)
            await have_what_is_there(items, pool, clients)


class PatientClient:
    """A list whose rows cannot always be read."""

    def __init__(self, manager: SubscriptionManager) -> None:
        self.results = manager.subscribe("subscription { items }")
        self.failures = 0

    async def follow(self) -> dict[int, int]:
        """Follow until there are rows, and the last row is among them or came after them."""
        rows: dict[int, int] = {}
        has_all = False
        async with self.results as results:
            while not (has_all and END in rows):
                result = await anext(results)
                if result.errors:
                    self.failures += 1
                    continue
                values = result.data["items"]
                is_change = values[:1] != ["all"]
                if is_change:
                    ((id, version),) = parsed(values)
                    assert not has_all or version == rows.get(id, 0) + 1, (id, version, rows)
                    rows[id] = version
                else:
                    rows, has_all = dict(parsed(values[1:])), True
        return rows


async def test_lists_whose_rows_could_not_be_read_at_first_are_right(items):
    ends, calls = asyncio.Event(), itertools.count()
    async with asyncpg.create_pool(items.url, min_size=8, max_size=8) as pool:

        async def initial() -> Snapshot[list[str]]:
            call = next(calls)
            if call < 60 and call % 3 == 0:
                raise ConnectionError("too many clients already")
            async with pool.acquire() as connection:
                found = await state(connection)
            if call < 60 and call % 3 == 1:
                raise ConnectionError("terminated")
            return Snapshot(["all", *found.value], at=found.at)

        @subscription(channel="items", initial=initial, concurrency=4, name="items")
        async def rows(event: Event) -> list[str]:
            return [f"{event['id']} {event['version']}"]

        async with over(items, rows) as manager:
            writers = [asyncio.ensure_future(write(items.url, seed, ends)) for seed in range(4)]
            clients = [PatientClient(manager) for _ in range(40)]
            following = [asyncio.ensure_future(client.follow()) for client in clients]
            await eventually(
                lambda: sum(client.failures for client in clients) > 10, "some are told of failures"
            )
            ends.set()
            await asyncio.gather(*writers)
            await have_what_is_there(items, pool, following)
            assert all(client.failures <= 1 for client in clients)


async def insert_that_waits(
    items: PostgresServer, pool: asyncpg.Pool, ids: Iterator[int]
) -> asyncio.Future[str]:
    """Insert rows until a commit waits for a standby: a server takes a setting up later."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    while True:
        inserting = asyncio.ensure_future(
            pool.execute(f"INSERT INTO items VALUES ({next(ids)}, 1)")
        )

        async def is_decided(inserting: asyncio.Future[str] = inserting) -> bool:
            return inserting.done() or await items.sql(waiting) == "1"

        await eventually(is_decided, "the commit is done, or waits")
        if not inserting.done():
            return inserting
        await inserting


async def test_a_commit_that_others_do_not_see_yet_is_in_the_initial_value(items):
    """The log has a commit before others see it: here it waits for a standby."""
    async with asyncpg.create_pool(items.url, min_size=2, max_size=2) as pool:
        async with over(items, declared(pool), arrivals) as manager:
            async with manager.subscribe("subscription { arrivals }") as arriving:
                await pool.execute("INSERT INTO items VALUES (1, 1)")
                assert (await anext(arriving)).data == {"arrivals": 1}
                await items.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                await items.sql("SELECT pg_reload_conf()")
                ids = itertools.count(2)
                hangs = await insert_that_waits(items, pool, ids)
                rows = [f"{id} 1" for id in range(1, next(ids))]
                for _ in rows[1:]:
                    await anext(arriving)
                assert await pool.fetchval("SELECT count(*) FROM items") == len(rows) - 1
                results = manager.subscribe("subscription { items }")
                first = asyncio.ensure_future(anext(results))
                await eventually(
                    lambda: manager.metrics().subscriptions == 2, "the subscription has begun"
                )
                assert not hangs.done() and not first.done()
                await items.sql("ALTER SYSTEM RESET synchronous_standby_names")
                await items.sql("SELECT pg_reload_conf()")
                await hangs
                assert (await first).data == {"items": rows}
                await pool.execute("INSERT INTO items VALUES (0, 1)")
                assert (await anext(results)).data == {"items": ["0 1"]}
                await results.aclose()


@subscription(channel="items")
async def arrivals(event: Event) -> int:
    return event["id"]


async def test_an_event_that_arrives_before_the_rows_are_read_and_is_not_in_them_follows(items):
    """The rows of an old transaction lack what was committed since."""
    reads, goes_on = asyncio.Event(), asyncio.Event()
    old = await asyncpg.connect(items.url)

    async def initial() -> Snapshot[list[str]]:
        transaction = old.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        await old.fetch("SELECT 1")
        reads.set()
        await goes_on.wait()
        found = await old.fetch(ITEMS)
        at = await old.fetchval(SNAPSHOT)
        await transaction.commit()
        return Snapshot([f"{id} {version}" for id, version in found], at=at)

    @subscription(channel="items", initial=initial)
    async def rows(event: Event) -> list[str]:
        return [f"{event['id']} {event['version']}"]

    async with over(items, rows, arrivals) as manager:
        async with manager.subscribe("subscription { arrivals }") as arriving:
            await items.sql("INSERT INTO items VALUES (1, 1)")
            await anext(arriving)
            results = manager.subscribe("subscription { rows }", extensions=BEGIN)
            first = asyncio.ensure_future(anext(results))
            await asyncio.wait_for(reads.wait(), PATIENCE)
            await items.sql("UPDATE items SET version = 2")
            await anext(arriving)
            goes_on.set()
            told = await first
            if told.data is None:
                told = await anext(results)
            assert told.data == {"rows": ["1 1"]}
            assert (await anext(results)).data == {"rows": ["1 2"]}
            # The id of the initial value is that of the last event that it contains.
            id = told.extensions["resume"]["id"]
            async with manager.subscribe("subscription { rows }", extensions=after(id)) as again:
                assert (await anext(again)).data == {"rows": ["1 2"]}
            await results.aclose()
    await old.close()


async def test_pages_of_one_snapshot_and_events_of_a_publisher(postgres):
    """The values are of one transaction, the events are those that SQL publishes."""
    await postgres.sql("CREATE TABLE notes (id int PRIMARY KEY)")
    add = "BEGIN; INSERT INTO notes VALUES ({0}); " + publish("feed", "{0}") + " COMMIT"
    paged = asyncio.Event()

    async def initial() -> AsyncIterator[Snapshot[int]]:
        connection = await asyncpg.connect(postgres.url)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            at = await connection.fetchval(SNAPSHOT)
            for (id,) in await connection.fetch("SELECT id FROM notes ORDER BY id"):
                yield Snapshot(id, at=at)
                await paged.wait()
        await connection.close()

    @subscription(channel="feed", initial=initial)
    async def notes(event: Event) -> int:
        return event.data

    for id in (1, 2):
        await postgres.sql(add.format(id))
    async with SubscriptionManager([notes], bus=postgres.url) as manager:
        async with manager.subscribe("subscription { notes }") as results:
            assert (await anext(results)).data == {"notes": 1}
            await postgres.sql(add.format(3))
            paged.set()
            assert await take(results, 2) == [2, 3]
            await postgres.sql(add.format(4))
            assert await take(results, 1) == [4]


async def test_values_of_different_snapshots_are_refused(postgres):
    async def initial() -> AsyncIterator[Snapshot[int]]:
        yield Snapshot(1, at="10:10:")
        yield Snapshot(2, at="10:11:")

    @subscription(channel="feed", initial=initial)
    async def feed(event: Event) -> int:
        return event.data

    async with SubscriptionManager([feed], bus=postgres.url) as manager:
        async with manager.subscribe("subscription { feed }") as results:
            assert (await anext(results)).data == {"feed": 1}
            assert (await anext(results)).errors


async def test_an_engine_without_transactions_refuses_a_snapshot(caplog):
    @subscription(channel="feed", initial=lambda: Snapshot(1, at="10:10:"))
    async def feed(event: Event) -> int:
        return event.data

    async with SubscriptionManager([feed]) as manager:
        async with manager.subscribe("subscription { feed }") as results:
            assert (await anext(results)).errors
            assert "have no transactions" in caplog.text
            await manager.publish("feed", 2)
            assert await take(results, 1) == [2]


async def test_a_resolver_of_events_returns_no_snapshot(postgres, caplog):
    @subscription(channel="feed")
    async def feed(event: Event) -> int:
        return Snapshot(1, at="10:10:")  # type: ignore[return-value]

    async with SubscriptionManager([feed], bus=postgres.url) as manager:
        async with manager.subscribe("subscription { feed }") as results:
            await manager.publish("feed", 2)
            assert (await anext(results)).errors
            assert "`initial` alone" in caplog.text


@pytest.mark.parametrize("at", ["", "7", "1:2", "2:1:", "1:3:2,1", "a:b:c", "1:1:1"])
def test_a_text_that_is_no_snapshot_is_refused(at):
    with pytest.raises(ValueError, match="pg_current_snapshot"):
        Snapshot([], at=at)
