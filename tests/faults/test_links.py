"""Links to Redis that break, and Redis that goes on: clients notice nothing."""

from __future__ import annotations

import pytest
from deployment import ALL_ROWS, STREAMS, SUBSCRIBER, Deployment, Node
from promises import check
from support import eventually
from support.tcp_proxy import Admission

pytestmark = pytest.mark.faults


async def test_without_a_fault_everything_comes_once_and_in_order(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        await traffic.accepts(10)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


@pytest.mark.parametrize("resets", [True, False], ids=["with RST", "with FIN"])
async def test_links_of_all_programs_are_cut_while_events_flow(redis, deploy, resets):
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        for _ in range(3):
            for proxy in deployment.proxies:
                proxy.cut(reset=resets)
            await traffic.accepts(2)
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_redis_closes_the_links_of_subscribers_again_and_again(redis, deploy):
    """R4: how often a stream is read does not depend on how many clients it has."""
    deployment = await deploy(redis)
    kills = 5
    async with deployment.traffic() as traffic:
        for _ in range(kills):

            async def killed() -> bool:
                return int(await redis.command("CLIENT", "KILL", "TYPE", "pubsub")) > 0

            await eventually(killed, "links of subscribers are closed")
            await traffic.accepts(1)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")
    for node in deployment.nodes:
        lost = max(kills, await node.server.metric("bus_links_lost"))
        # Once when the link is lost, and again where that is not answered when the next is there.
        assert await node.server.metric("bus_reads") <= 2 * lost * len(deployment.streams)


async def test_the_link_of_a_subscriber_is_dead_and_no_end_was_sent(redis, deploy):
    """R6: what Redis sends to it goes nowhere, and the node hears of nothing."""
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
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

        await eventually(are_made_again, "each node ends its dead link")
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


async def test_a_node_without_redis_gets_all_once_it_is_back(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        node = deployment.nodes[0]
        await node.proxy.admit(Admission.REFUSE)
        node.proxy.cut()
        await traffic.accepts(10)
        await node.proxy.admit(Admission.PASS)
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_the_link_goes_up_and_down(redis, deploy):
    """X3."""
    deployment = await deploy(redis, publish_timeout=20.0)
    times = 20 if ALL_ROWS else 4
    async with deployment.traffic() as traffic:
        for _ in range(times):
            for proxy in deployment.proxies:
                await proxy.admit(Admission.REFUSE)
                proxy.cut()
            await eventually(
                lambda: not any(proxy.connections for proxy in deployment.proxies), "links are cut"
            )
            for proxy in deployment.proxies:
                await proxy.admit(Admission.PASS)
            await eventually(
                lambda: all(proxy.connections for proxy in deployment.proxies), "links are made"
            )
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)
    # Each program has three links. Some may fail a second time while they are made.
    assert all(proxy.attempts <= 2 * 3 * (times + 1) for proxy in deployment.proxies)


CUTS = list(range(300)) if ALL_ROWS else [0, 1, 4, 15, 40, 90, 150, 200, 299]
"""Bytes of what a subscriber is sent that it still gets: a message has about 250."""


@pytest.mark.timeout(1800)
async def test_the_link_of_a_subscriber_is_cut_inside_a_message(redis, deploy):
    """R5: at any of its bytes."""
    streams = STREAMS[:1]
    nodes = 6 if ALL_ROWS else 3
    deployment = await deploy(redis, streams=streams, nodes=nodes, clients=2)
    for start in range(0, len(CUTS), nodes):
        counts = CUTS[start : start + nodes]
        nodes_of_round = deployment.nodes[: len(counts)]
        for node, count in zip(nodes_of_round, counts, strict=True):
            (connection,) = await eventually(
                lambda node=node: node.proxy.with_word(SUBSCRIBER), "the node subscribes"
            )
            connection.cut_after(count) if count else connection.cut(reset=False)
        cut = [link for node in nodes_of_round for link in node.proxy.with_word(SUBSCRIBER)]
        await _publish_until_cut(deployment, nodes_of_round, cut)
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def _publish_until_cut(deployment: Deployment, nodes: list[Node], links: list) -> None:
    """Publish until all of these links are cut, and others are there."""

    async def are_cut() -> bool:
        await deployment.ledger.confirmed(deployment.streams[0])
        return not any(link in node.proxy.connections for node in nodes for link in links)

    await eventually(are_cut, "the links are cut")
    await eventually(
        lambda: all(node.proxy.with_word(SUBSCRIBER) for node in nodes), "nodes subscribe again"
    )


async def test_a_node_that_stands_still_is_cut_off_by_redis(start_redis, deploy):
    """R13: what Redis keeps for a subscriber that does not read is bounded."""
    redis = await start_redis(client_output_buffer_limit="pubsub 1mb 1mb 1")
    streams = STREAMS[:2]
    deployment = await deploy(redis, streams=streams, clients=4)
    node = deployment.nodes[0]
    deployment.suspend(node)
    try:

        async def is_cut_off() -> bool:
            return "overcoming of output buffer limits" in redis.log

        async with deployment.traffic(pause=0, filler="x" * 32_768) as traffic:
            await traffic.accepts(1)
            await eventually(is_cut_off, "Redis closes the link")
    finally:
        deployment.go_on(node)
    await deployment.settle()
    check(deployment, nothing_missed=True)
