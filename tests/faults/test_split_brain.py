"""Two masters at once: nodes and publishers are at either, until one of the two is given up."""

from __future__ import annotations

import pytest
from deployment import ALL_ROWS
from promises import check, check_losses_are_told, check_missed_once
from support import eventually
from support.ledger import Entry
from takeover import follow

pytestmark = pytest.mark.faults

EVENTS = 40 if ALL_ROWS else 5
"""Events of each stream that each of the two masters takes: 10 seconds of them, or fewer."""


@pytest.mark.parametrize("is_cut", [True, False], ids=["links end", "links stay"])
async def test_events_are_published_to_two_masters(start_pair, deploy, is_cut):
    """R9: who was at the master that is given up is told, and then all have one numbering."""
    pair = await start_pair()
    deployment = await deploy(pair.master, publish_timeout=20.0)
    there, *here = deployment.nodes
    other_proxy, other = await deployment.add_publisher("other")
    async with deployment.traffic() as traffic, deployment.traffic(by=other) as more:
        await traffic.accepts()
        await more.accepts()
    await deployment.settle()

    await pair.separate()
    await pair.promote()
    for proxy in [other_proxy, *(node.proxy for node in here)]:
        proxy.target = pair.replica.port
        proxy.cut()
    async with deployment.traffic() as lost, deployment.traffic(by=other) as kept:
        await lost.accepts(EVENTS)
        await kept.accepts(EVENTS)

    async with deployment.traffic(by=other) as kept:
        await kept.accepts(1)
        for proxy in (deployment.publisher_proxy, there.proxy):
            proxy.target = pair.replica.port
            if is_cut:
                proxy.cut()
        await follow(pair.master, pair.replica.port)
        await kept.accepts()
    await deployment.settle()

    check_losses_are_told(deployment.clients_of(there), deployment.ledger)
    # Of these, clients of the other nodes are told nothing: no server that they know has had them.
    give_up(lost.accepted)
    check(deployment)
    check_missed_once(deployment.observations)
    for stream in deployment.streams:
        positions = [one.last for one in deployment.observations if one.stream == stream]
        assert len({position.rpartition("-")[0] for position in positions}) == 1, positions


async def test_a_master_without_its_replica_takes_no_events(start_pair, deploy):
    """R9, as `docs/how-to/redis.md` advises: then none is lost without a word."""
    pair = await start_pair(min_replicas_max_lag="1")
    deployment = await deploy(pair.master, publish_timeout=1.0)
    _, *here = deployment.nodes
    other_proxy, other = await deployment.add_publisher("other")
    await pair.master.command("CONFIG", "SET", "min-replicas-to-write", "1")
    async with deployment.traffic() as traffic:
        await traffic.accepts()
        await pair.separate()
        refused = await eventually(
            lambda: deployment.ledger.with_outcome("not_sent"), "the master refuses events"
        )
        await pair.promote()
        for proxy in [other_proxy, *(node.proxy for node in here)]:
            proxy.target = pair.replica.port
            proxy.cut()
        async with deployment.traffic(by=other) as kept:
            await kept.accepts()
        for proxy in deployment.proxies:
            proxy.target = pair.replica.port
        await follow(pair.master, pair.replica.port)
        await traffic.accepts()
    await deployment.settle()
    check(deployment)
    assert "NOREPLICAS" in str(refused[0].error)


def give_up(entries: list[Entry]) -> None:
    """Note that events were lost after they were accepted."""
    assert entries
    for entry in entries:
        entry.outcome, entry.position = "unknown", ""
