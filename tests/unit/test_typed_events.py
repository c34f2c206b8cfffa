"""`Event[Order]`: the data of an event as an instance of a class."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional
from uuid import UUID

import msgspec
import pydantic
import pytest
from typing_extensions import Doc, NotRequired, TypeAliasType, TypedDict

from fraiseql_subs import (
    ID,
    Event,
    Name,
    Scalar,
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


class Level(Enum):
    LOW = 1
    HIGH = 2.5


@dataclass
class Everything:
    whole: int = 0
    number: float = 0.0
    text: str = ""
    yes: bool = False
    key: ID | None = None
    texts: list[str] = field(default_factory=list)
    wholes: tuple[int, ...] = ()
    customers: list[Customer] = field(default_factory=list)
    by_name: dict[str, Customer] = field(default_factory=dict)
    counts: dict[str, int | None] = field(default_factory=dict)
    level: Level = Level.LOW
    kind: Literal["a", "b"] = "a"
    anything: Any = None
    some: dict[str, Any] = field(default_factory=dict)
    base64: Annotated[bytes, Scalar("Base64", parse=base64.b64decode)] = b""
    at: datetime | None = None
    day: date | None = None
    total: Decimal = Decimal(0)
    uuid: UUID | None = None
    customer: Customer | None = None


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("whole", [5.7, True, "5", [5], {}]),
        ("number", ["nan", "1.5", True, []]),
        ("text", [5, {"a": 1}, ["a"], False]),
        ("yes", ["no", 0, 1, []]),
        ("key", [True, 7.5, []]),
        ("texts", ["abc", {"a": "b"}, [5], [None], 7]),
        ("wholes", ["123", {"1": 2}, [True], [1.5], 5]),
        ("customers", [[None], {"name": "a"}, "ab", ["a"], [{"name": 5}], [{}]]),
        ("by_name", [[], "ab", 5, {"a": None}, {"a": {"name": 5}}, {"a": "b"}]),
        ("counts", [{"a": "1"}, {"a": 1.5}, [1]]),
        ("level", [True, "x", [1], {}]),
        ("kind", ["c", 1, ["a"]]),
        ("some", [5.5, [], "a"]),
        ("base64", [5, "a", {}]),
        ("at", [5, True, [], "x"]),
        ("day", [5, True, [], "x"]),
        ("total", [True, [], "x", "nan"]),
        ("uuid", [5, True, [], "x"]),
        ("customer", [5, [], "x", [["name", "x"]]]),
    ],
)
def test_each_value_has_the_type_of_its_field(name, wrong):
    for value in wrong:
        with pytest.raises(ValueError, match=f"are no Everything: {name}: "):
            raise AssertionError(Event[Everything]({name: value}).data)


def test_values_are_read_as_json_writes_them():
    data = {
        "whole": 5.0,
        "number": 5,
        "key": 7,
        "wholes": [1, 2],
        "by_name": {"a": {"name": "Ada"}},
        "counts": {"a": 1, "b": None},
        "level": 2.5,
        "kind": "b",
        "base64": "aGk=",
        "total": 5,
    }
    made = Event[Everything](data).data
    assert made == Everything(
        whole=5,
        number=5.0,
        key=ID("7"),
        wholes=(1, 2),
        by_name={"a": Customer("Ada")},
        counts={"a": 1, "b": None},
        level=Level.HIGH,
        kind="b",
        base64=b"hi",
        total=Decimal(5),
    )
    assert type(made.whole) is int and type(made.number) is float


@pytest.mark.parametrize(
    ("of", "wrong"),
    [
        (dict, [5.5, [1]]),
        (dict[str, Any], [5.5, [1], None]),
        (Mapping[str, object], ["a"]),
        (list, [{"a": 1}, "ab"]),
        (list[Any], [{"a": 1}, "ab"]),
        (list[int], [[True], "12"]),
        (dict[str, int], [{"a": "b"}]),
        (Keys, [[1], {"id": "1"}]),
        (int, ["7", 5.5]),
        (str, [5]),
    ],
)
def test_data_of_another_type_than_annotated_are_refused(of, wrong):
    for data in wrong:
        with pytest.raises(ValueError, match="the data of the event are no "):
            raise AssertionError(Event[of](data).data)


def test_values_of_a_mapping_are_instances():
    assert Event[dict[str, Customer]]({"a": {"name": "Ada"}}).data == {"a": Customer("Ada")}
    assert Event[dict[Status, int]]({"paid": 1}).data == {Status.PAID: 1}


def test_what_is_made_may_be_changed():
    data = {"texts": ["a"], "anything": {"a": [{"b": []}]}, "some": {"a": []}, "counts": {"a": 1}}
    event = Event[Everything](data)
    made = event.data
    made.texts.append("b")
    made.anything["a"][0]["b"].append(1)
    made.some["a"].append(1)
    made.counts["b"] = 2
    assert dict(event) == data
    keys = Event[Keys]({"id": 1}).data
    keys["id"] = 2
    assert keys == {"id": 2}


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


OrderEvent = TypeAliasType("OrderEvent", Event[Order])


async def test_annotations_around_it_are_removed():
    seen = []

    @subscription(channel="orders")
    async def annotated(event: Annotated[Event[Order], Doc("the order")]) -> int:
        seen.append(event.data)
        return 1

    @subscription(channel="orders")
    async def aliased(event: OrderEvent) -> int:
        seen.append(event.data)
        return 1

    async with SubscriptionManager([annotated, aliased]) as manager:
        for name in ("annotated", "aliased"):
            async with manager.subscribe(f"subscription {{ {name} }}") as results:
                await manager.publish("orders", WHOLE)
                assert (await anext(results)).data == {name: 1}
    assert seen == [WHOLE, WHOLE]


async def a_union(event: Event[Order | Refund]) -> int:
    return 1


async def unknown(event: Event[Unknown]) -> int:
    return 1


@dataclass
class Paid:
    by: Customer | Refund


async def a_union_inside(event: Event[list[Paid]]) -> int:
    return 1


async def keys_of_numbers(event: Event[dict[int, str]]) -> int:
    return 1


async def optional(event: Optional[Event[Order]]) -> int:  # noqa: UP045 - as users write it
    return 1


async def one_of_two(event: Event[Order] | None) -> int:
    return 1


async def several(event: list[Event[Order]]) -> int:
    return 1


async def wrong_name(order: Event[Order]) -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (a_union, "which member of a union"),
        (a_union_inside, "Paid.by: .*which member of a union"),
        (keys_of_numbers, "the keys of JSON are texts"),
        (unknown, "cannot be resolved"),
        (optional, "is never None: annotate `Event\\[Order\\]`"),
        (one_of_two, "is never None: annotate `Event\\[Order\\]`"),
        (several, "annotate `Event\\[Order\\]`"),
        (wrong_name, "name the parameter `event`"),
    ],
)
def test_a_class_that_cannot_be_made_is_refused(function, said):
    declared = subscription(channel="orders", name="a")(function)
    with pytest.raises(SchemaError, match=said):
        SubscriptionManager([declared])
