"""With a schema in SDL, a parameter of a resolver has to be an argument of its field."""

from __future__ import annotations

import pytest

from fraiseql_subs import Context, SchemaError, SubscriptionManager, subscription

SDL = "type Subscription { orders(userId: Int, order_id: Int, limit: Int): Int plain: Int }"


@subscription(channel="orders")
async def orders(event, variables, context: Context, *, user_id, order_id: int, limit=5):
    return 1


def test_a_parameter_may_be_spelled_as_in_python_or_as_in_the_schema():
    SubscriptionManager([orders], schema=SDL)


async def misspelt(event, *, usr_id: int):
    return 1


async def with_default(event, *, usr_id: int | None = None):
    return 1


async def stream(*, usr_id):
    yield 1


@pytest.mark.parametrize("function", [misspelt, with_default, stream])
def test_one_that_the_field_does_not_have_is_refused(function):
    options = {} if function is stream else {"channel": "orders"}
    declared = subscription(name="orders", **options)(function)
    with pytest.raises(SchemaError) as told:
        SubscriptionManager([declared], schema=SDL)
    text = str(told.value)
    assert "`Subscription.orders`" in text and "`usr_id`" in text
    assert "`userId`, `order_id`, `limit`" in text


def test_of_a_field_without_arguments_as_well():
    declared = subscription(channel="orders", name="plain")(misspelt)
    with pytest.raises(SchemaError, match="it has: none"):
        SubscriptionManager([declared], schema=SDL)
