"""Redis ends, hangs, or is replaced by its replica: losses are told, and nothing comes twice."""

from __future__ import annotations

import pytest
from deployment import SUBSCRIBER
from promises import check, check_missed_once
from support import eventually
from support.tcp_proxy import Admission, TcpProxy

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


@pytest.fixture
async def pair(start_redis, stack):
    """A master and its replica, with a proxy between the two."""
    master = await start_redis()
    between = await stack.enter_async_context(TcpProxy(master.port))
    replica = await start_redis(replicaof=f"127.0.0.1 {between.port}")

    async def is_in_sync() -> bool:
        return "master_link_status:up" in await replica.command("INFO", "replication")

    await eventually(is_in_sync, "the replica is in sync")
    return master, between, replica


async def test_a_replica_that_lacks_the_newest_events_is_promoted(pair, deploy):
    """R8: positions that were used for events that are lost now are not used again."""
    master, between, replica = pair
    deployment = await deploy(master, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await between.admit(Admission.REFUSE)
        between.cut()
        # These are lost.
        await traffic.accepts(5)
    await master.kill()
    await eventually(lambda: not any(node.links for node in deployment.nodes), "links end")
    assert await replica.command("REPLICAOF", "NO", "ONE") == "OK"
    for proxy in deployment.proxies:
        proxy.target = replica.port
    async with deployment.traffic() as traffic:
        await traffic.accepts(10)
    await deployment.settle()
    check(deployment)
    check_missed_once(deployment.observations)


@pytest.mark.slow_fault
async def test_subscribers_are_at_a_server_to_which_nothing_is_published(pair, deploy):
    """R7: links of subscribers stay at the server of before, and look healthy."""
    master, _, replica = pair
    deployment = await deploy(master, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    assert await replica.command("REPLICAOF", "NO", "ONE") == "OK"
    for proxy in deployment.proxies:
        proxy.target = replica.port
        for connection in list(proxy.connections):
            if SUBSCRIBER not in connection.sent:
                connection.cut()
    await deployment.settle()
    check(deployment)
