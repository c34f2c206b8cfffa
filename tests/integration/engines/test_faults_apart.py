"""What Redis refuses concerns what it is about, and nothing else; and it is told, once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from declared import node
from nodes import managers, take
from returning import BEGIN
from support import PATIENCE, eventually

from fraiseql_subs import PublishError

FEED = "subscription { feed }"
RULES = "resetchannels &fs1:* resetkeys ~fs1:* -@all +ping +info +evalsha +script|load"
RULES += " +subscribe +unsubscribe +publish +xadd +xrange +expire +unlink +del +hset +hmget +set"


async def user(redis: Any, *rules: str) -> str:
    """Set the user of the bus; returns its URL."""
    assert await redis.command("ACL", "SETUSER", "bus", "reset", "on", *rules) == "OK"
    return str(redis.url).replace("redis://", "redis://bus:secret@")


def said(caplog: Any, text: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if text in record.getMessage()]


# A wrong configuration is waited for.


async def test_a_password_that_becomes_right_loses_no_queued_event(redis, caplog):
    url = await user(redis, ">another", *RULES.split())
    async with node(url, on_unavailable="queue") as manager:
        for number in range(50):
            await manager.publish("feed", number)
        await eventually(lambda: said(caplog, "the bus refuses this program"), "it is told")
        await user(redis, ">secret", *RULES.split())
        async with node(redis.url) as other:
            await eventually(lambda: manager.metrics().bus_published == 50, "all are published")
            assert (await other.publish("feed", 50)).offset == 51
        assert manager.metrics().bus_lost == 0


async def test_a_password_that_stays_wrong_is_what_the_publisher_is_told(redis):
    url = await user(redis, ">another", *RULES.split())
    async with node(url, publish_timeout=1.0) as manager:
        with pytest.raises(PublishError, match="password") as failed:
            await manager.publish("feed", 1)
        assert (failed.value.outcome, failed.value.retryable) == ("not_sent", True)


async def test_a_publisher_that_does_not_wait_does_not_wait_for_a_permission(redis, caplog):
    url = await user(redis, ">secret", *RULES.split(), "-publish")
    async with node(url, publish_timeout=3600, on_unavailable="fail") as manager:
        with pytest.raises(PublishError, match="NOPERM"):
            await asyncio.wait_for(manager.publish("feed", 1), PATIENCE)
        assert said(caplog, "the bus refuses what this program publishes")


async def test_who_may_not_subscribe_publishes(redis, caplog):
    url = await user(redis, ">secret", *RULES.split(), "-subscribe")
    async with node(url, on_unavailable="fail", publish_timeout=PATIENCE) as manager:
        await eventually(lambda: said(caplog, "the bus refuses this program"), "it is told")
        assert (await manager.publish("feed", 1)).offset == 1
        assert manager.metrics().bus_is_live == 0
    (record,) = said(caplog, "the bus refuses this program")
    assert "subscribe" in record.getMessage()


async def test_the_log_tells_of_a_reason_that_has_become_another_one(redis, caplog):
    url = await user(redis, ">secret", *RULES.split())
    async with node(url) as manager:
        await eventually(lambda: manager.metrics().bus_is_live == 1, "it is there")
        await redis.kill()
        await eventually(lambda: said(caplog, "the bus cannot be reached"), "it is told")
        # It comes back, and has forgotten the user.
        await redis.start()
        await eventually(lambda: said(caplog, "the bus refuses this program"), "it is told")


# The fault of one channel.


async def spoil(redis: Any, kind: str, channel: str) -> str:
    """Have the key of a channel hold what another program has written."""
    key = str(await redis.command("KEYS", f"fs1:*:{kind}:{channel}"))
    assert await redis.command("SET", key, "of another program") == "OK"
    return key


async def test_a_channel_with_the_key_of_another_program_hinders_no_other(redis, caplog):
    bus = f"{redis.url}?partitions=1"
    async with managers(bus) as (a, b):
        await a.publish("wrong", 0)
        key = await spoil(redis, "s", "wrong")
        wrong = b.subscribe('subscription { anyChannel(channel: "wrong") }')
        async with b.subscribe(FEED) as results:
            entering = asyncio.ensure_future(wrong.__aenter__())
            await eventually(lambda: said(caplog, "is not ready"), "it is told")
            outcomes = await asyncio.gather(
                *[_publish(a, channel) for channel in ["feed", "wrong", "feed", "wrong"]],
                return_exceptions=True,
            )
            assert [isinstance(each, PublishError) for each in outcomes] == [False, True] * 2
            assert await take(results, 2) == [1, 1]
        assert b.metrics().bus_is_live == 1
        (record,) = said(caplog, "is not ready")
        assert key in record.getMessage()
        await redis.command("DEL", key)
        await asyncio.wait_for(entering, PATIENCE)

        async def is_delivered() -> bool:
            await a.publish("wrong", 1)
            channels = await redis.command("PUBSUB", "CHANNELS")
            return "wrong" in channels

        await eventually(is_delivered, "it works again")
        assert (await take(wrong, 1)) == [1]
        await wrong.aclose()


async def _publish(manager: Any, channel: str) -> Any:
    return await manager.publish(channel, 1)


async def test_a_history_with_the_key_of_another_program_is_told_as_missed(redis):
    async with managers(redis.url) as (a, b):
        first = await a.publish("feed", 0)
        await a.publish("feed", 1)
        await redis.command("DEL", str(await redis.command("KEYS", "fs1:*:h:feed")))
        await redis.command("SET", "fs1:x", "x")
        async with b.subscribe(FEED, extensions={"resume": {"after": first.position}}) as results:
            result = await asyncio.wait_for(anext(results), PATIENCE)
            assert result.extensions["resume"]["missed"] is True


# Failures that nothing awaits.


async def test_a_failure_that_nothing_awaits_is_told_once(tmp_path, redis, caplog):
    await redis.kill()
    async with node(redis.url, publish_timeout=0.2) as manager:
        for _ in range(20):
            manager.publish("feed", 1)
        failed = lambda: manager.metrics().bus_not_sent == 20  # noqa: E731
        await eventually(failed, "all have failed")
        await eventually(lambda: said(caplog, "nothing awaits"), "it is told")
        with pytest.raises(PublishError):
            await manager.publish("feed", 1)
        with pytest.raises(PublishError):
            await asyncio.create_task(manager.publish("feed", 1))
    (record,) = said(caplog, "nothing awaits")
    assert record.levelno == logging.WARNING
    assert "channel='feed'" in record.getMessage() and "engine" in record.getMessage()


async def test_a_failure_that_something_awaits_is_not_told_besides(redis, caplog):
    await redis.kill()
    async with node(redis.url, publish_timeout=0.2) as manager:
        publication = manager.publish("feed", 1)
        with pytest.raises(PublishError):
            await publication
        del publication
    assert not said(caplog, "nothing awaits")


# Without history.


async def test_a_lost_last_event_is_told_without_history(redis):
    """Nothing follows it: the node compares silent channels with Redis, each 15 to 45 s."""
    async with managers(f"{redis.url}?history=off") as (a, b):
        async with b.subscribe(FEED, extensions=BEGIN) as results:
            begin = await asyncio.wait_for(anext(results), PATIENCE)
            assert begin.extensions["resume"]["missed"] is False
            await a.publish("feed", 1)
            assert await take(results, 1) == [1]
            key = str(await redis.command("KEYS", "fs1:*:s:feed"))
            # Redis has numbered an event, and it has come nowhere.
            await redis.command("HINCRBY", key, "offset", "1")
            lost = await asyncio.wait_for(anext(results), 3 * PATIENCE)
            assert lost.data is None and lost.extensions["resume"]["missed"] is True
            await a.publish("feed", 3)
            assert await take(results, 1) == [3]
