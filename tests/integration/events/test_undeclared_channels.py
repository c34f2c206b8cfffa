"""Publishing on a channel without a subscription is logged once, to find misspelt channels."""

from __future__ import annotations

import logging

import pytest
from support import eventually

from fraiseql_subs import SubscriptionManager, passthrough


@pytest.fixture
def told(caplog):
    """Return the logged channels, in order."""
    caplog.set_level(logging.DEBUG, logger="fraiseql_subs")

    def read() -> list[str]:
        return [
            record.fields["channel"]
            for record in caplog.records
            if record.name == "fraiseql_subs"
            and "no subscription is declared" in record.message
            and "channel" in record.fields
        ]

    return read


SUBSCRIPTIONS = [
    passthrough("orders", int, channel="orders"),
    passthrough(
        "mine", int, channel="orders.{userId}.{day}", arguments={"userId": int, "day": str}
    ),
]


async def test_an_undeclared_channel_is_said_once_at_debug_level(told, caplog):
    async with SubscriptionManager(SUBSCRIPTIONS) as manager:
        for _ in range(3):
            for channel in ["orders", "ordres", "orders.7.today", "orders.7", "Orders"]:
                await manager.publish(channel, 1)
        await manager.publish("the last", 1)
        await eventually(lambda: "the last" in told(), "the last undeclared channel is said")
    assert told() == ["ordres", "orders.7", "Orders", "the last"]
    record = next(record for record in caplog.records if record.name == "fraiseql_subs")
    assert record.levelno == logging.DEBUG
    assert "channel='ordres'" in record.getMessage()


async def test_a_channel_without_subscribers_is_no_undeclared_one(told):
    async with SubscriptionManager(SUBSCRIPTIONS) as manager:
        await manager.publish("orders", 1)
        await manager.publish("orders.1.x", 1)
        await manager.publish("the last", 1)
        await eventually(lambda: told() == ["the last"], "only the last channel is said")


@pytest.mark.alone
async def test_how_many_are_said_is_bounded(told):
    async with SubscriptionManager(SUBSCRIPTIONS) as manager:
        await manager.publish_many((f"other.{number}", 1) for number in range(1000))
        await eventually(lambda: len(told()) >= 100, "as many are said as a kind may say at once")
    assert told()[:100] == [f"other.{number}" for number in range(100)]
    # The notices remember this many channels.
    assert len(told()) <= 256
