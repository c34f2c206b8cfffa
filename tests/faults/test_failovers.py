"""A server without the newest events takes over: losses are told, and nothing comes twice."""

from __future__ import annotations

import pytest
from deployment import SUBSCRIBER
from promises import check, check_missed_once
from support import eventually
from takeover import Promotion, Snapshot, same_run, take_over

pytestmark = pytest.mark.faults


@pytest.fixture(params=["a replica is promoted", "a snapshot is loaded"])
async def takeover(request, start_redis, start_pair):
    if request.param == "a replica is promoted":
        return Promotion(await start_pair())
    return Snapshot(await start_redis())


@pytest.mark.parametrize("is_ahead", [False, True], ids=["nodes return", "nodes return late"])
async def test_a_server_that_lacks_the_newest_events_takes_over(takeover, deploy, is_ahead):
    """R8: positions that were used for events that are lost now are not used again."""
    deployment = await deploy(takeover.server, publish_timeout=20.0)
    await take_over(deployment, takeover, is_ahead=is_ahead)
    check(deployment)
    check_missed_once(deployment.observations)


async def test_without_the_run_of_the_server_positions_are_used_again(takeover, deploy):
    """R8, the control: what tells the two servers apart is hidden, and the checks notice."""
    deployment = await deploy(takeover.server, publish_timeout=20.0, rewrite=same_run)
    await take_over(deployment, takeover, is_ahead=True)
    with pytest.raises(AssertionError, match="lost without a word"):
        check(deployment)


@pytest.mark.slow_fault
async def test_subscribers_are_at_a_server_to_which_nothing_is_published(start_pair, deploy):
    """R7: links of subscribers stay at the server of before, and look healthy."""
    pair = await start_pair()
    deployment = await deploy(pair.master, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    await deployment.settle()
    lost = [await node.server.metric("bus_links_lost") for node in deployment.nodes]
    await pair.promote()
    for proxy in deployment.proxies:
        proxy.target = pair.replica.port
        for connection in list(proxy.connections):
            if SUBSCRIBER not in connection.sent:
                connection.cut()

    async def are_noticed() -> bool:
        now = [await node.server.metric("bus_links_lost") for node in deployment.nodes]
        # The links that were cut are one loss; that of the subscriber is another.
        return all(after >= before + 2 for before, after in zip(lost, now, strict=True))

    await eventually(are_noticed, "each node notices that nothing comes")
    await deployment.settle()
    check(deployment)
