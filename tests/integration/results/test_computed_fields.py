"""Properties and methods as fields, with `@computed_field`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from typing_extensions import deprecated

from fraiseql_subs import (
    Name,
    SchemaError,
    SubscriptionManager,
    computed_field,
    passthrough,
    subscription,
)

T = TypeVar("T")


@dataclass
class Order:
    quantity: int
    price: Decimal

    @computed_field
    def total_price(self) -> Decimal:
        """Price of all of them.

        Returns:
            Not for the client.
        """
        return self.quantity * self.price

    @property
    def secret(self) -> str:
        return "not for the client"

    def method(self) -> str:
        return "not for the client"


@dataclass(frozen=True, slots=True)
class SlotsOrder:
    quantity: int

    @computed_field
    @property
    def total_price(self) -> int:
        return self.quantity * 2


class ModelOrder(pydantic.BaseModel):
    quantity: int

    @pydantic.computed_field(description="Of all")
    @property
    def total_price(self) -> int:
        return self.quantity * 2

    @computed_field
    def half(self) -> float:
        return self.quantity / 2

    @property
    def secret(self) -> str:
        return "not for the client"


@attrs.define
class AttrsOrder:
    quantity: int

    @computed_field
    def total_price(self) -> int:
        return self.quantity * 2


class StructOrder(msgspec.Struct):
    quantity: int

    @computed_field
    def total_price(self) -> int:
        return self.quantity * 2


class CachedOrder(AttrsOrder):
    calls = 0

    @computed_field
    @cached_property
    def cached(self) -> int:
        type(self).calls += 1
        return self.calls


@dataclass
class Page(Generic[T]):
    items: list[T]

    @computed_field
    def first(self) -> T | None:
        return self.items[0] if self.items else None


@dataclass
class Node:
    name: str

    @computed_field
    def parent(self) -> Annotated[Node | None, Name("above")]:
        return None

    @computed_field
    @deprecated("use name")
    def title(self) -> str:
        return self.name


async def twice(annotation: Any, value: Any, selection: str) -> list[Any]:
    """The results of an object that a resolver returns, and of one that is published."""

    @subscription(channel="c")
    def returned(event):
        return value

    returned.__annotations__["return"] = annotation
    published = passthrough("published", annotation, channel="c")
    manager = SubscriptionManager([returned, published])
    async with (
        manager,
        manager.subscribe(f"subscription {{ it: returned {selection} }}") as first,
        manager.subscribe(f"subscription {{ it: published {selection} }}") as second,
    ):
        await manager.publish("c", value)
        results = [await anext(first), await anext(second)]
    assert [result.errors for result in results] == [None, None]
    return [result.data["it"] for result in results]


@pytest.mark.parametrize("cls", [SlotsOrder, ModelOrder, AttrsOrder, StructOrder])
async def test_computed_fields_of_every_kind_of_class_are_returned_and_published(cls):
    value = cls(quantity=3)
    assert value.total_price == 6
    expected = {"quantity": 3, "totalPrice": 6}
    assert await twice(cls, value, "{ quantity totalPrice }") == [expected] * 2


def test_the_schema_has_what_is_marked_and_nothing_else():
    sdl = SubscriptionManager([passthrough("a", Order, channel="c")]).sdl()
    assert "totalPrice: Decimal!" in sdl and "Price of all of them." in sdl
    assert "secret" not in sdl and "method" not in sdl and "Not for the client" not in sdl
    sdl = SubscriptionManager([passthrough("a", ModelOrder, channel="c")]).sdl()
    assert "totalPrice: Int!" in sdl and "Of all" in sdl and "half: Float!" in sdl
    assert "secret" not in sdl
    sdl = SubscriptionManager([passthrough("a", Node, channel="c")]).sdl()
    assert "above: Node" in sdl and 'title: String! @deprecated(reason: "use name")' in sdl


async def test_one_of_a_generic_class_has_the_type_of_its_argument():
    value = Page([SlotsOrder(1)])
    expected = {"first": {"totalPrice": 2}}
    assert await twice(Page[SlotsOrder], value, "{ first { totalPrice } }") == [expected] * 2


async def test_a_cached_property_is_computed_once():
    value = CachedOrder(1)
    assert value.cached == 1
    expected = {"cached": 1, "totalPrice": 2}
    assert await twice(CachedOrder, value, "{ cached totalPrice }") == [expected] * 2


def test_a_computed_field_is_no_argument():
    manager = SubscriptionManager(
        [passthrough("a", int, channel="c", arguments={"order": SlotsOrder})]
    )
    assert "totalPrice" not in manager.sdl()


async def test_one_that_raises_is_an_error_at_its_place():
    @dataclass
    class Broken:
        id: int

        @computed_field
        def total(self) -> int | None:
            raise RuntimeError("secret")

    @subscription(channel="c")
    def changed(event):
        return Broken(1)

    changed.__annotations__["return"] = Broken
    manager = SubscriptionManager([changed])
    async with manager, manager.subscribe("subscription { changed { id total } }") as stream:
        await manager.publish("c", 1)
        result = await anext(stream)
    assert result.data == {"changed": {"id": 1, "total": None}}
    assert result.errors[0]["path"] == ["changed", "total"] and "secret" not in str(result.errors)


def test_what_cannot_be_a_field_is_refused_where_it_is_written():
    with pytest.raises(SchemaError, match="async"):

        class A:
            @computed_field
            async def total(self) -> int:
                return 1

    with pytest.raises(SchemaError, match="parameters beside `self`"):

        class B:
            @computed_field
            def total(self, currency: str) -> int:
                return 1

    with pytest.raises(SchemaError, match="above a method"):
        computed_field(5)

    @dataclass
    class Unannotated:
        id: int

        @computed_field
        def total(self):
            return 1

    with pytest.raises(SchemaError, match=r"Unannotated.total: .*return type"):
        SubscriptionManager([passthrough("a", Unannotated, channel="c")])

    @dataclass
    class Reversed:
        id: int

        @property
        @computed_field
        def total(self) -> int:
            return 1

    with pytest.raises(SchemaError, match="leave @property out"):
        SubscriptionManager([passthrough("a", Reversed, channel="c")])
