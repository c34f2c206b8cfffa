"""Programs without fraiseql-subs publish: by the script of the examples, by Node.js and by curl."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import struct
from pathlib import Path
from typing import Any

import pytest
from declared import node
from nodes import take
from support import PATIENCE, eventually
from support.paths import ROOT
from support.programs import ENVIRONMENT
from support.publishing import KEY
from support.redis_server import RedisServer

from fraiseql_subs import Identity, Redis, Security, SubscriptionManager, TenantIsolation

EXAMPLES = ROOT / "examples" / "other_languages"
SCRIPT = EXAMPLES / "publish.lua"
ENVELOPES = "subscription { envelope }"
RESUME: dict[str, Any] = {"resume": {}}


async def produce(redis: RedisServer, *arguments: str, script: Path = SCRIPT) -> str:
    """Publish by redis-cli, once a node has connected; return what the script returns."""
    await eventually(lambda: redis.command("GET", "fs1:layout"), "a node has connected")
    return await redis.command("--eval", str(script), ",", *arguments)


def accepting(redis: RedisServer, **options: Any) -> SubscriptionManager:
    return node(Redis(redis.url, accept_raw=True), **options)


async def test_bare_json_is_an_event_of_its_channel(redis: RedisServer):
    async with accepting(redis) as manager, manager.subscribe(ENVELOPES) as results:
        first = await produce(redis, "envelopes", '{"id": 7}')
        receipt = await manager.publish("envelopes", 1)
        third = await produce(redis, "envelopes", "{}")
        assert await take(results, 3) == [
            [first, None, None, "1", "envelopes"],
            [receipt.event_id, None, None, "2", "envelopes"],
            [third, None, None, "3", "envelopes"],
        ]
        assert receipt.position.rpartition("-")[0] == first.rpartition("-")[0]
        assert manager.metrics().bus_gaps == 0


CHANNELS = [
    *(f"orders.{number}" for number in range(40)),
    "a:b%c d",
    "größe/☃",
    "-_.~",
    "x" * 190,
]


async def test_the_script_writes_where_nodes_read(redis: RedisServer):
    """For each channel: its number goes on from the one of the node, whatever the partition."""
    async with accepting(redis) as manager:
        for channel in CHANNELS:
            receipt = await manager.publish(channel, 1)
            told = await produce(redis, channel, "{}")
            epoch, _, offset = receipt.position.rpartition("-")
            assert told == f"{epoch}-{int(offset) + 1}", channel


@pytest.mark.parametrize("partitions", [1, 8, 1024])
async def test_the_script_knows_the_partitions(redis: RedisServer, partitions):
    bus = Redis(redis.url, accept_raw=True, partitions=partitions)
    async with node(bus) as manager:
        for channel in CHANNELS[:10]:
            receipt = await manager.publish(channel, 1)
            told = await produce(redis, channel, "{}")
            assert told.rpartition("-")[0] == receipt.position.rpartition("-")[0], channel


async def test_a_client_may_resume_after_and_over_events_of_the_script(redis: RedisServer):
    async with accepting(redis) as a, accepting(redis) as b:
        async with a.subscribe(ENVELOPES, extensions=RESUME) as results:
            await asyncio.wait_for(anext(results), PATIENCE)
            told = await produce(redis, "envelopes", "{}")
            result = await asyncio.wait_for(anext(results), PATIENCE)
            assert result.extensions["resume"]["id"] == told
        for _ in range(3):
            await produce(redis, "envelopes", "{}")
        after = {"resume": {"after": told}}
        async with b.subscribe(ENVELOPES, extensions=after) as results:
            assert [each[3] for each in await take(results, 3)] == ["2", "3", "4"]


async def test_an_event_with_an_id_is_one_event(redis: RedisServer):
    async with accepting(redis) as manager:
        told = [await produce(redis, "feed", "{}", "order/7") for _ in range(3)]
        assert told == [told[0]] * 3
        receipt = await manager.publish("feed", 1, event_id="order/7")
        assert receipt.position == told[0]


async def test_the_tenant_is_that_of_the_stream(redis: RedisServer):
    security = Security(tenant=TenantIsolation())
    mine, other = (Identity(user_id="1", tenant_id=name) for name in ("mine", "other"))
    async with (
        accepting(redis, security=security) as manager,
        manager.subscribe(ENVELOPES, identity=mine) as results,
        manager.subscribe(ENVELOPES, identity=other) as others,
    ):
        # What the data say does not count.
        await produce(redis, "envelopes", '{"tenant_id": "other"}', "", "mine")
        await produce(redis, "envelopes", "{}", "", "other")
        assert (await take(results, 1))[0][2] == "mine"
        assert (await take(others, 1))[0][2] == "other"


async def test_a_restart_of_redis_begins_a_new_epoch(redis: RedisServer):
    async with accepting(redis) as manager, manager.subscribe(ENVELOPES) as results:
        before = await produce(redis, "envelopes", "{}")
        assert await take(results, 1)
        await redis.kill()
        await redis.start()
        await eventually(lambda: manager.metrics().bus_is_live == 1, "the node is back")
        after = await produce(redis, "envelopes", "{}")
        assert after.endswith("-1") and after != before
        assert (await take(results, 1))[0][0] == after
        receipt = await manager.publish("envelopes", 1)
        assert receipt.position == after.removesuffix("-1") + "-2"


async def test_data_that_redis_has_forgotten_begins_a_new_epoch(redis: RedisServer):
    async with accepting(redis):
        before = await produce(redis, "envelopes", "{}")
        layout = await redis.command("GET", "fs1:layout")
        await redis.command("FLUSHALL")
        await redis.command("SET", "fs1:layout", layout)
        after = await produce(redis, "envelopes", "{}")
        assert after.endswith("-1") and after != before


async def test_bare_json_is_skipped_where_it_is_not_accepted(redis: RedisServer, caplog):
    async with node(redis.url) as manager, manager.subscribe(ENVELOPES) as results:
        await produce(redis, "envelopes", "{}")
        await manager.publish("envelopes", 1)
        assert (await take(results, 1))[0][3] == "2"
        assert manager.metrics().bus_unreadable == 1
        await eventually(lambda: "accept_raw" in caplog.text, "the log says what to do")


def envelope(channel: str, event_type: str, data: bytes) -> bytes:
    """Write an envelope, as `docs/reference/envelope.md` describes it."""
    texts = [b"\xff", event_type.encode(), b"\xff", channel.encode()]
    fields = [text if text == b"\xff" else bytes([len(text)]) + text for text in texts]
    head = b"".join(fields) + struct.pack("<QI", 0, 0)
    return b"\x01\x00" + struct.pack("<H", len(head)) + head + data


async def test_an_envelope_is_taken_by_every_node(redis: RedisServer):
    async with node(redis.url) as manager, manager.subscribe(ENVELOPES) as results:
        event = envelope("envelopes", "paid", b"1")
        script = SCRIPT.read_text()
        told = await redis.command("-x", "EVAL", script, "0", "envelopes", last=event)
        assert (await take(results, 1))[0] == [told, "paid", None, "1", "envelopes"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "a channel and an event"),
        (["", "{}"], "a channel and an event"),
        (["feed", "[1]"], "neither a JSON object nor an envelope"),
        (["feed", "{"], "neither a JSON object nor an envelope"),
        (["feed", "7"], "neither a JSON object nor an envelope"),
        (["x" * 201, "{}"], "too long"),
        (["feed", "{}", "x" * 201], "too long"),
    ],
)
async def test_what_the_script_cannot_publish_is_an_error(redis: RedisServer, arguments, part):
    async with accepting(redis) as manager:
        await manager.publish("feed", 1)
        assert part in await produce(redis, *arguments)
        assert (await manager.publish("feed", 1)).offset == 2


async def test_before_any_server_the_script_says_so(redis: RedisServer):
    told = await redis.command("--eval", str(SCRIPT), ",", "feed", "{}")
    assert "no server" in told


async def test_the_user_of_the_how_to_may_run_the_script(redis: RedisServer):
    text = (ROOT / "docs/how-to/publish.md").read_text()
    match = re.search(r"^ACL SETUSER producer (.+)$", text, re.MULTILINE)
    assert match, "docs/how-to/publish.md shows the user of the script"
    assert await redis.command("ACL", "SETUSER", "producer", *shlex.split(match[1])) == "OK"
    async with accepting(redis) as manager:
        await manager.publish("feed", 1)
        login = ["--no-auth-warning", "--user", "producer", "--pass", "change-me"]
        told = await redis.command(*login, "--eval", str(SCRIPT), ",", "feed", "{}", "an-id")
        assert told.endswith("-2"), told


async def run(*command: str) -> Any:
    """Run an example; return the JSON that it prints."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        env={**ENVIRONMENT, "PUBLISH_KEY": KEY},
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, out
    return json.loads(out)


@pytest.mark.parametrize("command", [["node", "publish.mjs"], ["sh", "publish.sh"]])
async def test_other_languages_publish_over_http(redis: RedisServer, command):
    program, file = command
    manager = node(redis.url)
    async with (
        manager.serve(port=0, publish_key=KEY) as server,
        manager.subscribe("subscription { feed }") as results,
    ):
        told = await run(program, str(EXAMPLES / file), server.publish_url, "feed", "7")
        assert told["offset"] == 1
        assert await take(results, 1) == [7]
