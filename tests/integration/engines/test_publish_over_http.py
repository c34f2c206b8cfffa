"""`POST /publish` with Redis: events reach the clients of every node, and failures are told."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from declared import node
from nodes import managers, take
from support import PATIENCE, eventually
from support.publishing import KEY, post
from support.redis_server import RedisServer

from fraiseql_subs import Limits

FEED = "subscription { feed }"


async def test_an_event_reaches_the_clients_of_another_node(redis: RedisServer):
    async with (
        managers(redis.url) as (a, b),
        a.serve(port=0, publish_key=KEY) as server,
        b.subscribe(FEED) as results,
    ):
        first = await post(server.publish_url, {"channel": "feed", "data": 1, "event_id": "one"})
        again = await post(server.publish_url, {"channel": "feed", "data": 1, "event_id": "one"})
        assert first.status_code == 200 and first.json() == again.json()
        second = await b.publish("feed", 2)
        assert await take(results, 2) == [1, 2]
        assert first.json()["position"].rpartition("-")[0] == second.position.rpartition("-")[0]


async def test_redis_that_is_away_is_told_with_what_is_known(redis: RedisServer):
    manager = node(redis.url, publish_timeout=0.3)
    async with manager.serve(port=0, publish_key=KEY) as server:
        event = {"channel": "feed", "data": 1}
        assert (await post(server.publish_url, event)).status_code == 200
        await redis.kill()
        await eventually(lambda: manager.metrics().bus_is_live == 0, "the node has noticed")
        one = await post(server.publish_url, event)
        assert one.status_code == 503 and one.headers["retry-after"] == "1"
        assert one.json()["retryable"] is True and one.json()["outcome"] == "not_sent"
        several = await post(server.publish_url, [event, event])
        assert several.status_code == 503
        assert [told["outcome"] for told in several.json()] == ["not_sent", "not_sent"]


async def test_each_event_of_a_list_has_its_own_answer(redis: RedisServer):
    """One channel may not be published to; the others may."""
    user = "on >s3cret ~fs1:* -@all +@all resetchannels &fs1:{*}:c:feed* &fs1:{*}:p:*"
    assert await redis.command("ACL", "SETUSER", "bus", *user.split()) == "OK"
    manager = node(redis.url.replace("://", "://bus:s3cret@"), publish_timeout=2)
    async with manager.serve(port=0, publish_key=KEY) as server:
        events = [{"channel": channel, "data": 1} for channel in ("feed", "orders", "feed")]
        response = await post(server.publish_url, events)
        told = response.json()
        assert response.status_code == 502, told
        assert [("error" in each) for each in told] == [False, True, False]
        assert told[1]["retryable"] is False and told[1]["outcome"] == "not_sent"
        assert [told[0]["offset"], told[2]["offset"]] == [1, 2]


async def test_a_queued_event_has_no_position_yet(redis: RedisServer):
    manager = node(redis.url, on_unavailable="queue")
    async with manager.serve(port=0, publish_key=KEY) as server:
        response = await post(server.publish_url, {"channel": "feed", "data": 1})
        assert response.status_code == 202
        assert response.json()["position"] is None and response.json()["offset"] == 0


@pytest.mark.parametrize("size", [1 << 20, 3 << 20])
async def test_an_event_that_is_too_large_for_the_engine_is_told(redis: RedisServer, size):
    manager = node(redis.url, limits=Limits(max_message_bytes=8 << 20))
    async with manager.serve(port=0, publish_key=KEY) as server:
        small = {"channel": "feed", "data": 1}
        response = await post(server.publish_url, [small, {"channel": "feed", "data": "x" * size}])
        assert response.status_code == 413 and "events[1]: " in response.json()["error"]
        alone = await post(server.publish_url, {"channel": "feed", "data": "x" * size})
        assert alone.status_code == 413 and "the event: " in alone.json()["error"]
        named = {"channel": "feed", "data": 1, "event_id": "x" * 255}
        long = await post(server.publish_url, named)
        assert long.status_code == 400 and "254" in long.json()["error"]
        listed = await post(server.publish_url, [small, small, named])
        assert listed.status_code == 400
        assert "Invalid request: events[2]: `id` has 255 bytes" in listed.json()["error"]
        assert (await post(server.publish_url, small)).json()["offset"] == 1


async def test_a_drain_waits_for_the_answer_of_redis(redis: RedisServer):
    manager = node(redis.url, publish_timeout=30)
    async with manager.serve(port=0, publish_key=KEY, drain=30) as server:
        event = {"channel": "feed", "data": 1}
        await post(server.publish_url, event)
        redis.pause()
        waiting = asyncio.ensure_future(post(server.publish_url, event))
        in_flight = manager.metrics
        await eventually(lambda: in_flight().bus_queue_events >= 1, "the event waits for Redis")
        url, health = server.publish_url, server.http_url.replace("/graphql", "/health/ready")

        async def resume() -> None:
            async def is_draining() -> bool:
                async with httpx.AsyncClient(timeout=PATIENCE) as client:
                    return (await client.get(health)).status_code == 503

            await eventually(is_draining, "the server drains")
            refused = await post(url, event)
            assert refused.status_code == 503 and "shutting down" in refused.json()["error"]
            assert not waiting.done()
            redis.resume()

        resuming = asyncio.ensure_future(resume())
    await resuming
    response = await waiting
    assert response.status_code == 200 and response.json()["offset"] == 2
