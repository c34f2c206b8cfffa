"""PostgreSQL as a source: one node reads it, and the clients of all nodes receive its events."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from declared import node
from nodes import take
from open_transactions import asyncpg_connection
from returning import BEGIN, after
from support import eventually
from support.postgres_server import PostgresServer

from fraiseql_subs import (
    ConfigurationError,
    Event,
    Postgres,
    Redis,
    SubscriptionManager,
    Table,
    subscription,
)
from fraiseql_subs._core import postgres_execute, postgres_uninstall_sql

FEED = "subscription { feed }"
SLOT = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'fraiseql_subs' AND NOT active"


def publish(number: int) -> str:
    """Return the SQL that publishes an event."""
    return f"SELECT fraiseql_subs.publish('feed', '{number}');"


@contextlib.asynccontextmanager
async def nodes(redis: Any, postgres: PostgresServer, count: int = 2, **options: Any) -> Any:
    """Run nodes of a Redis with a source, of which one reads."""
    async with contextlib.AsyncExitStack() as stack:
        sources = [Postgres(postgres.url, **options)]
        made = [node(redis.url, sources=sources) for _ in range(count)]
        started = [await stack.enter_async_context(manager) for manager in made]
        await eventually(lambda: reader(started) is not None, "one node reads")
        yield started


def reader(managers: list[SubscriptionManager]) -> SubscriptionManager | None:
    """Return the node that reads, when all know of it."""
    metrics = [manager.metrics() for manager in managers]
    if not all(each.source_is_live for each in metrics):
        return None
    reading = [manager for manager in managers if manager.metrics().source_reads]
    return reading[0] if len(reading) == 1 else None


async def test_events_of_sql_reach_the_clients_of_all_nodes_in_one_order(redis, postgres):
    async with nodes(redis, postgres) as (a, b), a.subscribe(FEED) as one, b.subscribe(FEED) as two:
        for number in range(0, 20, 2):
            await postgres.sql(publish(number))
            assert await take(one, 1) == [number]
            await a.publish("feed", number + 1)
            assert await take(one, 1) == [number + 1]
        assert await take(two, 20) == list(range(20))
        await postgres.sql(f"BEGIN; {publish(50)} ROLLBACK")
        await postgres.sql(f"BEGIN; {publish(51)} {publish(52)} COMMIT")
        assert await take(two, 2) == [51, 52]
        # An event is counted when the bus has confirmed it, which clients may see before.
        await eventually(
            lambda: sum(each.metrics().source_events for each in (a, b)) == 12,
            "all events of the source are counted",
        )


async def test_another_node_reads_when_one_ends(redis, postgres):
    async with nodes(redis, postgres, 3) as managers:
        first = reader(managers)
        others = [manager for manager in managers if manager is not first]
        async with others[0].subscribe(FEED) as results:
            await postgres.sql(publish(1))
            assert await take(results, 1) == [1]
            await first.close()
            await postgres.sql(publish(2))
            assert await take(results, 1) == [2]
            assert reader(others) is not None


async def test_a_client_resumes_on_another_node(redis, postgres):
    async with nodes(redis, postgres) as (a, b):
        async with a.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            await postgres.sql(publish(1))
            seen = (await anext(results)).extensions["resume"]["id"]
        await postgres.sql(publish(2))
        async with b.subscribe(FEED, extensions=after(seen)) as results:
            assert await take(results, 1) == [2]


@subscription(channel="items")
async def item(event: Event) -> str:
    return f"{event.event_type} {event['id']} {event.id is not None}"


async def test_changes_of_tables_are_events(redis, postgres):
    await postgres.sql("CREATE TABLE items (id int PRIMARY KEY)")
    postgres.install("items")
    source = Postgres(postgres.url, tables=[Table("items", channel="items")])
    async with SubscriptionManager([item], bus=redis.url, sources=[source]) as manager:
        await eventually(lambda: manager.metrics().source_reads, "the node reads")
        async with manager.subscribe("subscription { item }") as results:
            await postgres.sql("INSERT INTO items VALUES (1); DELETE FROM items")
            assert await take(results, 2) == ["INSERT 1 True", "DELETE 1 True"]


async def test_an_event_is_published_in_a_transaction_of_the_application(redis, postgres):
    async with nodes(redis, postgres) as (a, b), b.subscribe(FEED) as results:
        async with asyncpg_connection(postgres.url) as transaction:
            receipt = await a.publish("feed", 1, connection=transaction.connection)
            assert receipt.position is None
            await transaction.rollback()
        async with asyncpg_connection(postgres.url) as transaction:
            await a.publish("feed", 2, connection=transaction.connection)
            await transaction.commit()
        assert await take(results, 1) == [2]


async def told(results: Any) -> dict[str, Any]:
    """Return the `resume` extension of the next result."""
    return (await asyncio.wait_for(anext(results), 60)).extensions["resume"]


async def test_a_slot_that_was_dropped_is_told_to_all_also_to_those_who_return(redis, postgres):
    async with nodes(redis, postgres) as (a, b), contextlib.AsyncExitStack() as stack:
        both = [
            await stack.enter_async_context(each.subscribe(FEED, extensions=BEGIN))
            for each in (a, b)
        ]
        for results in both:
            await told(results)
        await postgres.sql(publish(1))
        places = [(await told(results))["id"] for results in both]
        assert places[0] == places[1]

        async def is_dropped() -> bool:
            # The node that reads takes it again at once.
            await postgres.sql(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active"
            )
            with contextlib.suppress(AssertionError):
                await postgres.sql("SELECT pg_drop_replication_slot('fraiseql_subs')")
                return True
            return False

        await eventually(is_dropped, "the slot is dropped")
        for results in both:
            assert (await told(results))["missed"] is True
        await eventually(lambda: reader([a, b]) is not None, "one node reads")
        await postgres.sql(publish(2))
        for results in both:
            place = await told(results)
            assert not place.get("missed")
        # A client that was away when it happened, on either node.
        for each in (a, b):
            async with each.subscribe(FEED, extensions=after(places[0])) as results:
                assert (await told(results))["missed"] is True
        assert sum(each.metrics().source_losses for each in (a, b)) == 1


async def test_a_node_that_starts_after_a_loss_tells_those_who_return_from_before(redis, postgres):
    async with nodes(redis, postgres, 1) as (a,):
        async with a.subscribe(FEED, extensions=BEGIN) as results:
            await told(results)
            await postgres.sql(publish(1))
            before = (await told(results))["id"]
    await eventually(lambda: slot_is_free(postgres), "the slot is free")
    await postgres.sql("SELECT pg_drop_replication_slot('fraiseql_subs')")
    await postgres.sql(publish(2))
    async with nodes(redis, postgres, 2) as (a, b):
        for each in (a, b):
            async with each.subscribe(FEED, extensions=after(before)) as results:
                assert (await told(results))["missed"] is True


async def slot_is_free(postgres: PostgresServer) -> bool:
    return await postgres.sql(SLOT) == "1"


async def test_uninstalling_drops_the_slots(redis, postgres):
    async with nodes(redis, postgres, 1, slot="mine"):
        failure, _ = postgres_execute(postgres.url, postgres_uninstall_sql(["mine"]))
        assert failure is not None and "is active" in failure
        assert await postgres.sql("SELECT fraiseql_subs.form()") == "log"

    async def is_removed() -> bool:
        return postgres_execute(postgres.url, postgres_uninstall_sql(["mine"]))[0] is None

    await eventually(is_removed, "the slot is free, and dropped")
    assert await postgres.sql("SELECT count(*) FROM pg_replication_slots") == "0"


SOURCE = Postgres("postgresql://me@127.0.0.1/shop")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sources": [SOURCE]}, "sources: the bus is memory://.*redis://127.0.0.1"),
        ({"bus": SOURCE, "sources": [SOURCE]}, "sources: the bus is PostgreSQL.*pass tables="),
        (
            {"bus": "redis://127.0.0.1", "history": None, "sources": [SOURCE]},
            "sources: the bus keeps no history.*history=None",
        ),
        (
            {"bus": "nats://127.0.0.1?history=off", "sources": [SOURCE]},
            "sources: the bus keeps no history",
        ),
        ({"bus": "redis://127.0.0.1", "sources": [SOURCE, SOURCE]}, "the same URL and slot twice"),
        ({"bus": "redis://127.0.0.1", "sources": SOURCE}, "pass a list of Postgres"),
        (
            {"bus": "redis://127.0.0.1", "sources": [SOURCE, Redis("redis://h")]},
            r"sources\[1\] is 'Redis': pass Postgres",
        ),
        (
            {"bus": "redis://127.0.0.1", "sources": ["postgresql://me:s3cret@h/shop"]},
            r"sources\[0\] is 'str': pass Postgres",
        ),
        ({"bus": Postgres(SOURCE.url, slot="mine")}, "Postgres.slot.*sources= have one"),
    ],
)
def test_what_cannot_be_a_source_is_refused(options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        node(**{"bus": "memory://", **options})


@pytest.mark.parametrize("slot", ["", "Mine", "a-b", "x" * 49])
def test_a_name_that_no_slot_can_have_is_refused(slot):
    with pytest.raises(ConfigurationError, match=r"^Postgres.*slot"):
        Postgres(SOURCE.url, slot=slot)


async def test_a_node_whose_source_cannot_be_read_is_ready_and_a_metric_tells(redis, postgres):
    await postgres.sql("CREATE ROLE nobody LOGIN")
    source = Postgres(postgres.url_of("nobody"))
    async with node(redis.url, sources=[source]) as manager:
        await eventually(lambda: manager.is_ready(bus=True), "the bus is there")
        assert manager.metrics().source_is_live == 0
        async with manager.subscribe(FEED) as results:
            await manager.publish("feed", 1)
            assert await take(results, 1) == [1]
        assert manager.is_ready(bus=True)
        assert manager.metrics().source_is_live == 0
