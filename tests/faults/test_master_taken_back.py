"""A master is replaced by one that is behind, and becomes the master again with its data."""

from __future__ import annotations

import pytest
from promises import check, check_missed_once
from takeover import Return, take_over

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("is_ahead", [False, True], ids=["nodes return", "nodes return late"])
async def test_a_master_comes_back_with_older_data_and_was_not_restarted(
    start_pair, deploy, is_ahead
):
    """R8: its process is the one of before, and its data is not."""
    takeover = Return(await start_pair())
    deployment = await deploy(takeover.server, publish_timeout=20.0)
    await take_over(deployment, takeover, is_ahead=is_ahead)
    check(deployment)
    check_missed_once(deployment.observations)


async def test_a_master_has_older_data_and_no_link_has_ended(start_pair, deploy):
    """R8: nothing but the server itself can tell of it."""
    takeover = Return(await start_pair())
    deployment = await deploy(takeover.server, publish_timeout=20.0)
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    await takeover.begin()
    async with deployment.traffic() as traffic:
        await traffic.accepts(5)
    await deployment.settle()
    await takeover.end()
    async with deployment.traffic() as traffic:
        await traffic.accepts()
    await deployment.settle()
    check(deployment)
    assert all(one.missed for one in deployment.observations)
