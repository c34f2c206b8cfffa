"""A wrong declaration is refused at its creation, with what to write instead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from fraiseql_subs import (
    Context,
    Event,
    SchemaError,
    SubscriptionManager,
    passthrough,
    subscription,
)


@dataclass
class Order:
    id: int


class Data(TypedDict):
    id: int


async def other_event(e: Event) -> int:
    return 1


async def other_context(event, ctx: Context) -> int:
    return 1


async def order_as_event(event: Order) -> int:
    return 1


async def number_as_event(event: int) -> int:
    return 1


async def order_as_context(event, context: Order) -> int:
    return 1


REFUSED = {
    other_event: "parameter `e`: .*name the parameter `event`",
    other_context: "parameter `ctx`: .*name the parameter `context`",
    order_as_event: r"parameter `event`: .*`Event`, not `Order`: .*annotate `Event\[Order\]`",
    number_as_event: "parameter `event`: .*`Event`, not `int`",
    order_as_context: "parameter `context`: .*`Context`, not `Order`: annotate `Context`",
}


@pytest.mark.parametrize("schema", [None, "type Query { a: Int } type Subscription { a: Int }"])
@pytest.mark.parametrize("function", REFUSED, ids=lambda function: function.__name__)
def test_a_parameter_of_the_wrong_name_or_class_is_refused(function, schema):
    declared = subscription(channel="a", name="a")(function)
    with pytest.raises(SchemaError, match=REFUSED[function]):
        SubscriptionManager([declared], schema=schema)


async def test_what_fits_an_event_may_be_annotated():
    async def typed(event: Data) -> int:
        return event["id"]

    async def free(event: Any, context: Context) -> int:
        return event["id"]

    async def mapping(event: dict[str, int]) -> int:
        return event["id"]

    async def unknown(event: NotImported) -> int:  # noqa: F821 - as under TYPE_CHECKING
        return event["id"]

    for function in (typed, free, mapping, unknown):
        function.__annotations__["return"] = int
        if function is typed:
            function.__annotations__["event"] = Data
        declared = subscription(channel="a", name="a")(function)
        async with SubscriptionManager([declared]) as manager:
            async with manager.subscribe("subscription { a }") as results:
                await manager.publish("a", {"id": 7})
                assert (await anext(results)).data == {"a": 7}


def test_a_method_is_no_subscription():
    with pytest.raises(SchemaError, match="is a method, as its first parameter is `self`"):

        class Orders:
            @subscription(channel="a")
            async def a(self, event) -> int:
                return 1

    class Service:
        async def a(self, event) -> int:
            return 1

    with pytest.raises(SchemaError, match=r"is given the method .*Service\.a"):
        subscription(channel="a")(Service().a)


async def test_a_static_method_is_a_subscription():
    class Orders:
        @staticmethod
        @subscription(channel="a")
        async def a(event) -> int:
            return 1

    assert "a: Int!" in SubscriptionManager([Orders.a]).sdl()


def test_a_passthrough_without_a_type_says_how_to_give_one():
    declared = passthrough("a", channel="a")
    with pytest.raises(
        SchemaError, match=r'passthrough\("a"\), return type: there is none.*passthrough\("a", Or'
    ):
        SubscriptionManager([declared])
    assert SubscriptionManager([declared], schema="type Subscription { a: Int }").sdl()


async def test_a_manager_without_subscriptions_says_what_to_pass():
    with pytest.raises(SchemaError, match=r"pass some, such as SubscriptionManager\(\[order_up"):
        SubscriptionManager().sdl()


async def test_the_decorator_of_a_manager_needs_no_parentheses():
    manager = SubscriptionManager()

    @manager.subscription
    async def numbers() -> AsyncIterator[int]:
        yield 1

    assert "numbers: Int!" in manager.sdl()
    results = manager.subscribe("subscription { numbers }")
    assert [result.data async for result in results] == [{"numbers": 1}]
    await manager.close()

    with pytest.raises(SchemaError, match='channel is missing: name one, such as channel="orders"'):

        @SubscriptionManager().subscription
        async def order(event) -> int:
            return 1
