"""Unions: the type of a value, returned or published, as an object or as a dict."""

from __future__ import annotations

import copy
import enum
import json
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType

from fraiseql_subs import SubscriptionManager, passthrough, subscription

T = TypeVar("T")


@dataclass
class Created:
    """Has the fields of `Deleted`: only its class distinguishes them."""

    order_id: int


@dataclass
class Deleted:
    order_id: int


class CreatedModel(pydantic.BaseModel):
    order_id: int


@attrs.define
class CreatedAttrs:
    order_id: int


class CreatedStruct(msgspec.Struct):
    order_id: int


class CreatedTuple(NamedTuple):
    order_id: int


@dataclass
class Archived(Deleted):
    """Is not a member of any union."""


@dataclass
class Paid:
    order_id: int
    amount: float


@dataclass
class Change:
    what: Created | Deleted
    others: list[Created | Deleted]


@dataclass
class Page(Generic[T]):
    items: list[T]


class ModelPage(pydantic.BaseModel, Generic[T]):
    items: list[T]


async def results(field: Any, document: str, *events: Any) -> list[Any]:
    """The data of the field for each event, or the messages of errors."""
    manager = SubscriptionManager([field])
    found = []
    async with manager, manager.subscribe(document) as stream:
        for event in events:
            await manager.publish("c", event)
            result = await anext(stream)
            found.append(
                result.data["changed"]
                if result.errors is None
                else [error["message"] for error in result.errors]
            )
    return found


def returning_data(annotation: Any) -> Any:
    @subscription(channel="c")
    async def changed(event):
        return event.data

    changed.__annotations__["return"] = annotation
    return changed


def returning_event(annotation: Any) -> Any:
    @subscription(channel="c")
    def changed(event):
        return event

    changed.__annotations__["return"] = annotation
    return changed


def passing_through(annotation: Any) -> Any:
    return passthrough("changed", annotation, channel="c")


WAYS = pytest.mark.parametrize("way", [returning_data, returning_event, passing_through])

KIND = "subscription { changed { kind: __typename } }"


@WAYS
@pytest.mark.parametrize(
    "created", [Created, CreatedModel, CreatedAttrs, CreatedStruct, CreatedTuple]
)
async def test_a_published_object_is_of_the_type_of_its_class(way, created):
    field = way(created | Deleted)
    objects = [created(order_id=1), Deleted(2), Archived(3)]
    assert await results(field, KIND, *objects) == [
        {"kind": created.__name__},
        {"kind": "Deleted"},
        {"kind": "Deleted"},
    ]


@WAYS
async def test_objects_inside_a_published_object_are_told_apart(way):
    document = """subscription { changed {
        what { __typename ... on Created { orderId } }
        others { __typename ... on Deleted { orderId } }
    } }"""
    event = Change(Created(1), [Deleted(2), Created(3)])
    expected = {
        "what": {"__typename": "Created", "orderId": 1},
        "others": [{"__typename": "Deleted", "orderId": 2}, {"__typename": "Created"}],
    }
    assert await results(way(Change), document, event) == [expected]
    in_dict = {"what": event.what, "others": event.others}
    assert await results(way(Change), document, in_dict) == [expected]


async def test_the_data_of_an_event_has_nothing_but_the_fields():
    seen: list[Any] = []

    @subscription(channel="c")
    async def changed(event) -> Change:
        seen.append(event)
        return event.data

    @subscription(channel="c")
    async def plain(event) -> Any:
        return event.data

    whole = passthrough("whole", Any, channel="c")
    value = Change(Created(1), [Deleted(2)])
    expected = {"what": {"order_id": 1}, "others": [{"order_id": 2}]}
    manager = SubscriptionManager([changed, plain, whole])
    async with (
        manager,
        manager.subscribe("subscription { changed { what { __typename } } }") as typed,
        manager.subscribe("subscription { plain }") as free,
        manager.subscribe("subscription { whole }") as passed,
    ):
        await manager.publish("c", value)
        assert (await anext(typed)).data == {"changed": {"what": {"__typename": "Created"}}}
        assert (await anext(free)).data == {"plain": expected}
        assert (await anext(passed)).data == {"whole": expected}
    (event,) = seen
    assert event.data == dict(event) == {**event} == expected
    assert json.loads(json.dumps(event.data)) == expected
    assert list(event["what"]) == ["order_id"] and len(event) == len(event.data) == 2
    assert Created(**event["what"]) == value.what
    assert copy.deepcopy(event.data) == expected and str(event["what"]) == "{'order_id': 1}"


async def test_data_that_is_published_again_keeps_its_type():
    seen: list[Any] = []

    @subscription(channel="c")
    async def changed(event) -> Created | Deleted:
        seen.append(event)
        return event.data

    async with SubscriptionManager([changed]) as manager, manager.subscribe(KIND) as stream:
        await manager.publish("c", Deleted(1))
        assert (await anext(stream)).data == {"changed": {"kind": "Deleted"}}
        for again in (seen[0].data, seen[0]):
            await manager.publish_many([("c", again)])
            assert (await anext(stream)).data == {"changed": {"kind": "Deleted"}}


@WAYS
async def test_a_dict_names_its_type_or_is_told_by_its_fields(way):
    @dataclass
    class Cat:
        name: str
        lives: int | None = None

    @dataclass
    class Dog:
        name: str
        is_good: bool | None = None

    field = way(Cat | Dog)
    named = {"__typename": "Dog", "name": "x"}
    by_field = [{"name": "x", "lives": 9}, {"name": "x", "is_good": None}, {"name": "x"}]
    *found, unclear = await results(field, KIND, named, *by_field)
    assert found == [{"kind": "Dog"}, {"kind": "Cat"}, {"kind": "Dog"}]
    assert "Abstract type" in unclear[0]
    (other,) = await results(field, KIND, {"__typename": "Fish", "name": "x", "lives": 9})
    assert "Abstract type" in other[0]


class Kind(enum.Enum):
    CAT = "cat"
    DOG = "dog"


class CatModel(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    name: str = "x"


class DogModel(pydantic.BaseModel):
    kind: Literal["dog", "puppy"] = "dog"
    name: str = "x"


Pet = Annotated[CatModel | DogModel, pydantic.Field(discriminator="kind")]


class Owner(pydantic.BaseModel):
    pet: Pet


@dataclass
class CatByMember:
    kind: Literal[Kind.CAT]


@dataclass
class DogByMember:
    kind: Literal[Kind.DOG]


@dataclass
class One:
    version: Literal[1]


@dataclass
class Two:
    version: Literal[2]


@dataclass
class Yes:
    is_so: Literal[True]


@dataclass
class No:
    is_so: Literal[False]


class CatDict(TypedDict):
    kind: Literal["cat"]


class DogDict(TypedDict):
    kind: Literal["dog"]


@WAYS
@pytest.mark.parametrize(
    ("annotation", "events", "kinds"),
    [
        (Pet, [{"kind": "cat"}, {"kind": "puppy"}, DogModel()], ["CatModel", *["DogModel"] * 2]),
        (CatDict | DogDict, [{"kind": "dog"}, {"kind": "cat"}], ["DogDict", "CatDict"]),
        (One | Two, [{"version": 2}, One(1)], ["Two", "One"]),
        (Yes | No, [{"is_so": False}, {"is_so": True}], ["No", "Yes"]),
        (
            CatByMember | DogByMember,
            [{"kind": "dog"}, {"kind": Kind.CAT}, DogByMember(Kind.DOG)],
            ["DogByMember", "CatByMember", "DogByMember"],
        ),
    ],
)
async def test_a_literal_tells_the_members_of_a_union_apart(way, annotation, events, kinds):
    assert await results(way(annotation), KIND, *events) == [{"kind": kind} for kind in kinds]


async def test_a_discriminated_union_inside_a_model():
    document = "subscription { changed { pet { ... on DogModel { kind name } } } }"
    for event in (Owner(pet=DogModel(name="Rex")), {"pet": {"kind": "dog", "name": "Rex"}}):
        for way in (returning_data, passing_through):
            expected = {"pet": {"kind": "dog", "name": "Rex"}}
            assert await results(way(Owner), document, event) == [expected]


async def test_a_value_with_a_tag_that_lacks_a_field_is_told_of_the_field():
    (messages,) = await results(
        passing_through(Pet),
        "subscription { changed { ... on CatModel { name } } }",
        {"kind": "cat"},
    )
    assert messages == ["Cannot return null for non-nullable field CatModel.name."]


@WAYS
async def test_two_of_one_generic_class_are_told_apart(way):
    field = way(ModelPage[int] | ModelPage[str])
    pages = [ModelPage[int](items=[]), ModelPage[str](items=[])]
    expected = [{"kind": "IntModelPage"}, {"kind": "StringModelPage"}]
    assert await results(field, KIND, *pages) == expected
    field = way(Page[int] | Page[str])
    pages = [Page[int]([]), Page[str]([])]
    assert await results(field, KIND, *pages) == [{"kind": "IntPage"}, {"kind": "StringPage"}]
    field = way(Page[int] | Created)
    assert await results(field, KIND, Page([1])) == [{"kind": "IntPage"}]


async def test_a_class_that_derives_from_a_member_is_that_member():
    @subscription(channel="c")
    def changed(event) -> list[Created | Deleted]:
        return [Archived(1), Created(2)]

    (found,) = await results(changed, KIND, 1)
    assert found == [{"kind": "Deleted"}, {"kind": "Created"}]


async def test_an_object_of_another_class_is_told_by_its_attributes():
    class Row:
        order_id = 7

    class Other:
        pass

    @subscription(channel="c")
    def changed(event) -> Created | Paid:
        return Row() if event.data else Other()

    found = await results(changed, KIND, 1, 0)
    assert found[0] == {"kind": "Created"} and "Abstract type" in found[1][0]


async def test_unions_of_unions_are_one_union():
    pet = TypeAliasType("Pet", CatModel | DogModel)
    field = passing_through(pet | Created | None)
    assert await results(field, KIND, Created(1), None) == [{"kind": "Created"}, None]


async def test_types_of_a_schema_in_sdl_are_kept_as_well():
    sdl = """
        interface Event { orderId: Int! }
        type Created implements Event { orderId: Int! }
        type Deleted implements Event { orderId: Int! }
        type Subscription { changed: Event }
    """
    manager = SubscriptionManager([passthrough("changed", channel="c")], schema=sdl)
    async with manager, manager.subscribe(KIND) as stream:
        await manager.publish("c", Deleted(1))
        assert (await anext(stream)).data == {"changed": {"kind": "Deleted"}}


class Stranger:
    """A class that is not in the schema, with the fields of both types."""

    order_id = 1


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        ({"order_id": 1}, "an object of type `dict` has no `__typename`"),
        (Stranger(), "an object of type `Stranger` has no `__typename`"),
        ("text", "an object of type `str` has no `__typename`"),
    ],
)
async def test_a_value_that_cannot_be_decided_is_told_of_in_the_log(value, logged, caplog):
    @subscription(channel="events")
    async def event(event) -> Created | Deleted | None:
        return value

    async with SubscriptionManager([event]) as manager:
        async with manager.subscribe("subscription { event { __typename } }") as results:
            await manager.publish("events", 1)
            result = await anext(results)
    assert result.data == {"event": None}
    (error,) = result.errors
    # As other servers do; the value is not shown to the client.
    assert error["message"].startswith('Abstract type "CreatedOrDeleted" must resolve to an Object')
    assert "__typename" not in error["message"]
    assert logged in caplog.text
