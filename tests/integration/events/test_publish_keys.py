"""A dict of `publish_many` with an unknown key is refused."""

from __future__ import annotations

import pytest

from fraiseql_subs import (
    PublishError,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
)


@pytest.mark.parametrize(
    ("key", "shown"), [("event_typ", "event_typ"), ("tenant", "tenant"), (5, "5"), ("", "''")]
)
async def test_an_unknown_key_is_named_and_nothing_is_published(key, shown):
    security = Security(tenant=TenantIsolation())
    async with SubscriptionManager(
        [passthrough("feed", int, channel="feed")], security=security
    ) as manager:
        events = [("feed", 1), {"channel": "feed", "data": 1, key: "paid"}]
        for publish_many in (manager.publish_many, manager.for_tenant("a").publish_many):
            with pytest.raises(PublishError) as told:
                await publish_many(events)
            assert "events[1]" in str(told.value) and shown in str(told.value)
            assert "`event_type`" in str(told.value)
        assert manager.metrics().events_accepted == 0


async def test_all_parameters_of_publish_are_taken():
    event = {"channel": "feed", "data": 1, "event_type": "a", "tenant_id": "t", "event_id": "i"}
    async with SubscriptionManager([passthrough("feed", int, channel="feed")]) as manager:
        (receipt,) = await manager.publish_many([event])
        assert receipt.event_id == "i"
