"""Events whose tenant has no effect: refused, or reported in the log."""

from __future__ import annotations

import logging

import pytest
from support import eventually

from fraiseql_subs import (
    ConfigurationError,
    Identity,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
)

FEEDS = [passthrough("feed", int, channel="feed"), passthrough("other", int, channel="other")]
ISOLATED = Security(tenant=TenantIsolation())


@pytest.fixture
def warned(caplog):
    """Return the channels that warnings with a text are about, in order."""

    def read(text: str) -> list[str]:
        return [
            record.fields["channel"]
            for record in caplog.records
            if record.name == "fraiseql_subs"
            and record.levelno == logging.WARNING
            and text in record.getMessage()
        ]

    return read


async def test_for_tenant_is_refused_where_there_is_no_isolation():
    async with SubscriptionManager(FEEDS) as manager:
        with pytest.raises(ConfigurationError, match=r"Security\(tenant=TenantIsolation\(\)\)"):
            manager.for_tenant("a")
        with pytest.raises(ConfigurationError, match="at least one character"):
            manager.for_tenant("")


async def test_a_tenant_without_isolation_is_told_once_for_each_channel(warned):
    text = "reaches the subscribers of all tenants"
    async with SubscriptionManager(FEEDS) as manager:
        for _ in range(3):
            await manager.publish("feed", 1, tenant_id="a")
        await manager.publish("feed", 1)
        await manager.publish_many([{"channel": "other", "data": 1, "tenant_id": "a"}])
        await eventually(lambda: "other" in warned(text), "the last channel is told")
    assert warned(text) == ["feed", "other"]


async def test_an_event_without_a_tenant_is_told_once_for_each_channel_and_counted(warned, caplog):
    async with SubscriptionManager(FEEDS, security=ISOLATED) as manager:
        for _ in range(3):
            await manager.publish("feed", 1)
        await manager.publish("feed", 1, tenant_id="a")
        await manager.publish("other", 1)
        await eventually(lambda: "other" in warned("is dropped"), "the last channel is told")
        assert manager.metrics().events_without_tenant == 4
    assert warned("is dropped") == ["feed", "other"]
    assert "for_tenant(...)" in caplog.text and "event_field" in caplog.text


async def test_what_has_its_tenant_is_not_told(warned):
    async with SubscriptionManager(FEEDS, security=ISOLATED) as manager:
        ada = Identity("ada", tenant_id="a")
        async with manager.subscribe("subscription { feed }", identity=ada) as results:
            await manager.for_tenant("a").publish("feed", 7)
            assert (await anext(results)).data == {"feed": 7}
    assert warned("") == []
