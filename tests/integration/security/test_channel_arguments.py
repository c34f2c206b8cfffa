"""Arguments in channel names: a client cannot reach channels of other arguments."""

from __future__ import annotations

import pytest

from fraiseql_subs import (
    RBAC,
    ConfigurationError,
    Identity,
    SchemaError,
    Scope,
    Security,
    SubscriptionManager,
    ValidationError,
    passthrough,
)

notes = passthrough("notes", str, channel="{team}.{topic}", arguments={"team": str, "topic": str})
IN_TEAM = Scope({"team": "$identity.team"})


@pytest.mark.parametrize(
    ("team", "topic"), [("acme", "eu.secret"), ("acme", ".secret"), ("acme", "eu.")]
)
async def test_a_value_with_the_text_between_two_arguments_is_refused(team, topic):
    security = Security(scope=IN_TEAM)
    document = (
        "subscription ($team: String!, $topic: String!) { notes(team: $team, topic: $topic) }"
    )
    async with SubscriptionManager([notes], security=security) as manager:
        results = manager.subscribe(
            document,
            {"team": team, "topic": topic},
            identity=Identity("eve", claims={"team": "acme"}),
        )
        with pytest.raises(ValidationError, match=r"`topic` must not contain `\.`"):
            await anext(results)


async def test_other_values_are_taken_as_they_are():
    document = 'subscription { notes(team: "a/b {c}", topic: "ü-d") }'
    async with (
        SubscriptionManager([notes]) as manager,
        manager.subscribe(document) as results,
    ):
        await manager.publish("a/b {c}.ü-d", "text")
        assert (await anext(results)).data == {"notes": "text"}


async def test_only_the_last_argument_may_have_any_text():
    orders = passthrough("orders", str, channel="orders.{region}", arguments={"region": str})
    async with (
        SubscriptionManager([orders]) as manager,
        manager.subscribe('subscription { orders(region: "eu.west.1") }') as results,
    ):
        await manager.publish("orders.eu.west.1", "text")
        assert (await anext(results)).data == {"orders": "text"}


def test_two_arguments_need_a_text_between_them():
    joined = passthrough("joined", str, channel="{a}{b}", arguments={"a": str, "b": str})
    with pytest.raises(SchemaError, match="no text between them"):
        SubscriptionManager([joined])


def protected(reached: str, **permissions: str) -> None:
    fields = [
        passthrough("orders", str, channel="orders.{region}", arguments={"region": str}),
        passthrough(
            "audit", str, channel=reached, arguments={"id": str} if "{" in reached else None
        ),
    ]
    SubscriptionManager(fields, security=Security(rbac=RBAC(subscriptions=permissions)))


@pytest.mark.parametrize("reached", ["orders.audit", "orders.audit.{id}"])
def test_an_argument_reaches_no_channel_of_a_field_with_other_permissions(reached):
    with pytest.raises(ConfigurationError, match=r"`Subscription.orders` can be asked for"):
        protected(reached, audit="audit:read")


def test_permissions_that_are_equal_or_channels_that_are_apart_are_fine():
    protected("orders.audit", audit="read", orders="read")
    protected("orders.audit", orders="read")
    protected("audit.orders", audit="read")
    protected("orders.{id}", audit="read")
