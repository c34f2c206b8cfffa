"""Links to Redis that break, and Redis that goes on: clients notice nothing."""

from __future__ import annotations

import asyncio

import pytest
from deployment import LIMIT, SUBSCRIBER
from promises import check
from support import eventually

pytestmark = pytest.mark.faults


async def test_without_a_fault_everything_comes_once_and_in_order(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.ledger.traffic(deployment.streams, limit=LIMIT) as traffic:
        await traffic.accepts(10)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


@pytest.mark.parametrize("resets", [True, False], ids=["with RST", "with FIN"])
async def test_links_of_all_programs_are_cut_while_events_flow(redis, deploy, resets):
    deployment = await deploy(redis)
    async with deployment.ledger.traffic(deployment.streams, limit=LIMIT) as traffic:
        await traffic.accepts()
        for _ in range(3):
            for proxy in deployment.proxies:
                proxy.cut(reset=resets)
            await traffic.accepts(2)
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_redis_closes_the_links_of_subscribers_again_and_again(redis, deploy):
    """R4."""
    deployment = await deploy(redis)
    async with deployment.ledger.traffic(deployment.streams, limit=LIMIT) as traffic:
        for _ in range(5):

            async def killed() -> bool:
                return int(await redis.command("CLIENT", "KILL", "TYPE", "pubsub")) > 0

            await eventually(killed, "links of subscribers are closed")
            await traffic.accepts(1)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


async def test_the_link_of_a_subscriber_is_dead_and_no_end_was_sent(redis, deploy):
    """R6: what Redis sends to it goes nowhere, and the node hears of nothing."""
    deployment = await deploy(redis)
    async with deployment.ledger.traffic(deployment.streams, limit=LIMIT) as traffic:
        await traffic.accepts()
        dead = [one for node in deployment.nodes for one in node.proxy.with_word(SUBSCRIBER)]
        assert len(dead) == len(deployment.nodes)
        for connection in dead:
            connection.to_client.is_dropped = True
        await traffic.accepts()
        attempts = [node.proxy.attempts for node in deployment.nodes]

        def are_made_again() -> bool:
            return all(
                node.proxy.attempts > before
                for node, before in zip(deployment.nodes, attempts, strict=True)
            )

        await eventually(are_made_again, "each node gives its dead link up")
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


async def test_a_node_without_redis_gets_all_once_it_is_back(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.ledger.traffic(deployment.streams, limit=LIMIT) as traffic:
        node = deployment.nodes[0]
        from support.tcp_proxy import Admission

        await node.proxy.admit(Admission.REFUSE)
        node.proxy.cut()
        await traffic.accepts(10)
        await node.proxy.admit(Admission.PASS)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    await asyncio.sleep(0)
