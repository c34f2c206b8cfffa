"""`publish_json` over an engine: the text arrives on other nodes, from managers and publishers."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest
from declared import node
from nodes import managers, take

from fraiseql_subs import Publisher, PublishError, SyncPublisher

FEED = "subscription { feed }"


async def test_a_text_arrives_on_another_node(redis):
    async with managers(redis.url) as (a, b), b.subscribe(FEED) as results:
        receipt = await a.publish_json("feed", "1", event_id="mine")
        assert receipt.event_id == "mine" and receipt.position is not None
        await a.publish_many([{"channel": "feed", "json": b"2"}, ("feed", 3)])
        assert await take(results, 3) == [1, 2, 3]


async def test_publishers_send_a_text(redis):
    async with managers(redis.url) as (a, _), a.subscribe(FEED) as results:
        async with Publisher(redis.url) as publisher:
            await publisher.publish_json("feed", bytearray(b" 1 "))
            await publisher.publish_many([{"channel": "feed", "json": "2"}])
            with pytest.raises(PublishError, match=r"^json: it is not JSON"):
                await publisher.publish_json("feed", b"{")
        with SyncPublisher(redis.url) as sync:
            await asyncio.to_thread(sync.publish_json, "feed", b"3")
        assert await take(results, 3) == [1, 2, 3]


async def test_an_event_of_a_transaction_has_the_text(postgres):
    async with node(postgres.url) as manager, manager.subscribe(FEED) as results:
        async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
            await manager.publish_json("feed", "1", connection=connection)
            async with Publisher(postgres.url) as publisher:
                await publisher.publish_json("feed", "2", connection=connection)
                with pytest.raises(PublishError, match=r"^json: "):
                    await publisher.publish_json("feed", "x", connection=connection)
        assert await take(results, 2) == [1, 2]

        def write() -> None:
            with psycopg.connect(postgres.url) as blocking, SyncPublisher(postgres.url) as sync:
                sync.publish_json("feed", json.dumps(3), connection=blocking)

        await asyncio.to_thread(write)
        assert await take(results, 1) == [3]
