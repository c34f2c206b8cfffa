"""Redis answers with an error while a program connects: what is told, and that it is waited for."""

from __future__ import annotations

import asyncio
import logging

import pytest
from declared import node
from nodes import take
from support import PATIENCE, eventually
from support.publishing import KEY, post
from support.redis_sentinel import RedisSentinel
from support.redis_server import RedisServer
from support.refusing import RefusingProxy

from fraiseql_subs import Publisher, PublishError, Redis, SyncPublisher

FEED = "subscription { feed }"
FULL = "ERR max number of clients reached"

UNKNOWN = [
    (FULL, None),
    ("upstream failure", None),
    ("ERR", None),
    ("NOPROTO unsupported protocol version", None),
    ("DENIED Redis is running in protected mode because x", None),
    ("WHAT is this", "INFO"),
    ("ERR not now", "SELECT"),
    ("ERR not now", "SCRIPT"),
    ("ERR not now", "fs1:layout"),
]


@pytest.mark.parametrize(("error", "command"), UNKNOWN)
async def test_an_error_while_connecting_is_waited_for(redis: RedisServer, error, command):
    async with (
        RefusingProxy(redis.port, error, command) as proxy,
        Publisher(f"{proxy.url}/1", publish_timeout=PATIENCE) as publisher,
    ):
        publishing = asyncio.ensure_future(publisher.publish("feed", 1))
        await eventually(lambda: proxy.refused >= 2, "it has tried again")
        assert not publishing.done()
        proxy.error = None
        assert (await publishing).offset == 1


@pytest.mark.parametrize(("error", "command"), UNKNOWN)
async def test_an_error_while_connecting_can_be_tried_again(redis: RedisServer, error, command):
    async with (
        RefusingProxy(redis.port, error, command) as proxy,
        Publisher(f"{proxy.url}/1", publish_timeout=0.3) as publisher,
    ):
        await eventually(lambda: proxy.refused, "it was refused")
        with pytest.raises(PublishError) as failed:
            await publisher.publish("feed", 1)
        assert failed.value.retryable and failed.value.outcome == "not_sent"
        assert error[:40] in str(failed.value)


async def test_queued_events_are_kept_while_redis_has_too_many_clients(redis: RedisServer):
    async with (
        RefusingProxy(redis.port, FULL) as proxy,
        node(redis.url) as other,
        other.subscribe(FEED) as results,
        Publisher(proxy.url, on_unavailable="queue") as publisher,
    ):
        await publisher.publish("feed", 1)
        await eventually(lambda: proxy.refused >= 2, "it has tried again")
        await publisher.publish("feed", 2)
        proxy.error = None
        assert await take(results, 2) == [1, 2]


async def test_a_post_is_told_to_come_again(redis: RedisServer):
    async with RefusingProxy(redis.port, FULL) as proxy:
        manager = node(proxy.url, publish_timeout=0.3)
        async with manager.serve(port=0, publish_key=KEY) as server:
            event = {"channel": "feed", "data": 1}
            response = await post(server.publish_url, event)
            assert response.status_code == 503 and response.json()["retryable"] is True
            proxy.error = None
            await eventually(lambda: manager.metrics().bus_is_live == 1, "the node is connected")
            assert (await post(server.publish_url, event)).status_code == 200


async def test_a_redis_that_is_full_of_clients_is_waited_for(tmp_path):
    async with RedisServer(tmp_path, {"maxclients": "8"}) as redis:
        held = [await asyncio.open_connection("127.0.0.1", redis.port) for _ in range(8)]
        async with Publisher(redis.url, publish_timeout=0.5) as publisher:
            with pytest.raises(PublishError, match="raise maxclients") as failed:
                await publisher.publish("feed", 1)
            assert failed.value.retryable
        async with Publisher(redis.url, publish_timeout=PATIENCE) as publisher:
            publishing = asyncio.ensure_future(publisher.publish("feed", 1))
            for _, writer in held:
                writer.close()
            await publishing


async def reason(url: str, caplog, bus: Redis | None = None) -> str:
    """Return why a program cannot publish. Its log says it too, and no secret."""
    caplog.set_level(logging.DEBUG)
    async with Publisher(bus or url, publish_timeout=1) as publisher:
        with pytest.raises(PublishError) as failed:
            await publisher.publish("feed", 1)
    assert failed.value.retryable
    for text in (str(failed.value), caplog.text):
        assert "s3cret" not in text
    return str(failed.value)


async def test_what_a_server_says_is_shown_without_its_arguments(redis: RedisServer, caplog):
    error = "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'bus' 's3cret'"
    async with RefusingProxy(redis.port, error) as proxy:
        url = proxy.url.replace("://", "://bus:s3cret@")
        assert "ERR unknown command 'HELLO')" in await reason(url, caplog)
        proxy.error = "WRONG \x1b[31mfor bus by s3cret " + "x" * 1000
        told = await reason(url, caplog)
        assert "WRONG [31mfor *** by *** xxx" in told and len(told) < 500


@pytest.mark.alone
async def test_a_database_that_redis_does_not_have(redis: RedisServer, caplog):
    assert "no database of this number" in await reason(f"{redis.url}/99", caplog)
    assert "correct its configuration" in caplog.text


async def test_a_command_that_was_renamed(tmp_path, caplog):
    settings = tmp_path / "more.conf"
    settings.write_text('rename-command EVALSHA ""')
    async with RedisServer(tmp_path, {"include": str(settings)}) as redis:
        assert "'EVALSHA'" in await reason(redis.url, caplog)


async def test_the_scheme_is_for_another_kind_of_server(tmp_path, caplog):
    folder = tmp_path / "sentinel"
    folder.mkdir()
    async with RedisServer(tmp_path) as redis, RedisSentinel(folder, redis.port) as sentinel:
        told = await reason(sentinel.url, caplog)
        assert "a sentinel answers: write redis+sentinel://" in told
        assert "redis+sentinel://" in await reason(f"{sentinel.url}/1", caplog)
        host = f"127.0.0.1:{redis.port}"
        told = await reason(f"redis+sentinel://{host}/mymaster", caplog)
        assert f"{host} is no sentinel: write redis://" in told
        told = await reason(f"redis+cluster://127.0.0.1:{sentinel.port}", caplog)
        assert "if it is a sentinel, write redis+sentinel://" in told


@pytest.mark.parametrize("query", ["", "?sentinel_password=s3cret"])
async def test_a_wrong_password_of_the_sentinels(tmp_path, caplog, query):
    folder = tmp_path / "sentinel"
    folder.mkdir()
    async with (
        RedisServer(tmp_path) as redis,
        RedisSentinel(folder, redis.port, settings=("requirepass sesame",)) as sentinel,
    ):
        host = f"127.0.0.1:{sentinel.port}"
        told = await reason(f"redis+sentinel://{host}/mymaster{query}", caplog)
        assert f"the sentinel {host} refuses the password: set sentinel_password" in told


@pytest.mark.alone
async def test_only_channels_of_nodes_that_are_refused_are_told_as_such(tmp_path, caplog):
    async with RedisServer(tmp_path, {"requirepass": "another"}) as redis:
        async with node(redis.url.replace("://", "://:s3cret@")):
            await eventually(lambda: "correct its configuration" in caplog.text, "it is told")
        url = redis.url.replace("://", "://:another@")
        async with node(url) as one:
            # The first node decides how many partitions there are.
            await eventually(lambda: one.metrics().bus_is_live == 1, "the first node is live")
            async with node(f"{url}?partitions=8"):
                await eventually(lambda: "partitions=8" in caplog.text, "it is told")
                assert one.metrics().bus_is_live == 1
        assert "exchange messages" not in caplog.text
        rules = "on >words ~* +@all resetchannels &fs1:{*}:c:* &fs1:{*}:p:*"
        login = ["--no-auth-warning", "-a", "another"]
        assert await redis.command(*login, "ACL", "SETUSER", "bus", *rules.split()) == "OK"
        async with node(redis.url.replace("://", "://bus:words@")):
            told = "nodes cannot exchange messages"
            await eventually(lambda: told in caplog.text, "the node says it")


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_program_without_clients_is_not_told_of_clients(caplog, kind):
    caplog.set_level(logging.INFO)
    url = "redis://127.0.0.1:1"
    if kind == "async":
        async with Publisher(url, publish_timeout=1) as publisher:
            with pytest.raises(PublishError):
                await publisher.publish("feed", 1)
    else:
        with SyncPublisher(url, publish_timeout=1) as sync, pytest.raises(PublishError):
            sync.publish("feed", 1)
    assert "cannot publish events" in caplog.text
    assert "clients" not in caplog.text


@pytest.mark.parametrize("kind", ["text", "function"])
@pytest.mark.parametrize("at", ["bus@", "bus:wrong@", ":wrong@", "other@", "other:wrong@"])
async def test_arguments_are_used_in_place_of_what_the_url_says(tmp_path, at, kind):
    async with RedisServer(tmp_path) as redis:
        rules = "on >s3cret ~* &* +@all"
        assert await redis.command("ACL", "SETUSER", "bus", *rules.split()) == "OK"
        assert await redis.command("ACL", "SETUSER", "default", "off") == "OK"
        user = None if at.startswith("bus") else "bus"
        password = "s3cret" if kind == "text" else (lambda: "s3cret")
        bus = Redis(redis.url.replace("://", f"://{at}"), username=user, password=password)
        async with Publisher(bus) as publisher:
            assert (await publisher.publish("feed", 1)).offset == 1


async def test_a_user_is_used_with_the_password_of_the_url(tmp_path):
    async with RedisServer(tmp_path) as redis:
        rules = "on >s3cret ~* &* +@all"
        assert await redis.command("ACL", "SETUSER", "bus", *rules.split()) == "OK"
        bus = Redis(redis.url.replace("://", "://other:s3cret@"), username="bus")
        async with Publisher(bus) as publisher:
            assert (await publisher.publish("feed", 1)).offset == 1
