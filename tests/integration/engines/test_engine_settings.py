"""Engines that cannot work as configured: the error says what to do, and shows no secret."""

from __future__ import annotations

import asyncio
import logging

import pytest
from declared import feed, node
from nodes import managers, take
from support import PATIENCE, eventually
from support.listening import listening
from support.redis_server import RedisServer

from fraiseql_subs import BusError, ConfigurationError, History, PublishError, SubscriptionManager

SECRET = "s3cret"

WRONG = [
    ("redis", "no URL"),
    (f"redis:{SECRET}@host", "no URL"),
    (f"{SECRET}", "no URL"),
    ("memory://redis", "memory://"),
    (f"postgres://:{SECRET}@host", "database"),
    (f"user:{SECRET}@redis://host", ""),
    (f"Redis://:{SECRET}@host", "redis://"),
    (f"redis//:{SECRET}@host", "no URL"),
    ("redis://", "host"),
    (f"redis://:{SECRET}@", "host"),
    (f"redis://:{SECRET}@host:port", "host"),
    (f"redis://:{SECRET}@host:0", "host"),
    (f"redis://:{SECRET}@host:65536", "host"),
    (f"redis://:{SECRET}@[::1", "host"),
    (f"redis://{SECRET}@host", "user:password@host"),
    (f"redis://:{SECRET}#x@host", "%23"),
    (f"redis://:{SECRET}/x@host", "host"),
    (f"redis://:x?{SECRET}@host", ""),
    (f"redis://:{SECRET}@host/{SECRET}", "database"),
    (f"redis://:{SECRET}@host/-1", "database"),
    (f"redis://:{SECRET}@host,other", "redis+cluster://"),
    (f"redis://:{SECRET}@host?{SECRET}=1", "option"),
    (f"redis://:{SECRET}@host?history={SECRET}", "on or off"),
    (f"redis://:{SECRET}@host?partitions={SECRET}", "power of two"),
    (f"redis://:{SECRET}@host?partitions=3", "power of two"),
    (f"redis://:{SECRET}@host?partitions=2048", "1024"),
    (f"redis://:{SECRET}@host?partitions=16&partitions=32", "partitions twice"),
    (f"redis://:{SECRET}@host/1?db=2", "db twice"),
    (f"redis://:{SECRET}@host?prefix=", "prefix"),
    (f"redis://:{SECRET}@host?prefix=a:b", "prefix"),
    (f"redis://:{SECRET}@host?tls_ca=x", "rediss://"),
    (f"rediss://:{SECRET}@host?tls_key=x", "tls_certificate"),
    (f"redis+sentinel://:{SECRET}@host", "master"),
    (f"redis+unix://:{SECRET}@host/path", "redis+unix:///"),
    (f"redis+cluster://:{SECRET}@one,two/1", "database 0"),
    (f"redis+cluster://:{SECRET}@one,", "host"),
]


@pytest.mark.parametrize(("url", "remedy"), WRONG)
def test_a_url_that_is_wrong_is_refused_where_it_is_written(url, remedy):
    with pytest.raises(ConfigurationError) as refused:
        SubscriptionManager([feed], bus=url)
    assert remedy in str(refused.value)
    assert "bus" in str(refused.value)
    assert SECRET not in str(refused.value) and SECRET not in repr(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/",
        "redis://localhost:6379/3",
        "redis://[::1]:6379",
        "redis://:p%40ss@localhost?prefix=mine&partitions=16&history=off",
        "rediss://user:password@redis.example:6380",
        "redis+unix:///run/redis.sock?db=1",
        "redis+sentinel://one,two:26380/mymaster?sentinel_password=x",
        "redis+cluster://one,two:7001?partitions=256",
        "rediss+cluster://user:password@one:6380",
    ],
)
def test_a_url_of_every_form_is_taken(url):
    assert "feed" in SubscriptionManager([feed], bus=url).sdl()


def test_a_history_that_the_engine_cannot_keep_is_refused():
    with pytest.raises(ConfigurationError, match="history"):
        SubscriptionManager([feed], bus="redis://localhost", history=History(seconds=0.5))


async def test_a_password_opens_redis(tmp_path):
    async with RedisServer(tmp_path, {"requirepass": "p@ss:/?#%"}) as redis:
        url = redis.url.replace("://", "://:p%40ss%3A%2F%3F%23%25@")
        async with managers(url) as (a, b), b.subscribe("subscription { feed }") as results:
            await a.publish("feed", 1)
            assert await take(results, 1) == [1]


@pytest.mark.parametrize("user", [f":{SECRET}@", f"nobody:{SECRET}@", ""])
async def test_a_wrong_password_is_told_and_not_shown(user, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with RedisServer(tmp_path, {"requirepass": "another"}) as redis:
        async with node(redis.url.replace("://", f"://{user}"), publish_timeout=0.3) as manager:
            with pytest.raises(PublishError) as failed:
                await manager.publish("feed", 1)
            assert SECRET not in str(failed.value)
            await eventually(lambda: "password" in caplog.text, "the log says what is wrong")
    assert SECRET not in caplog.text and "another" not in caplog.text


async def test_nodes_with_different_partitions_are_told(redis, caplog):
    async with node(f"{redis.url}?partitions=64") as a:
        await a.publish("feed", 1)
        async with node(f"{redis.url}?partitions=32", publish_timeout=0.3) as b:
            with pytest.raises(PublishError):
                await b.publish("feed", 2)
            await eventually(lambda: "partitions" in caplog.text, "the log says what is wrong")
        # The first manager runs on.
        assert (await a.publish("feed", 3)).offset == 2


async def test_what_is_no_redis_is_told(caplog):
    """Such as the port of a web server."""

    async def answer(reader, writer) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(answer) as port:
        async with node(f"redis://127.0.0.1:{port}", publish_timeout=0.3) as manager:
            with pytest.raises((PublishError, BusError)):
                await asyncio.wait_for(manager.publish("feed", 1), PATIENCE)
            await eventually(lambda: str(port) in caplog.text or "Redis" in caplog.text, "a record")


async def test_a_socket_of_unix_is_an_engine_too(tmp_path):
    path = tmp_path / "redis.sock"
    async with RedisServer(tmp_path, {"unixsocket": str(path)}):
        url = f"redis+unix://{path}"
        async with managers(url) as (a, b), b.subscribe("subscription { feed }") as results:
            await a.publish("feed", 1)
            assert await take(results, 1) == [1]


async def test_databases_of_one_server_share_no_history(redis):
    async with node(f"{redis.url}/1") as one, node(f"{redis.url}/2") as two:
        assert (await one.publish("feed", 1)).offset == 1
        assert (await two.publish("feed", 1)).offset == 1


async def test_databases_of_one_server_share_no_events(redis):
    """Channels of Redis know no databases."""
    async with node(f"{redis.url}/1") as one, node(f"{redis.url}/2") as two:
        async with two.subscribe("subscription { feed }") as results:
            await one.publish("feed", 1)
            await two.publish("feed", 2)
            assert await take(results, 1) == [2]
