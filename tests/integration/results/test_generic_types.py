"""Generic classes as types: `Page[Order]`, for every kind of class."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, Optional, TypeVar

import attrs
import graphql
import msgspec
import pydantic
import pytest
import typing_extensions
from typing_extensions import TypeAliasType

from fraiseql_subs import Name, SchemaError, SubscriptionManager, passthrough, subscription
from fraiseql_subs.decorators import build_schema

T = TypeVar("T")
U = TypeVar("U")
Bounded = TypeVar("Bounded", bound="Order")


@dataclass
class Order:
    id: int


@dataclass
class User:
    name: str


@dataclass
class Page(Generic[T]):
    items: list[T]
    next: T | None = None
    cursor: str | None = None


@dataclass
class Edge(Generic[T]):
    node: T


@dataclass
class Tree(Generic[T]):
    value: T
    children: list[Tree[T]]


@dataclass
class Pair(Generic[T, U]):
    left: T
    right: U


@dataclass
class Swapped(Pair[U, T], Generic[T, U]):
    """Its T is the U of its base class."""

    third: T


@dataclass
class OrderPage(Page[Order]):
    total: int = 0


@dataclass
class Narrowed(OrderPage):
    pass


@dataclass
class Of(Generic[Bounded]):
    it: Bounded


class ModelPage(pydantic.BaseModel, Generic[T]):
    items: list[T]
    first: Optional[T] = None  # noqa: UP045


class ModelEdge(pydantic.BaseModel, Generic[T]):
    node: T
    page: ModelPage[T]


class OrderModelPage(ModelPage[int]):
    total: int


@attrs.define
class AttrsPage(Generic[T]):
    items: list[T]


class StructPage(msgspec.Struct, Generic[T]):
    items: list[T]


class DictPage(typing_extensions.TypedDict, Generic[T]):
    items: list[T]


class OrderDictPage(DictPage[Order]):
    total: int


class TuplePage(typing_extensions.NamedTuple, Generic[T]):
    items: list[T]
    total: int = 0


class Plain(NamedTuple):
    x: int
    label: str = "none"


Orders = TypeAliasType("Orders", Page[Order])
PageOf = TypeAliasType("PageOf", Page[T], type_params=(T,))


def types_of(returns: Any, **arguments: Any) -> dict[str, dict[str, str]]:
    """Fields of all object types of a schema with this type, as graphql-core reads them."""
    definition = passthrough("changed", returns, channel="c", arguments=arguments)
    schema = graphql.build_schema(build_schema([definition]).sdl)
    assert graphql.validate_schema(schema) == []
    return {
        name: {key: str(field.type) for key, field in kind.fields.items()}
        for name, kind in schema.type_map.items()
        if hasattr(kind, "fields") and not name.startswith("__") and name != "Query"
    }


PAGE = {"items": "[Order!]!", "next": "Order", "cursor": "String"}


@pytest.mark.parametrize(
    ("annotation", "name", "fields"),
    [
        (Page[Order], "OrderPage", PAGE),
        (Page[int], "IntPage", {"items": "[Int!]!", "next": "Int", "cursor": "String"}),
        (Page[str | None], "OptionalStringPage", {"items": "[String]!"}),
        (Page[list[Order]], "OrderListPage", {"items": "[[Order!]!]!", "next": "[Order!]"}),
        (Page[Edge[Order]], "OrderEdgePage", {"items": "[OrderEdge!]!"}),
        (Page[Edge[Order]], "OrderEdge", {"node": "Order!"}),
        (Page[Order | User], "OrderOrUserPage", {"items": "[OrderOrUser!]!"}),
        (Page[Annotated[Order, Name("ignored")]], "OrderPage", PAGE),
        (Page["Order"], "OrderPage", PAGE),
        (Page[Order] | None, "OrderPage", PAGE),
        (list[Page[Order]], "OrderPage", PAGE),
        (Tree[int], "IntTree", {"value": "Int!", "children": "[IntTree!]!"}),
        (Pair[int, Order], "IntOrderPair", {"left": "Int!", "right": "Order!"}),
        (Swapped[int, str], "IntStringSwapped", {"left": "String!", "right": "Int!"}),
        (Swapped[int, str], "IntStringSwapped", {"third": "Int!"}),
        (OrderPage, "OrderPage", {**PAGE, "total": "Int!"}),
        (Narrowed, "Narrowed", {**PAGE, "total": "Int!"}),
        (Of, "Of", {"it": "Order!"}),
        (Orders, "Orders", PAGE),
        (PageOf[Order], "OrderPage", PAGE),
        (ModelPage[Order], "OrderModelPage", {"items": "[Order!]!", "first": "Order"}),
        (ModelEdge[Order], "OrderModelEdge", {"node": "Order!", "page": "OrderModelPage!"}),
        (OrderModelPage, "OrderModelPage", {"items": "[Int!]!", "total": "Int!"}),
        (AttrsPage[Order], "OrderAttrsPage", {"items": "[Order!]!"}),
        (StructPage[Order], "OrderStructPage", {"items": "[Order!]!"}),
        (DictPage[Order], "OrderDictPage", {"items": "[Order!]!"}),
        (OrderDictPage, "OrderDictPage", {"items": "[Order!]!", "total": "Int!"}),
        (TuplePage[Order], "OrderTuplePage", {"items": "[Order!]!", "total": "Int!"}),
        (Plain, "Plain", {"x": "Int!", "label": "String!"}),
    ],
)
def test_a_generic_class_is_a_type_for_each_of_its_arguments(annotation, name, fields):
    found = types_of(annotation)[name]
    assert {key: found[key] for key in fields} == fields


def test_two_of_one_generic_class_are_two_types():
    found = types_of(Pair[Page[Order], Page[User]])
    assert found["OrderPage"]["items"] == "[Order!]!"
    assert found["UserPage"]["items"] == "[User!]!"
    assert found["OrderPageUserPagePair"] == {"left": "OrderPage!", "right": "UserPage!"}


def test_as_argument_it_is_an_input_object():
    found = types_of(Page[Order], page=Page[Order], edge=Edge[int])
    assert found["OrderPageInput"]["items"] == "[OrderInput!]!"
    assert found["IntEdge"] == {"node": "Int!"}


def test_a_class_of_the_same_name_is_refused_and_an_alias_helps():
    @dataclass
    class OrderPage:
        id: int

    with pytest.raises(SchemaError, match=r"another type named `OrderPage`.*type Name"):
        types_of(Pair[Page[Order], OrderPage])
    named = types_of(Pair[TypeAliasType("Orders", Page[Order]), OrderPage])
    assert named["Orders"]["items"] == "[Order!]!"


@pytest.mark.parametrize("annotation", [Page, ModelPage, Edge, list[Page]])
def test_one_without_arguments_says_what_to_write(annotation):
    with pytest.raises(SchemaError, match=r"Page\[Order\]"):
        types_of(annotation)


async def first(field: Any, document: str, event: Any) -> Any:
    manager = SubscriptionManager([field])
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("c", event)
        result = await anext(stream)
    assert result.errors is None
    return result.data["changed"]


VALUES = [
    (Page[Order], Page([Order(1)])),
    (ModelPage[Order], ModelPage[Order](items=[Order(1)])),
    (AttrsPage[Order], AttrsPage([Order(1)])),
    (StructPage[Order], StructPage([Order(1)])),
    (DictPage[Order], {"items": [Order(1)]}),
    (TuplePage[Order], TuplePage([Order(1)])),
]


@pytest.mark.parametrize(("annotation", "value"), VALUES)
async def test_its_objects_are_returned_and_published(annotation, value):
    @subscription(channel="c", name="changed")
    async def returned(event) -> annotation:
        return value

    returned.__annotations__["return"] = annotation
    document = "subscription { changed { items { id } } }"
    assert await first(returned, document, 1) == {"items": [{"id": 1}]}
    published = passthrough("changed", annotation, channel="c")
    assert await first(published, document, value) == {"items": [{"id": 1}]}


@pytest.mark.parametrize("annotation", [Page[int], ModelPage[int], DictPage[int], TuplePage[int]])
async def test_an_argument_is_an_instance_of_it(annotation):
    seen = []

    @subscription(channel="c")
    async def changed(event, page) -> int:
        seen.append(page)
        return 1

    changed.__annotations__["page"] = annotation
    assert await first(changed, "subscription { changed(page: {items: [1, 2]}) }", 1) == 1
    (page,) = seen
    assert (page["items"] if isinstance(page, dict) else page.items) == [1, 2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
def test_type_parameters_and_type_statements():
    namespace: dict[str, Any] = {"__name__": __name__, "Order": Order}
    exec(
        """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Box[T]:
    item: T
    others: list[Box[T]]

@dataclass
class Named(Box[Order]):
    name: str

type Boxes[T] = list[Box[T]]
type OrderBox = Box[Order]
type Either[T] = Box[T] | Named
""",
        namespace,
    )
    boxes = types_of(namespace["Boxes"][int])
    assert boxes["IntBox"] == {"item": "Int!", "others": "[IntBox!]!"}
    assert boxes["Subscription"] == {"changed": "[IntBox!]!"}
    assert types_of(namespace["Named"])["Named"]["item"] == "Order!"
    assert types_of(namespace["OrderBox"])["OrderBox"]["item"] == "Order!"
    assert types_of(namespace["Either"][int])["Subscription"] == {"changed": "IntBoxOrNamed!"}
