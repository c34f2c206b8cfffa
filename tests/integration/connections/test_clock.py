"""The system clock is set, by libfaketime, while clients are connected."""

from __future__ import annotations

import time

import pytest
from support.clock import HOUR, Clock, needs_faketime
from support.server_process import ServerProcess
from support.tokens import SECRET, token

pytestmark = needs_faketime

MANAGER = f"""
jwt = JWT(key={SECRET!r}, algorithms=["HS256"])
manager = SubscriptionManager(
    [passthrough("ticks", str, channel="ticks")], workers=1, security=Security(jwt=jwt)
)
"""


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(tmp_path)


async def test_a_clock_that_is_set_forward_ends_identities_at_once(clock, connect):
    async with ServerProcess(MANAGER, environment=clock.environment) as server:
        url = server.url
        short = await connect(url, {"authorization": token(exp=time.time() + HOUR)})
        long = await connect(url, {"authorization": token(exp=time.time() + 9 * HOUR)})
        await long.subscribe("subscription { ticks }")
        clock.set(2 * HOUR)
        await short.expect_close(4403, "Identity expired")
        await server.publish()
        assert await long.receive_data() == {"ticks": "tick"}


async def test_a_clock_that_is_set_back_makes_no_identity_last_longer(clock, connect):
    async with ServerProcess(MANAGER, environment=clock.environment) as server:
        url = server.url
        client = await connect(url, {"authorization": token(exp=time.time() + 5)})
        clock.set(-HOUR)
        await client.expect_close(4403, "Identity expired")
        # New clients are checked with the current clock.
        again = await connect(url, {"authorization": token(exp=time.time() - HOUR + 60)})
        await again.subscribe("subscription { ticks }")
        await server.publish()
        assert await again.receive_data() == {"ticks": "tick"}
