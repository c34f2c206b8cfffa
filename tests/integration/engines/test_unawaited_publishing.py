"""Events that the end of a manager cuts off are told of where nothing awaits their publishing."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE
from typing import Any

import pytest
from declared import node
from support import PATIENCE, eventually
from support.programs import ENVIRONMENT
from support.redis_server import RedisServer

from fraiseql_subs import ManagerClosed, PublishError, SubscriptionManager, passthrough

CALLS = 20


def told(caplog: Any) -> list[logging.LogRecord]:
    return [each for each in caplog.records if "nothing awaits" in each.getMessage()]


def check(caplog: Any, calls: int, channel: str = "feed") -> None:
    (record,) = told(caplog)
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert f"channel='{channel}'" in message and f"calls={calls}" in message.replace("'", "")


async def publish_to_no_answer(manager: Any, redis: RedisServer) -> None:
    """Publish to a Redis that does not answer."""
    await manager.publish("feed", 0)
    redis.pause()
    for number in range(CALLS):
        manager.publish("feed", number)
    waiting = lambda: manager.metrics().bus_queue_events == CALLS  # noqa: E731
    await eventually(waiting, "the events wait for Redis")


@pytest.mark.parametrize("end", ["close", "serve"])
async def test_what_an_end_without_a_drain_cuts_off_is_told_once(redis, caplog, end):
    manager = node(redis.url, publish_timeout=60)
    try:
        if end == "serve":
            async with manager.serve(port=0, drain=0):
                await publish_to_no_answer(manager, redis)
        else:
            async with manager:
                await publish_to_no_answer(manager, redis)
                await manager.close(drain=0)
    finally:
        redis.resume()
    check(caplog, CALLS)


async def test_what_is_awaited_or_kept_is_not_counted(redis, caplog):
    manager = node(redis.url, publish_timeout=60)
    try:
        async with manager:
            await publish_to_no_answer(manager, redis)
            kept = manager.publish("feed", 1)
            awaited = asyncio.ensure_future(manager.publish("feed", 2))
            await asyncio.sleep(0)
            await manager.close(drain=0)
            with pytest.raises((ManagerClosed, PublishError)):
                await awaited
            with pytest.raises((ManagerClosed, PublishError)):
                await kept
    finally:
        redis.resume()
    check(caplog, CALLS)


async def test_a_batch_that_waits_for_the_bus_of_one_process_is_told(caplog):
    manager = SubscriptionManager([passthrough("feed", Any, channel="feed")])
    async with manager:
        manager.publish_many([("feed", number) for number in range(200_000)])
        await manager.close(drain=0)
    check(caplog, 1)


async def test_nothing_is_told_where_all_was_published(redis, caplog):
    async with node(redis.url) as manager:
        for number in range(CALLS):
            manager.publish("feed", number)
    async with SubscriptionManager([passthrough("feed", int, channel="feed")]) as manager:
        for number in range(CALLS):
            manager.publish("feed", number)
        await manager.close(drain=0)
    assert not told(caplog)


PROGRAM = """
import asyncio, sys
from fraiseql_subs import SubscriptionManager, passthrough

feed = passthrough("feed", int, channel="feed")
manager = SubscriptionManager([feed], bus=sys.argv[1], publish_timeout=60)


async def main():
    await manager.start()
    for number in range(20):
        manager.publish("feed", number)


asyncio.run(main())
"""


async def test_a_program_that_ends_without_closing_its_manager_is_told(redis):
    redis.pause()
    try:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, redis.url), stderr=PIPE, env=ENVIRONMENT
        )
        _, err = await asyncio.wait_for(program.communicate(), PATIENCE)
    finally:
        redis.resume()
    lines = [line for line in err.decode().splitlines() if "nothing awaits" in line]
    assert len(lines) == 1 and "calls=20" in lines[0].replace("'", ""), err.decode()
