"""A link was lost, and is not made again for another reason: the log tells both."""

from __future__ import annotations

import logging

import pytest
from support import eventually

from fraiseql_subs import SubscriptionManager, passthrough

pytestmark = pytest.mark.faults


async def test_a_password_was_changed_before_a_link_was_lost(start_redis, caplog):
    """The link ended as any does; that only a new password helps shows afterwards."""
    caplog.set_level(logging.INFO)
    redis = await start_redis(requirepass="before")
    url = redis.url.replace("://", "://:before@")
    async with SubscriptionManager([passthrough("feed", int, channel="feed")], bus=url) as manager:
        await manager.publish("feed", 1)
        await redis.command("-a", "before", "CONFIG", "SET", "requirepass", "after")
        await redis.kill()
        await eventually(lambda: "cannot be reached" in caplog.text, "the log tells of the loss")
        redis.options["requirepass"] = "after"
        await redis.start()
        await eventually(lambda: "refuses this program" in caplog.text, "the log says why")
        assert "password" in caplog.text
