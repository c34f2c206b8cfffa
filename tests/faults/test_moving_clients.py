"""Clients that leave one node and return to another: an id means the same everywhere."""

from __future__ import annotations

import pytest
from deployment import SUBSCRIBER
from promises import check
from support import eventually
from support.tcp_proxy import Admission

pytestmark = pytest.mark.faults


async def test_clients_move_from_node_to_node_while_events_flow(redis, deploy):
    deployment = await deploy(redis)
    async with deployment.traffic() as traffic:
        for turn in range(1, 4):
            await traffic.accepts(1)
            for observation in deployment.observations:
                deployment.disconnect(observation)
            await traffic.accepts(1)
            nodes = [*deployment.nodes[turn % 3 :], *deployment.nodes[: turn % 3]]
            await deployment.move(deployment.observations, nodes)
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_clients_move_to_a_node_that_still_reads_what_it_has_missed(redis, deploy):
    """X7."""
    deployment = await deploy(redis)
    first, second = deployment.nodes[:2]
    movers = deployment.clients_of(first)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        # What it reads history by does not answer, and what it subscribes by was cut.
        for connection in list(second.proxy.connections):
            if SUBSCRIBER in connection.sent:
                connection.cut()
            else:
                connection.to_client.stop()
        for observation in movers:
            deployment.disconnect(observation)
        await traffic.accepts()
        await eventually(lambda: second.proxy.with_word(SUBSCRIBER), "the node subscribes again")
        await deployment.move(movers, [second])
        await traffic.accepts()
        second.proxy.go_on()
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_clients_move_to_a_node_that_has_just_lost_redis(redis, deploy):
    """They wait there, and miss nothing."""
    deployment = await deploy(redis)
    first, second = deployment.nodes[:2]
    movers = deployment.clients_of(first)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await second.proxy.admit(Admission.REFUSE)
        second.proxy.cut()
        for observation in movers:
            deployment.disconnect(observation)
        await traffic.accepts()
        await deployment.move(movers, [second])
        await traffic.accepts()
        await second.proxy.admit(Admission.PASS)
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_clients_of_a_node_that_was_killed_go_on_at_another(redis, deploy):
    deployment = await deploy(redis)
    first, second = deployment.nodes[:2]
    movers = deployment.clients_of(first)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        first.server.process.kill()
        await first.server.process.wait()
        await traffic.accepts()
        for observation in movers:
            deployment.disconnect(observation)
        await deployment.move(movers, [second])
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)


@pytest.mark.parametrize("keeps", [False, True], ids=["its memory is lost", "it has kept all"])
async def test_clients_return_after_redis_has_ended(start_redis, deploy, keeps):
    """R1, R2: ids of before are too late, and say so."""
    redis = await start_redis(appendonly="yes" if keeps else "no", appendfsync="always")
    deployment = await deploy(redis, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        for observation in deployment.observations:
            deployment.disconnect(observation)
        await traffic.accepts()
        await redis.kill()
        await redis.start()
        await traffic.accepts()
        await deployment.move(deployment.observations, deployment.nodes[::-1])
    await deployment.settle()
    check(deployment)
    assert all(one.missed >= 1 for one in deployment.observations)


async def test_a_node_that_starts_later_serves_ids_of_others(redis, deploy):
    deployment = await deploy(redis, nodes=1)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        for observation in deployment.observations:
            deployment.disconnect(observation)
        await traffic.accepts()
        node = await deployment.add_node()
        await deployment.move(deployment.observations, [node])
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)
