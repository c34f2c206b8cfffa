"""A row filter that covers no channel of a subscription is refused."""

from __future__ import annotations

import pytest

from fraiseql_subs import (
    ConfigurationError,
    Identity,
    RowFilter,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)

ORDERS = passthrough("orders", dict, channel="orders")
MINE = passthrough("mine", dict, channel="orders/{userId}", arguments={"userId": int})
OWN = {"owner": "$identity.user_id"}


@subscription
async def stream():
    yield 1


def security(*channels: str) -> Security:
    return Security(rows=[RowFilter(channel, OWN) for channel in channels])


@pytest.mark.parametrize(
    "channel", ["order", "orders.*", "Orders", "orders/", "order/{userId}", "x*"]
)
def test_a_filter_that_covers_no_channel_is_refused_where_the_manager_is_made(channel):
    declared = [ORDERS] if channel == "orders/" else [ORDERS, MINE]
    with pytest.raises(ConfigurationError) as told:
        SubscriptionManager(declared, security=security("orders", channel))
    assert channel in str(told.value) and "`orders`" in str(told.value)
    assert "would protect nothing" in str(told.value)


@pytest.mark.parametrize(
    "channel",
    ["orders", "orders*", "*", "orders/7", "orders/*", "*/7", "orders/{userId}", "orders/{id}"],
)
def test_a_filter_that_may_cover_one_is_taken(channel):
    SubscriptionManager([ORDERS, MINE], security=security(channel))


def test_streams_have_no_channel():
    schema = "type Subscription { stream: Int }"
    with pytest.raises(ConfigurationError, match="channels are: none"):
        SubscriptionManager([stream], schema=schema, security=security("stream"))


async def test_what_is_declared_on_a_manager_is_held_against_its_filters():
    manager = SubscriptionManager(security=security("order"))
    manager.subscription(channel="orders")(_orders)
    with pytest.raises(ConfigurationError, match="would protect nothing"):
        await manager.start()


async def _orders(event) -> int:
    return 1


async def test_a_filter_that_is_written_as_the_template_protects_its_channels():
    manager = SubscriptionManager([MINE], security=security("orders/{userId}"))
    ada = Identity("ada")
    document = "subscription { mine(userId: 7) }"
    async with manager, manager.subscribe(document, identity=ada) as results:
        await manager.publish("orders/7", {"owner": "bob"})
        await manager.publish("orders/7", {"owner": "ada"})
        assert (await anext(results)).data == {"mine": {"owner": "ada"}}
