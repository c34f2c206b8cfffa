"""The system clock is set, by libfaketime, while clients are connected."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.server_process import ServerProcess
from support.tokens import SECRET, token

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")

MANAGER = f"""
jwt = JWT(key={SECRET!r}, algorithms=["HS256"])
manager = SubscriptionManager(
    [passthrough("ticks", str, channel="ticks")], workers=1, security=Security(jwt=jwt)
)
"""

HOUR = 3600


class Clock:
    """The system clock of one process; the monotonic clock is not changed."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Set it ahead of the right time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        os.replace(new, self._file)


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
