"""Filters that can never match are refused at their declaration."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fraiseql_subs import (
    ConfigurationError,
    SchemaError,
    SubscriptionManager,
    passthrough,
    subscription,
)


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"


class Metal(enum.Enum):
    TIN = "t"


@dataclass
class Customer:
    id: UUID


@dataclass
class Order:
    id: int
    region: str
    paid: bool
    at: datetime
    day: date
    total: Decimal
    colour: Colour
    customer: Customer
    tags: list[str]
    items: list[Customer]


SDL = """
    scalar DateTime scalar Date scalar Decimal scalar UUID scalar JSON
    enum Colour { RED GREEN }
    enum Metal { TIN }
    input Where { region: String }
    type Query { ok: Boolean }
    type Customer { id: UUID! }
    type Order {
        id: Int! region: String! paid: Boolean! at: DateTime! day: Date! total: Decimal!
        colour: Colour! customer: Customer! tags: [String!]! items: [Customer!]! more: JSON
    }
    type Subscription {
        orders(
            flag: Boolean, count: Int, text: String, key: UUID, moment: DateTime, colour: Colour
            metal: Metal, texts: [String!], numbers: [Int!], where: Where, json: JSON
        ): Order
    }
"""

ARGUMENTS: dict[str, Any] = {
    "flag": bool,
    "count": int,
    "text": str,
    "key": UUID,
    "moment": datetime,
    "colour": Colour,
    "metal": Metal,
    "texts": list[str],
    "numbers": list[int],
}


def declare(style: str, **options: Any) -> SubscriptionManager:
    options = {"channel": "orders", **options}
    if style == "SDL":
        return SubscriptionManager([passthrough("orders", **options)], schema=SDL)
    orders = passthrough("orders", Order, arguments=ARGUMENTS, **options)
    return SubscriptionManager([orders])


STYLES = ("type hints", "SDL")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("region.name", "eu", "`name` is looked for in a value of type String"),
        ("at.year", 2024, "`year` is looked for in a value of type DateTime"),
        ("colour.value", "r", "`value` is looked for in a value of type Colour"),
        ("items.id", "$key", "`id` is looked for in a list"),
        ("region", True, "can never equal a String or ID"),
        ("region", ["eu"], "can never equal a String or ID"),
        ("region", {"name": "eu"}, "can never equal a String or ID"),
        ("id", "seven", "can never equal a number"),
        ("total", "much", "can never equal a number"),
        ("paid", "yes", "can never equal a Boolean"),
        ("at", "tomorrow", "can never equal a DateTime"),
        ("day", "someday", "can never equal a Date"),
        ("customer.id", "7", "can never equal a UUID"),
        ("colour", "MAUVE", "can never equal a value of the enum Colour"),
        ("colour", Metal.TIN, "can never equal a value of the enum Colour"),
        ("customer", "7", "can never equal an object"),
        ("tags", "new", "can never equal a list"),
        ("paid", "$text", "`text` is a String or ID, which can never equal a Boolean"),
        ("at", "$flag", "`flag` is a Boolean, which can never equal a DateTime"),
        ("at", "$count", "`count` is a number, which can never equal a DateTime"),
        ("at", "$key", "`key` is a UUID, which can never equal a DateTime"),
        ("colour", "$metal", "is a value of the enum Metal, which can never equal a value of the"),
        ("colour", "$moment", "can never equal a value of the enum Colour"),
        ("region", "$texts", "`texts` is a list, which can never equal a String or ID"),
        ("tags", "$text", "`text` is a String or ID, which can never equal a list"),
        ("items", "$numbers", "`numbers` is a list, which can never equal a list"),
    ],
)
def test_a_condition_that_can_never_hold_is_refused(style, path, value, problem):
    with pytest.raises(SchemaError) as refused:
        declare(style, filter={path: value})
    message = str(refused.value)
    assert f"`Subscription.orders`: filter `{path}` can never match: " in message
    assert problem in message
    assert "SKIP" in message


def test_a_name_of_graphql_that_is_no_key_of_the_data_is_refused():
    @dataclass
    class Sale:
        user_id: int

    def declare(path: str) -> SubscriptionManager:
        arguments = {"userId": int}
        sale = passthrough(
            "sale", Sale, channel="sales", arguments=arguments, filter={path: "$userId"}
        )
        return SubscriptionManager([sale])

    declare("user_id")
    with pytest.raises(SchemaError, match="`userId` is the name in GraphQL, and `user_id` the key"):
        declare("userId")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("beyond", 7),
        ("beyond.the", "$texts"),
        ("customer.name", "x"),
        ("region", "eu"),
        ("region", 7),
        ("region", None),
        ("region", "$colour"),
        ("id", "7"),
        ("id", "$text"),
        ("total", 1.5),
        ("paid", 1),
        ("at", "2024-01-31T12:00:00Z"),
        ("at", datetime(2024, 1, 31)),
        ("day", "$moment"),
        ("colour", "r"),
        ("colour", "RED"),
        ("colour", Colour.RED),
        ("colour", "$text"),
        ("customer.id", "123E4567E89B12D3A456426614174000"),
        ("customer.id", "$text"),
        ("customer", {"id": "7"}),
        ("tags", ["a"]),
        ("tags", "$texts"),
    ],
)
def test_a_condition_that_can_hold_is_taken(style, path, value):
    # The schema in SDL has only the names of the enum; the class of a constant has the values.
    enums = {"enums": [Colour]} if style == "SDL" else {}
    options = {"channel": "orders", "filter": {path: value}}
    if style == "SDL":
        SubscriptionManager([passthrough("orders", **options)], schema=SDL, **enums)
    else:
        declare(style, filter={path: value})


def test_free_json_may_hold_anything():
    declare("SDL", filter={"more.or.less": True, "more": "$json"})


def test_what_a_resolver_receives_is_not_known_to_be_of_its_type():
    @subscription(channel="orders", filter={"region": True, "items.id": 7})
    async def orders(event) -> Order: ...

    SubscriptionManager([orders])


@pytest.mark.parametrize(
    ("argument", "what"),
    [("texts", "a list"), ("where", "an object")],
)
def test_a_list_or_an_object_in_a_channel_is_refused(argument, what):
    with pytest.raises(
        SchemaError, match=f"`{argument}`, which is {what} and cannot be part of a name"
    ):
        declare("SDL", channel=f"orders.{{{argument}}}")


@pytest.mark.parametrize(
    "options", [{"channel": "orders.{nothing}"}, {"filter": {"id": "$nothing"}}]
)
@pytest.mark.parametrize("style", STYLES)
def test_an_argument_that_is_not_declared_is_refused(style, options):
    with pytest.raises(SchemaError, match="`nothing`"):
        declare(style, **options)


@pytest.mark.parametrize("constant", [float("nan"), Decimal("NaN"), Decimal("Infinity"), object()])
def test_a_constant_that_cannot_be_published_is_refused(constant):
    with pytest.raises(SchemaError, match="has no JSON"):
        passthrough("orders", Order, channel="orders", filter={"total": constant})


def test_an_enum_that_is_no_class_is_refused():
    with pytest.raises(ConfigurationError, match=r"enums=\[Status\]"):
        SubscriptionManager([passthrough("orders", channel="o")], schema=SDL, enums=[Colour.RED])
