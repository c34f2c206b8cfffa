"""Lists: every iterable except texts and mappings, annotated, returned and published."""

from __future__ import annotations

import collections
import collections.abc
import typing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import graphql
import pydantic
import pytest

from fraiseql_subs import PublishError, SubscriptionManager, passthrough, subscription
from fraiseql_subs.decorators import build_schema

T = TypeVar("T")


class QuerySet(Generic[T]):
    """Like that of an ORM: an iterable that reads on iteration."""

    def __init__(self, *items: T) -> None:
        self._items = items

    def __iter__(self) -> collections.abc.Iterator[T]:
        return iter(self._items)


class ScalarResult(Generic[T]):
    """Like that of SQLAlchemy: an iterator that can be read once."""

    def __init__(self, *items: T) -> None:
        self._items = iter(items)

    def __iter__(self) -> ScalarResult[T]:
        return self

    def __next__(self) -> T:
        return next(self._items)


class Numbers(list[int]):
    pass


def type_of(annotation: Any) -> str:
    definition = passthrough("changed", annotation, channel="c")
    schema = graphql.build_schema(build_schema([definition]).sdl)
    return str(schema.subscription_type.fields["changed"].type)


@pytest.mark.parametrize(
    "annotation",
    [
        collections.abc.Iterable[int],
        collections.abc.Iterator[int],
        collections.abc.Generator[int, None, None],
        collections.abc.Sequence[int],
        collections.abc.MutableSequence[int],
        collections.abc.Collection[int],
        collections.abc.Reversible[int],
        collections.abc.Set[int],
        collections.abc.MutableSet[int],
        collections.abc.KeysView[int],
        typing.Iterable[int],
        typing.List[int],  # noqa: UP006
        typing.AbstractSet[int],
        list[int],
        set[int],
        frozenset[int],
        tuple[int, ...],
        collections.deque[int],
        QuerySet[int],
        ScalarResult[int],
        Numbers,
        list[int] | tuple[int, ...],
    ],
)
def test_an_annotation_with_an_item_type_is_a_list(annotation):
    assert type_of(annotation) == "[Int!]!"


VALUES = [
    lambda: [1, 2],
    lambda: (1, 2),
    lambda: {1, 2},
    lambda: frozenset((1, 2)),
    lambda: collections.deque((1, 2)),
    lambda: range(1, 3),
    lambda: {1: "a", 2: "b"}.keys(),
    lambda: {"a": 1, "b": 2}.values(),
    lambda: (number for number in (1, 2)),
    lambda: map(int, "12"),
    lambda: QuerySet(1, 2),
    lambda: ScalarResult(1, 2),
    lambda: Numbers((1, 2)),
]


@pytest.mark.parametrize("make", VALUES)
async def test_any_iterable_is_a_list(make):
    @subscription(channel="c")
    def returned(event) -> list[int]:
        return make()

    published = passthrough("published", list[int], channel="c")
    manager = SubscriptionManager([returned, published])
    async with (
        manager,
        manager.subscribe("subscription { returned }") as first,
        manager.subscribe("subscription { published }") as second,
    ):
        await manager.publish("c", make())
        assert sorted((await anext(first)).data["returned"]) == [1, 2]
        assert sorted((await anext(second)).data["published"]) == [1, 2]


@dataclass
class Order:
    id: int


@dataclass
class Orders:
    items: collections.abc.Iterable[Order]


async def test_objects_in_iterables_are_read_and_published():
    @subscription(channel="c")
    def returned(event) -> Orders:
        return Orders(Order(number) for number in (1, 2))

    published = passthrough("published", Orders, channel="c")
    manager = SubscriptionManager([returned, published])
    async with (
        manager,
        manager.subscribe("subscription { returned { items { id } } }") as first,
        manager.subscribe("subscription { published { items { id } } }") as second,
    ):
        await manager.publish("c", {"items": QuerySet(Order(1), Order(2))})
        expected = {"items": [{"id": 1}, {"id": 2}]}
        assert (await anext(first)).data == {"returned": expected}
        assert (await anext(second)).data == {"published": expected}


async def test_an_iterator_that_is_selected_twice_is_whole_twice():
    @subscription(channel="c")
    def changed(event) -> Orders:
        return Orders(Order(number) for number in (1, 2))

    document = "subscription { changed { a: items { id } b: items { n: id } } }"
    manager = SubscriptionManager([changed])
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("c", 1)
        assert (await anext(stream)).data["changed"] == {
            "a": [{"id": 1}, {"id": 2}],
            "b": [{"n": 1}, {"n": 2}],
        }


class Model(pydantic.BaseModel):
    id: int = 1


async def stream_of():
    yield 1


@pytest.mark.parametrize(
    "value",
    ["12", b"12", bytearray(b"12"), memoryview(b"12"), {"a": 1}, Model(), int, stream_of(), 5],
    ids=lambda value: type(value).__name__,
)
async def test_texts_mappings_and_objects_are_no_lists(value):
    @subscription(channel="c")
    def changed(event) -> list[int] | None:
        return value

    async with SubscriptionManager([changed]) as manager:
        async with manager.subscribe("subscription { changed }") as stream:
            await manager.publish("c", 1)
            result = await anext(stream)
    assert result.data == {"changed": None}
    assert "expected a list" in result.errors[0]["message"]


async def test_an_iterable_that_raises_is_an_error_at_its_place():
    def broken():
        yield 1
        raise RuntimeError("secret")

    @subscription(channel="c")
    def changed(event) -> list[int] | None:
        return broken()

    async with SubscriptionManager([changed]) as manager:
        async with manager.subscribe("subscription { changed }") as stream:
            await manager.publish("c", 1)
            result = await anext(stream)
        assert result.data == {"changed": None} and result.errors[0]["path"] == ["changed"]
        assert "secret" not in str(result.errors)
        with pytest.raises(PublishError, match=r"data\.items"):
            await manager.publish("c", {"items": broken()})


async def test_an_endless_iterable_is_refused():
    def endless():
        while True:
            yield 1

    async with SubscriptionManager([passthrough("changed", list[int], channel="c")]) as manager:
        with pytest.raises(PublishError, match="endless"):
            await manager.publish("c", endless())


async def test_keys_of_a_mapping_win_over_its_methods():
    class Items(collections.UserDict):
        pass

    @subscription(channel="c")
    def changed(event):
        return Items(items=[Order(1)])

    changed.__annotations__["return"] = Orders
    manager = SubscriptionManager([changed])
    async with manager, manager.subscribe("subscription { changed { items { id } } }") as stream:
        await manager.publish("c", 1)
        assert (await anext(stream)).data == {"changed": {"items": [{"id": 1}]}}
