"""Two masters at once: nodes and publishers are at either, until one of the two is given up."""

from __future__ import annotations

import pytest
from deployment import ALL_ROWS
from promises import check, check_losses_are_told, check_missed_once
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


def give_up(entries: list[Entry]) -> None:
    """Note that events were lost after they were accepted."""
    assert entries
    for entry in entries:
        entry.outcome, entry.position = "unknown", ""
