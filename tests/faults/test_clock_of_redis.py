"""The clock of Redis is set: it decides how long events are kept, and nothing else."""

from __future__ import annotations

import pytest
from deployment import Deployment
from promises import check
from support.clock import HOUR, Clock, needs_faketime
from support.redis_server import RedisServer

from fraiseql_subs import SubscriptionManager, passthrough

pytestmark = [pytest.mark.faults, needs_faketime]

SECONDS = 300
"""How long history is kept."""

HISTORY = f"History(events=4000, seconds={SECONDS})"


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
async def redis(start_redis, clock) -> RedisServer:
    return await start_redis(environment=clock.environment)


async def publish(deployment: Deployment) -> None:
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    await deployment.settle()


async def check_kept(redis: RedisServer) -> None:
    """Check that each history ends in time by the clock of now."""
    histories = (await redis.command("KEYS", "fs1:*:h:*")).split()
    assert histories
    for key in histories:
        assert 0 < int(await redis.command("TTL", key)) <= SECONDS


@pytest.mark.parametrize("hours", [1, -1])
async def test_clients_that_are_connected_notice_nothing(clock, redis, deploy, hours):
    """R18: numbering and order do not depend on the clock."""
    deployment = await deploy(redis, history=HISTORY)
    await publish(deployment)
    clock.set(hours * HOUR)
    await publish(deployment)
    await check_kept(redis)
    # What is published from now on is found in history all the same.
    async with deployment.traffic() as traffic:
        await traffic.accepts(1)
        for proxy in deployment.proxies:
            proxy.cut()
        await traffic.accepts()
    await deployment.settle()
    clock.set(0)
    await publish(deployment)
    await check_kept(redis)
    check(deployment, nothing_missed=True)


@pytest.mark.parametrize(("hours", "is_kept"), [(1, False), (-1, True)])
async def test_clients_that_return_are_told_what_has_expired(clock, redis, deploy, hours, is_kept):
    """R18: events are gone when the clock of Redis says so, not earlier."""
    deployment = await deploy(redis, nodes=1, history=HISTORY)
    await publish(deployment)
    for observation in deployment.observations:
        deployment.disconnect(observation)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    clock.set(hours * HOUR)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    # One that has received nothing of it.
    node = await deployment.add_node()
    await deployment.move(deployment.observations, [node])
    await deployment.settle()
    check(deployment, nothing_missed=is_kept)
    assert is_kept or all(one.missed >= 1 for one in deployment.observations)


@pytest.mark.parametrize("options", ["", "?history=off"])
async def test_an_id_is_known_for_five_minutes(clock, redis, options):
    """R18: a publish that is repeated later is a second event."""
    url = redis.url + options
    async with SubscriptionManager([passthrough("feed", int, channel="feed")], bus=url) as manager:
        first = await manager.publish("feed", 1, event_id="mine")
        clock.set(4 * 60)
        assert await manager.publish("feed", 1, event_id="mine") == first
        clock.set(6 * 60)
        second = await manager.publish("feed", 1, event_id="mine")
        assert second.offset == first.offset + 1


async def test_the_clock_is_set_so_far_that_counters_expire(clock, redis, deploy):
    """R18: a numbering that Redis has forgotten is not begun again."""
    deployment = await deploy(redis, history=HISTORY)
    await publish(deployment)
    clock.set(50 * HOUR)
    assert not (await redis.command("KEYS", "fs1:*:s:*")).split()
    await publish(deployment)
    check(deployment)
