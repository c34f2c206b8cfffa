"""What history has lost when it is needed: clients are told, once."""

from __future__ import annotations

import pytest
from deployment import LIMIT, STREAMS
from promises import check, check_missed_once
from support import eventually
from support.tcp_proxy import Admission

pytestmark = pytest.mark.faults


async def test_more_was_published_than_history_keeps_while_nodes_were_away(redis, deploy):
    """R14."""
    streams = STREAMS[:4]
    deployment = await deploy(redis, streams=streams, history="History(events=50)")
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    await deployment.settle()
    for node in deployment.nodes:
        await node.proxy.admit(Admission.REFUSE)
        node.proxy.cut()
    async with deployment.traffic(window=32, pause=0) as traffic:
        await traffic.accepts(500)
    for node in deployment.nodes:
        await node.proxy.admit(Admission.PASS)
    await deployment.settle()
    check(deployment)
    check_missed_once(deployment.observations)


async def test_history_moves_on_while_a_node_reads_it(redis, deploy):
    """R14: what is read next is gone when it is asked for."""
    streams = STREAMS[:2]
    deployment = await deploy(redis, streams=streams, history="History(events=50)", nodes=1)
    (node,) = deployment.nodes
    async with deployment.traffic(limit=10 * LIMIT, window=16, pause=0) as traffic:
        for _ in range(3):
            node.proxy.cut()
            await traffic.accepts(200)
    await deployment.settle()
    check(deployment)


async def test_redis_evicts_what_it_likes(start_redis, deploy):
    """R15."""
    redis = await start_redis(maxmemory="20mb", maxmemory_policy="allkeys-random")
    deployment = await deploy(redis, publish_timeout=20.0)
    log = deployment.nodes[0].server
    await eventually(lambda: "maxmemory" in log.log, "a warning says that keys may be evicted")

    script = "for i = 1, 500 do redis.call('SET', 'x' .. i, string.rep('x', 16384)) end"

    async def are_evicted() -> bool:
        await redis.command("EVAL", script, "0")
        # A counter that is gone is a new numbering.
        entries = deployment.ledger.with_outcome("ok")
        numberings = {(entry.stream, entry.position.partition("-")[0]) for entry in entries}
        return len(numberings) > len(STREAMS)

    async with deployment.traffic(filler="x" * 16_384) as traffic:
        await traffic.accepts(3)
        await eventually(are_evicted, "counters are evicted")
        await traffic.accepts(5)
    await deployment.settle()
    check(deployment)
