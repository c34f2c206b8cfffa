"""Redis ends or hangs: losses are told, and nothing comes twice."""

from __future__ import annotations

import pytest
from promises import check, check_missed_once
from support import eventually

pytestmark = pytest.mark.faults


async def test_redis_is_killed_and_has_kept_nothing(redis, deploy):
    """R1."""
    deployment = await deploy(redis, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await redis.kill()
        await eventually(lambda: not any(node.links for node in deployment.nodes), "links end")
        await redis.start()
        await traffic.accepts()
    await deployment.settle()
    check(deployment)
    check_missed_once(deployment.observations)


async def test_redis_is_killed_and_has_kept_all(start_redis, deploy):
    """R2."""
    redis = await start_redis(appendonly="yes", appendfsync="always")
    deployment = await deploy(redis, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await redis.kill()
        await eventually(lambda: not any(node.links for node in deployment.nodes), "links end")
        await redis.start()
        await traffic.accepts()
    await deployment.settle()
    check(deployment)


async def test_redis_restarts_while_nothing_is_published(redis, deploy):
    """A client that was behind nothing still gets all that comes after."""
    deployment = await deploy(redis)
    await deployment.settle()
    for _ in range(2):
        await redis.kill()
        await eventually(lambda: not any(node.links for node in deployment.nodes), "links end")
        await redis.start()
    await deployment.settle()
    check(deployment)


async def test_redis_hangs_until_publishers_have_given_up(redis, deploy):
    """R3, short: links stay."""
    deployment = await deploy(redis, publish_timeout=1.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        redis.pause()
        try:
            await eventually(
                lambda: deployment.ledger.with_outcome("unknown", "not_sent"),
                "a publisher gives up",
            )
            await traffic.calls(2)
        finally:
            redis.resume()
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)


@pytest.mark.slow_fault
async def test_redis_hangs_until_all_links_are_given_up(redis, deploy):
    """R3, long: TCP notices nothing, and programs do."""
    deployment = await deploy(redis, publish_timeout=2.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        attempts = [proxy.attempts for proxy in deployment.proxies]
        redis.pause()
        try:

            def are_given_up() -> bool:
                pairs = zip(deployment.proxies, attempts, strict=True)
                return all(proxy.attempts >= before + 3 for proxy, before in pairs)

            await eventually(are_given_up, "each program gives its three links up")
        finally:
            redis.resume()
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)
