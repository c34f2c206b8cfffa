"""An error that concerns one event of a batch names it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fraiseql_subs import (
    PublishError,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
)

GOOD = ("feed", 1)

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an empty channel": ({"channel": "", "data": 1}, "the channel is empty"),
    "two tenants": (
        {"channel": "feed", "data": {"tenant_id": "mine"}, "tenant_id": "other"},
        "tenant_id is `other`",
    ),
}


def make_manager() -> SubscriptionManager:
    feed = passthrough("feed", Any, channel="feed")
    return SubscriptionManager([feed], security=Security(tenant=TenantIsolation()))


@pytest.mark.parametrize("what", BAD)
async def test_an_event_that_is_refused_is_named_in_a_batch_alone(what):
    bad, problem = BAD[what]
    async with make_manager() as manager:
        with pytest.raises(PublishError) as told:
            await manager.publish_many([GOOD, GOOD, bad, GOOD])
        assert str(told.value).startswith(f"events[2]: {problem}")
        with pytest.raises(PublishError) as told:
            await asyncio.to_thread(manager.publish_many, [GOOD, bad])
        assert str(told.value).startswith(f"events[1]: {problem}")
        with pytest.raises(PublishError) as told:
            await manager.publish(**bad)
        assert str(told.value).startswith(problem)
        assert manager.metrics().events_accepted == 0


async def test_an_event_of_another_tenant_than_that_of_its_publisher_is_named():
    async with make_manager() as manager:
        other = {"channel": "feed", "data": 1, "tenant_id": "other"}
        with pytest.raises(PublishError, match=r"^events\[1\]: tenant_id="):
            await manager.for_tenant("mine").publish_many([GOOD, other])
