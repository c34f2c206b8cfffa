"""Clients that leave a node for another one that reads the same log of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from declared import node
from nodes import KINDS, take, two
from returning import BEGIN, after, begin, numbers, query, told_missed
from support import eventually
from support.postgres_server import PostgresServer

from fraiseql_subs import Event, Postgres, SubscriptionManager, Table, subscription

FEED = "subscription { feed }"
OTHER = 'subscription { anyChannel(channel: "other") }'


def publish(number: int) -> str:
    return f"SELECT fraiseql_subs.publish('feed', '{number}')"


@asynccontextmanager
async def reading(server: PostgresServer, **options: Any) -> AsyncIterator[SubscriptionManager]:
    """Run a node that reads the log, without a subscription."""
    before = await readers(server)
    async with node(server.url, **options) as manager:
        await read_by(server, before + 1)
        yield manager


async def readers(server: PostgresServer) -> int:
    return int(await server.sql("SELECT count(*) FROM pg_replication_slots WHERE active"))


async def read_by(server: PostgresServer, count: int) -> None:
    """Wait until so many nodes read the log."""

    async def is_read() -> bool:
        return await readers(server) == count

    await eventually(is_read, f"{count} nodes read the log")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_resumes_at_a_node_where_nobody_had_subscribed(kind, postgres, connect):
    async with two(kind, postgres.url) as (a, b):
        # The second node reads the log: it has delivered something.
        other = await connect(b.url)
        await other.subscribe(OTHER)
        await a.publish(("other", 0))
        await other.receive_data()
        client = await connect(a.url)
        await begin(client)
        await a.publish(("feed", 1))
        seen, id = await numbers(client, 1)
        await client.close()
        for number in range(2, 200):
            if number % 50 == 0:
                await postgres.sql(publish(number))
            else:
                await a.publish(("feed", number))
        again = await connect(b.url)
        await again.subscribe(query("feed"), extensions=after(id))
        seen += (await numbers(again, 198))[0]
        assert seen == list(range(1, 200))
        await b.publish(("feed", 200))
        assert (await numbers(again, 1))[0] == [200]


async def test_a_quiet_channel_is_resumed_without_waiting_for_its_next_event(postgres):
    async with reading(postgres) as a, reading(postgres) as b:
        async with b.subscribe(FEED, extensions=BEGIN) as older:
            await anext(older)
            # The log goes on, and with it the position that the next client is told.
            for number in range(5):
                await a.publish("other", number)
            async with a.subscribe(FEED, extensions=BEGIN) as results:
                id = (await anext(results)).extensions["resume"]["id"]
            async with b.subscribe(FEED, extensions=after(id)) as results:
                first = asyncio.ensure_future(anext(results))
                await eventually(
                    lambda: b.metrics().subscriptions_resumed == 1, "the client resumes"
                )
                await a.publish("feed", 1)
                result = await first
                assert result.data == {"feed": 1}
                assert not result.extensions["resume"].get("missed")
            assert (await anext(older)).data == {"feed": 1}


async def test_rows_that_nobody_had_subscribed_to_are_resumed(postgres):
    await postgres.sql("CREATE TABLE items (id int PRIMARY KEY, owner text)")
    postgres.install("items")

    @subscription(channel="items.{owner}")
    async def items(event: Event, *, owner: str) -> int:
        return event["id"]

    table = Table("items", channel="items.{owner}", events=("insert",))
    bus = Postgres(postgres.url, tables=[table])
    asked = 'subscription { items(owner: "ann") }'
    async with (
        SubscriptionManager([items], bus=bus) as a,
        SubscriptionManager([items], bus=bus) as b,
    ):
        await read_by(postgres, 2)
        async with a.subscribe(asked, extensions=BEGIN) as results:
            await anext(results)
            await postgres.sql("INSERT INTO items VALUES (1, 'ann')")
            id = (await anext(results)).extensions["resume"]["id"]
        await postgres.sql("INSERT INTO items VALUES (2, 'bob'), (3, 'ann'); DELETE FROM items")
        await postgres.sql("INSERT INTO items VALUES (4, 'ann')")
        async with b.subscribe(asked, extensions=after(id)) as results:
            assert await take(results, 2) == [3, 4]


async def test_what_a_node_that_has_just_started_cannot_have_is_missed(postgres, serve, connect):
    async with reading(postgres) as a:
        client = await connect((await serve(a)).url)
        id = await begin(client)
        await a.publish("feed", 1)
        await numbers(client, 1)
        async with reading(postgres) as b:
            again = await connect((await serve(b)).url)
            await again.subscribe(query("feed"), extensions=after(id))
            await told_missed(again)
            await a.publish("feed", 2)
            assert (await numbers(again, 1))[0] == [2]


async def test_without_history_nothing_is_resumed(postgres):
    async with reading(postgres, history=None) as a, reading(postgres) as b:
        async with b.subscribe(FEED, extensions=BEGIN) as results:
            id = (await anext(results)).extensions["resume"]["id"]
        async with a.subscribe(FEED, extensions=after(id)) as results:
            assert (await anext(results)).extensions["resume"]["missed"] is True
