"""Redis keeps no events: what is published while a node cannot receive it is lost, and told."""

from __future__ import annotations

from functools import partial

import pytest
from deployment import SUBSCRIBER
from promises import check, check_nothing_missed
from support import eventually
from support.tcp_proxy import Admission

pytestmark = pytest.mark.faults


@pytest.fixture
def deploy(deploy):
    return partial(deploy, url="redis://127.0.0.1:{port}?history=off")


async def test_without_a_fault_nothing_is_missed(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        await traffic.accepts(10)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert await redis.command("KEYS", "fs1:*:h:*") == ""


async def test_links_of_subscribers_are_closed_again_and_again(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        for _ in range(5):

            async def killed() -> bool:
                return int(await redis.command("CLIENT", "KILL", "TYPE", "pubsub")) > 0

            await eventually(killed, "links of subscribers are closed")
            await traffic.accepts(1)
    await deployment.settle()
    check(deployment)


async def test_links_that_publish_are_cut_and_nothing_is_missed(redis, deploy):
    """An event is sent again with its id, and is one event."""
    deployment = await deploy(redis, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        for _ in range(5):
            deployment.publisher_proxy.cut()
            await traffic.accepts(1)
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_the_newest_event_was_lost_and_no_other_follows(redis, deploy):
    """A node that is back asks for the newest position, and tells what it lacks."""
    deployment = await deploy(redis)
    await deployment.settle()
    node, *others = deployment.nodes
    await deployment.hold([node])
    for stream in deployment.streams:
        for part in (0, 1):
            await deployment.ledger.confirmed(stream, part)
    await deployment.release([node])
    of_node = deployment.clients_of(node)
    await eventually(lambda: all(one.missed for one in of_node), "clients are told")
    await deployment.settle()
    check(deployment)
    check_nothing_missed(deployment.clients_of(*others))


async def test_the_link_of_a_subscriber_is_dead_and_no_end_was_sent(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        for node in deployment.nodes:
            for connection in node.proxy.with_word(SUBSCRIBER):
                connection.to_client.is_dropped = True
        attempts = [node.proxy.attempts for node in deployment.nodes]

        def are_made_again() -> bool:
            pairs = zip(deployment.nodes, attempts, strict=True)
            return all(node.proxy.attempts > before for node, before in pairs)

        await traffic.accepts()
        await eventually(are_made_again, "each node ends its dead link")
    await deployment.settle()
    check(deployment)
    assert all(one.missed for one in deployment.observations)


async def test_redis_is_killed(redis, deploy):
    deployment = await deploy(redis, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await redis.kill()
        await eventually(lambda: not any(node.links for node in deployment.nodes), "links end")
        await redis.start()
        await traffic.accepts()
    await deployment.settle()
    check(deployment)
    assert all(one.missed for one in deployment.observations)


async def test_clients_return_to_their_node_and_to_another(redis, deploy):
    """What this node has received it sends again; what it has not is told."""
    deployment = await deploy(redis, nodes=2)
    first, second = deployment.nodes
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        for observation in deployment.observations:
            deployment.disconnect(observation)
        await traffic.accepts()
        await deployment.move(deployment.clients_of(first), [first])
        third = await deployment.add_node()
        await deployment.move(deployment.clients_of(second), [third])
        await traffic.accepts()
    await deployment.settle()
    check(deployment)
    check_nothing_missed(deployment.clients_of(first))
    assert all(one.missed for one in deployment.clients_of(second))


async def test_a_node_is_away_while_its_clients_return(redis, deploy):
    deployment = await deploy(redis, nodes=2)
    node = deployment.nodes[0]
    movers = deployment.clients_of(node)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await node.proxy.admit(Admission.REFUSE)
        node.proxy.cut()
        for observation in movers:
            deployment.disconnect(observation)
        await traffic.accepts()
        await deployment.move(movers, [node])
        await traffic.accepts()
        await node.proxy.admit(Admission.PASS)
    await deployment.settle()
    check(deployment)
