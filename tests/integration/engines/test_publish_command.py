"""`fraiseql-subs publish`: publishes from a shell, to Redis or to a server."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE

import pytest
from declared import node
from nodes import take
from publishing_command import publish, start
from support import PATIENCE
from support.certificates import Credentials
from support.publishing import KEY
from support.redis_server import RedisServer, free_port

from fraiseql_subs import Identity, Limits, Security, TenantIsolation

FEED = "subscription { feed }"


async def test_an_event_is_published_to_redis(redis: RedisServer):
    async with node(redis.url) as manager, manager.subscribe(FEED) as results:
        status, lines, err = await publish("feed", "7", "--to", redis.url)
        assert (status, err) == (0, "")
        assert len(lines) == 1 and "is published at" in lines[0] and lines[0].endswith("-1")
        again = await publish(
            "feed", "-", "--json", stdin=b" 8 ", FRAISEQL_SUBS_PUBLISH_TO=redis.url
        )
        assert again[0] == 0
        told = json.loads(again[1][0])
        assert told["offset"] == 2 and told["position"].endswith("-2")
        assert await take(results, 2) == [7, 8]


async def test_an_event_has_type_id_and_tenant(redis: RedisServer):
    manager = node(redis.url, security=Security(tenant=TenantIsolation()))
    acme = Identity(user_id="1", tenant_id="acme")
    async with manager, manager.subscribe("subscription { envelope }", identity=acme) as results:
        options = ["--event-type", "paid", "--event-id", "p-7", "--tenant", "acme"]
        for _ in range(2):
            status, lines, _ = await publish("envelopes", "{}", *options, "--to", redis.url)
            assert status == 0 and lines[0].startswith("p-7 is published at")
        data = '{"tenant_id": "acme"}'
        assert (await publish("envelopes", data, "--isolated", "--to", redis.url))[0] == 0
        first, second = await take(results, 2)
        assert first == ["p-7", "paid", "acme", "1", "envelopes"]
        assert second[2:4] == ["acme", "2"]


async def test_each_line_of_stdin_is_an_event(redis: RedisServer):
    count = 5_000
    async with node(redis.url) as manager, manager.subscribe(FEED) as results:
        lines = b"\n".join(b"%d" % number for number in range(count))
        status, out, err = await publish(
            "feed", "-", "--lines", "--json", "--to", redis.url, stdin=b"\n" + lines
        )
        assert (status, err) == (0, "")
        assert [json.loads(line)["offset"] for line in out] == list(range(1, count + 1))
        assert json.loads(out[0])["line"] == 2
        assert await take(results, count) == list(range(count))


async def test_a_line_is_published_as_soon_as_it_is_there(redis: RedisServer):
    async with node(redis.url) as manager, manager.subscribe(FEED) as results:
        process = await start("feed", "-", "--lines", "--to", redis.url)
        assert process.stdin is not None and process.stdout is not None
        for number in range(3):
            process.stdin.write(b"%d\n" % number)
            await process.stdin.drain()
            assert await take(results, 1) == [number]
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
            assert b"is published at" in line
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 130
        assert err.decode().strip() == "stopped: 3 events were published"


async def test_a_line_that_is_no_json_ends_it_behind_those_before(redis: RedisServer):
    async with node(redis.url) as manager, manager.subscribe(FEED) as results:
        status, out, err = await publish(
            "feed", "-", "--lines", "--to", redis.url, stdin=b"1\n2\n{\n4\n"
        )
        assert status == 1 and len(out) == 2
        assert "line 3: it is not JSON" in err
        await manager.publish("feed", 5)
        assert await take(results, 3) == [1, 2, 5]


@pytest.mark.parametrize("lines", [False, True])
async def test_events_are_published_by_a_server(lines):
    manager = node("memory://", limits=Limits(max_message_bytes=200_000))
    async with (
        manager.serve(port=0, publish_key=KEY) as server,
        manager.subscribe(FEED) as results,
    ):
        options = ["--to", server.publish_url]
        if lines:
            stdin = b"".join(b"%d\n" % number for number in range(2000))
            status, out, err = await publish(
                "feed", "-", "--lines", *options, stdin=stdin, FRAISEQL_SUBS_PUBLISH_KEY=KEY
            )
            assert (status, err, len(out)) == (0, "", 2000)
            assert await take(results, 2000) == list(range(2000))
        else:
            status, out, err = await publish("feed", "7", *options, "--key-env", "MINE", MINE=KEY)
            assert (status, err, len(out)) == (0, "", 1)
            assert await take(results, 1) == [7]


async def failing(*arguments: str, **environment: str) -> str:
    status, out, err = await publish(*arguments, **environment)
    assert (status, out) == (1, []), err
    return err


async def test_what_is_not_published_is_told():
    async with node("memory://").serve(port=0, publish_key=KEY) as server:
        to = ["feed", "7", "--to", server.publish_url]
        err = await failing(*to, FRAISEQL_SUBS_PUBLISH_KEY="wrong-key-0123456789")
        assert "the key is wrong (it was not published)" in err
        assert "wrong-key" not in err
        elsewhere = server.publish_url.replace("/publish", "/other")
        err = await failing("feed", "7", "--to", elsewhere, FRAISEQL_SUBS_PUBLISH_KEY=KEY)
        assert "serve(publish_key=...)" in err
        status, out, _ = await publish(*to, "--json", FRAISEQL_SUBS_PUBLISH_KEY="x" * 16)
        assert status == 1 and json.loads(out[0])["outcome"] == "not_sent"
    err = await failing(*to, FRAISEQL_SUBS_PUBLISH_KEY=KEY)
    assert "refused" in err and "may succeed" in err
    url = f"redis://:s3cret@127.0.0.1:{free_port()}"
    err = await failing("feed", "7", "--to", url, "--timeout", "0.3")
    assert "it was not published" in err and "s3cret" not in err


async def test_a_wrong_password_is_told(tmp_path):
    async with RedisServer(tmp_path, {"requirepass": "another"}) as redis:
        url = redis.url.replace("://", "://:s3cret@")
        err = await failing("feed", "7", "--to", url, "--timeout", "2")
        assert "password" in err and "s3cret" not in err


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}", "nats://127.0.0.1:{}"])
async def test_an_engine_that_is_away_is_told_once(url):
    to = url.format(free_port())
    status, out, err = await publish("feed", "7", "--to", to, "--timeout", "0.3")
    assert (status, out) == (1, [])
    assert err.startswith("fraiseql-subs publish: ") and len(err.splitlines()) == 1, err


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_url_of_the_other_kind_says_which_to_write(tmp_path, scheme):
    tls = Credentials(tmp_path).tls if scheme == "http" else None
    async with node("memory://").serve(port=0, publish_key=KEY, tls=tls) as server:
        url = f"{scheme}://127.0.0.1:{server.port}/publish"
        err = await failing("feed", "7", "--to", url, FRAISEQL_SUBS_PUBLISH_KEY=KEY)
    assert ("write wss:// or https://" if tls else "write ws:// or http://") in err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["feed", "7"], "--to is missing"),
        (["feed", "7", "--to", "http://127.0.0.1/publish"], "FRAISEQL_SUBS_PUBLISH_KEY"),
        (["feed", "7", "--to", "memory://"], "no other process"),
        (["feed", "7", "--to", "kafka://host"], "redis://"),
        (["feed", "7", "--to", "redis://:s3cret#@host"], "%23"),
        (["feed", "7", "--to", "s3cret"], "no URL"),
        (["feed", "paid", "--to", "redis://host"], """'"paid"'"""),
        (["feed", "NaN", "--to", "redis://host"], "not JSON"),
        (["", "7", "--to", "redis://host"], "the channel is empty"),
        (["feed", "7", "--lines", "--to", "redis://host"], "--lines reads stdin"),
        (["feed", "-", "--lines", "--event-id", "x", "--to", "redis://host"], "--event-id"),
        (["feed", "7", "--timeout", "0", "--to", "redis://host"], "--timeout"),
        (["feed", "7", "--history-events", "0", "--to", "redis://host"], "events"),
        (["feed"], "DATA"),
        ([], "CHANNEL"),
    ],
)
async def test_a_wrong_command_line_is_told(arguments, part):
    status, out, err = await publish(*arguments)
    assert (status, out) == (2, []), err
    assert part in err and "s3cret" not in err.replace("s3cret#", "")


@pytest.mark.parametrize("url", ["http://", "http://host:x/publish", "http://u:s3cret@host/p"])
async def test_a_wrong_url_of_a_server_is_told(url):
    status, _, err = await publish("feed", "7", "--to", url, FRAISEQL_SUBS_PUBLISH_KEY=KEY)
    assert status == 2 and "http://host:8000/publish" in err and "s3cret" not in err


async def test_the_help_says_what_it_needs():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fraiseql_subs", "publish", "--help"), stdout=PIPE
    )
    out, _ = await process.communicate()
    for part in (b"FRAISEQL_SUBS_PUBLISH_KEY", b"--lines", b"redis://"):
        assert part in out
