"""The user of Redis in docs/how-to/redis.md can do what the bus does, and nothing else."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import PATIENCE
from support.paths import ROOT
from support.redis_server import RedisServer

from fraiseql_subs import Identity, SubscriptionManager, passthrough

TICKS = "subscription { ticks }"
PASSWORD = "change-me"

RARELY_CALLED = {"ping", "unsubscribe", "zrem"}
"""On a silent link, after the last client of a channel has left, and when Redis keeps too many
revocations."""


def documented_rules() -> list[str]:
    text = (ROOT / "docs/how-to/redis.md").read_text()
    match = re.search(r"^ACL SETUSER bus (.+)$", text, re.MULTILINE)
    assert match, "docs/how-to/redis.md shows the user of the bus"
    return shlex.split(match[1])


def allowed_commands() -> set[str]:
    return {rule[1:] for rule in documented_rules() if rule.startswith("+")}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as server:
        assert await server.command("ACL", "SETUSER", "bus", *documented_rules()) == "OK"
        yield server


def manager(redis: RedisServer) -> SubscriptionManager:
    url = redis.url.replace("redis://", f"redis://bus:{PASSWORD}@")
    return SubscriptionManager([passthrough("ticks", int, channel="ticks")], bus=url)


async def next_of(results):
    return await asyncio.wait_for(anext(results), PATIENCE)


async def use_the_bus(redis: RedisServer) -> None:
    """Publish, receive, publish with the same id, lose the scripts, and resume on another node."""
    one, other = manager(redis), manager(redis)
    async with one, other:
        async with one.subscribe(TICKS, extensions={"resume": {}}) as results:
            assert (await next_of(results)).extensions["resume"]["missed"] is False
            ended = await one.disconnect(identity=Identity("nobody"), revoke_for=60)
            assert ended.is_complete
            receipt = await other.publish("ticks", 1, event_id="first")
            assert await one.publish("ticks", 1, event_id="first") == receipt
            result = await next_of(results)
            assert result.data == {"ticks": 1}
            last = result.extensions["resume"]["id"]
        assert last == receipt.position
        assert await redis.command("SCRIPT", "FLUSH") == "OK"
        await one.publish_many([("ticks", 2), ("ticks", 3)])
        again = {"resume": {"after": last}}
        async with other.subscribe(TICKS, extensions=again) as results:
            assert [(await next_of(results)).data["ticks"] for _ in range(2)] == [2, 3]
            await one.publish("ticks", 4)
            assert (await next_of(results)).data == {"ticks": 4}


async def test_the_user_may_publish_subscribe_and_resume(redis):
    await use_the_bus(redis)
    assert await redis.command("ACL", "LOG") == ""


async def test_the_user_may_call_what_is_called_rarely(redis):
    calls = ["PING", "UNSUBSCRIBE fs1:{1}:c:ticks", "DEL fs1:{1}:i:ticks:first"]
    for call in calls:
        assert await redis.command("ACL", "DRYRUN", "bus", *call.split()) == "OK", call


async def test_the_user_has_no_command_that_is_never_called(redis):
    await redis.command("CONFIG", "RESETSTAT")
    await use_the_bus(redis)
    stats = await redis.command("INFO", "commandstats")
    called = set(re.findall(r"^cmdstat_([^:]+):", stats, re.MULTILINE))
    assert allowed_commands() - called == RARELY_CALLED
    # `hello` needs no permission; only this test uses the others.
    assert called - allowed_commands() == {"hello", "script|flush", "config|resetstat"}


@pytest.mark.parametrize(
    "call",
    [
        "GET fs1:layout",
        "KEYS *",
        "FLUSHALL",
        "CONFIG GET *",
        "ACL LIST",
        "EVAL return 0",
        "PSUBSCRIBE *",
        "SUBSCRIBE other",
        "PUBLISH other x",
        "SET other x",
        "XRANGE other - +",
    ],
)
async def test_the_user_may_do_nothing_else(redis, call):
    answer = await redis.command("ACL", "DRYRUN", "bus", *call.split())
    assert "no permissions" in answer, (call, answer)
