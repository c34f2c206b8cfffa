"""`Event[Order]`: the data of an event as an instance of a class."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pydantic
import pytest
from typing_extensions import NotRequired, TypedDict

from fraiseql_subs import (
    Event,
    Name,
    SchemaError,
    SubscriptionManager,
    computed_field,
    subscription,
)

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]


class Status(Enum):
    NEW = "new"
    PAID = "paid"


@dataclass
class Customer:
    name: str


@dataclass
class Order:
    id: int
    user_id: int
    status: Status
    total: Decimal
    at: datetime | None = None
    customer: Customer | None = None
    lines: list[Customer] = field(default_factory=list)
    note: Annotated[str, Name("remark")] = ""

    @computed_field
    def label(self) -> str:
        return f"#{self.id}"


class Keys(TypedDict):
    id: int
    at: NotRequired[datetime]


class Model(pydantic.BaseModel):
    id: int = pydantic.Field(gt=0)


class Struct(msgspec.Struct):
    id: int
    status: Status = Status.NEW


@dataclass
class Refund:
    id: int


AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
WHOLE = Order(1, 2, Status.PAID, Decimal("1.50"), AT, Customer("Ada"), [Customer("Bo")], "soon")


def test_it_is_what_was_published():
    assert Event[Order](WHOLE).data == WHOLE
    assert Event[Struct](Struct(1, Status.PAID)).data == Struct(1, Status.PAID)
    assert Event[Model](Model(id=1)).data == Model(id=1)
    assert Event[list[Customer]]([Customer("Ada")]).data == [Customer("Ada")]
    assert Event[Status]("paid").data is Status.PAID
    assert Event[Order | None](None).data is None
    assert Event[datetime]("2026-01-02T03:04:05Z").data == AT
    assert Event[Keys]({"id": 1, "at": AT}).data == {"id": 1, "at": AT}
    assert Event[Keys]({"id": 1}).data == {"id": 1}


def test_names_are_those_of_python_or_of_graphql():
    data = {"id": 1, "status": "new", "total": "2", "remark": "soon"}
    for name in ("user_id", "userId"):
        order = Event[Order]({**data, name: 7}).data
        assert (order.user_id, order.note, order.lines) == (7, "soon", [])


def test_it_is_made_once_and_the_mapping_stays():
    event = Event[Order](WHOLE)
    assert event.data is event.data
    assert event["status"] == "paid" and dict(event)["label"] == "#1"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Event[Order]({"id": 1}), "are no Order: user_id is missing"),
        (lambda: Event[Order]({"id": 1, "user_id": None}), "user_id is missing"),
        (lambda: Event[Order]({"id": "x"}), "id: 'x' is not a whole number"),
        (lambda: Event[Order](7), "are no Order"),
        (lambda: Event[Order]([1]), "are no Order"),
        (lambda: Event[Model]({"id": 0}), "are no Model: id: .*greater than 0"),
        (lambda: Event[Status]("gone"), "are no Status"),
        (lambda: Event[Order](None), "are no Order"),
    ],
)
def test_data_that_are_not_of_the_class_are_refused(make, said):
    event = make()
    with pytest.raises(ValueError, match=said):
        _ = event.data


@pytest.mark.parametrize("of", [Any, dict, dict[str, Any], Mapping[str, object], list[int], object])
def test_json_stays_as_it_is(of):
    data = [1] if of == list[int] else {"a": {"b": 1}}
    assert Event[of](data).data == data
    assert Event(data).data == copy.deepcopy(data)


async def test_resolvers_receive_instances_of_their_own():
    seen = []

    @subscription(channel="orders")
    async def order(event: Event[Order]) -> Order:
        seen.append(event.data)
        return event.data

    @subscription(channel="orders")
    def label(event: Event[Order], *, after: str = "") -> str:
        seen.append(event.data)
        return f"{event.data.label}{after}"

    @subscription(channel="orders")
    async def plain(event: Event) -> str:
        return event.data["status"]

    async with SubscriptionManager([order, label, plain]) as manager:
        documents = ['{ label(after: "!") }', "{ order { status customer { name } } }", "{ plain }"]
        streams = [manager.subscribe(f"subscription {each}") for each in documents]
        for stream in streams:
            await stream.__aenter__()
        await manager.publish("orders", WHOLE)
        results = [(await anext(stream)).data for stream in streams]
        for stream in streams:
            await stream.aclose()
    assert results == [
        {"label": "#1!"},
        {"order": {"status": "PAID", "customer": {"name": "Ada"}}},
        {"plain": "paid"},
    ]
    assert seen == [WHOLE, WHOLE] and seen[0] is not seen[1]


async def test_data_that_are_not_of_the_class_are_an_error_of_the_call():
    @subscription(channel="orders")
    async def order(event: Event[Order]) -> int:
        return event.data.id

    async with SubscriptionManager([order]) as manager:
        async with manager.subscribe("subscription { order }") as results:
            await manager.publish("orders", {"id": 1})
            result = await anext(results)
            assert result.errors is not None
            assert result.errors[0]["message"] == "Internal server error"
            await manager.publish("orders", WHOLE)
            assert (await anext(results)).data == {"order": 1}


async def a_union(event: Event[Order | Refund]) -> int:
    return 1


async def unknown(event: Event[Unknown]) -> int:
    return 1


async def wrong_name(order: Event[Order]) -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (a_union, "which member of a union"),
        (unknown, "cannot be resolved"),
        (wrong_name, "name the parameter `event`"),
    ],
)
def test_a_class_that_cannot_be_made_is_refused(function, said):
    declared = subscription(channel="orders", name="a")(function)
    with pytest.raises(SchemaError, match=said):
        SubscriptionManager([declared])
