"""Scalars serialise published data and values of resolvers."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from declared_scalars import Base64

from fraiseql_subs import (
    PublishError,
    Scalar,
    SubscriptionManager,
    computed_field,
    passthrough,
    subscription,
)


def shout(text: str) -> str:
    return f"{text}!"


Shout = Annotated[str, Scalar("Shout", serialize=shout)]


Cents = Annotated[Decimal, Scalar("Cents", serialize=lambda value: int(value * 100))]


@dataclass
class Photo:
    content: Base64
    pages: list[Base64 | None]
    title: Shout
    price: Cents | None = None

    @computed_field
    def first(self) -> Base64 | None:
        return self.pages[0] if self.pages else None


@attrs.define
class AttrsPhoto:
    content: Base64


class StructPhoto(msgspec.Struct):
    content: Base64


class TuplePhoto(NamedTuple):
    content: Base64


class ModelPhoto(pydantic.BaseModel):
    content: Base64


class WrittenPhoto(pydantic.BaseModel):
    """Serialises one of its fields itself, so pydantic serialises the whole model."""

    content: Base64
    day: date

    @pydantic.field_serializer("day")
    def write_day(self, day: date) -> str:
        return f"on {day}"


PHOTO = Photo(b"\x00\xff", [b"a", None], "hi", Decimal("1.50"))


PHOTO_JSON = {
    "content": "AP8=",
    "pages": ["YQ==", None],
    "title": "hi!",
    "price": 150,
    "first": "YQ==",
}


SELECTED = "{ content pages title price first }"


@dataclass
class Album:
    photos: list[Photo]
    cover: Photo | None


async def published(field: Any, selection: str, *events: Any, **options: Any) -> list[Any]:
    """The results of a subscription for some events on the channel `c`."""
    manager = SubscriptionManager([field], **options)
    async with manager, manager.subscribe(f"subscription {{ value {selection} }}") as stream:
        for event in events:
            await manager.publish("c", event)
        results = [await anext(stream) for _ in events]
        assert [result.errors for result in results] == [None for _ in events]
        return [result.data["value"] for result in results]


async def test_scalars_make_json_of_the_fields_of_published_objects():
    feed = passthrough("value", Photo, channel="c")
    assert await published(feed, SELECTED, PHOTO) == [PHOTO_JSON]
    assert await published(feed, SELECTED, dataclasses.replace(PHOTO, price=None)) == [
        {**PHOTO_JSON, "price": None}
    ]


@pytest.mark.parametrize(
    "photo",
    [
        AttrsPhoto(b"\x00\xff"),
        StructPhoto(b"\x00\xff"),
        TuplePhoto(b"\x00\xff"),
        ModelPhoto(content=b"\x00\xff"),
        WrittenPhoto(content=b"\x00\xff", day=date(2024, 1, 31)),
    ],
    ids=lambda photo: type(photo).__name__,
)
async def test_scalars_serialise_fields_of_every_kind_of_class(photo):
    feed = passthrough("value", type(photo), channel="c")
    assert await published(feed, "{ content }", photo) == [{"content": "AP8="}]


def returning(function: Callable[[Any], Any], result: Any = Photo) -> Any:
    def value(event: Any) -> Any:
        return function(event)

    value.__annotations__["return"] = result
    return subscription(channel="c")(value)


@pytest.mark.parametrize("read", [lambda event: event.data, lambda event: event])
async def test_serialised_fields_are_not_serialised_again_by_a_resolver(read):
    assert await published(returning(read), SELECTED, PHOTO) == [PHOTO_JSON]


async def test_scalars_serialise_fields_of_nested_objects_and_lists():
    album = Album([PHOTO, PHOTO], PHOTO)
    expected = {"photos": [PHOTO_JSON, PHOTO_JSON], "cover": PHOTO_JSON}
    selection = f"{{ photos {SELECTED} cover {SELECTED} }}"
    feed = passthrough("value", Album, channel="c")
    assert await published(feed, selection, album) == [expected]
    field = returning(lambda event: event.data, Album)
    assert await published(field, selection, album) == [expected]
    field = returning(lambda event: event["photos"], list[Photo])
    assert await published(field, SELECTED, album) == [[PHOTO_JSON, PHOTO_JSON]]


async def test_republished_data_is_not_serialised_again():
    seen: list[Any] = []
    field = returning(lambda event: seen.append(event) or event.data)
    assert await published(field, SELECTED, PHOTO) == [PHOTO_JSON]
    assert await published(field, SELECTED, seen[0], seen[0].data) == [PHOTO_JSON, PHOTO_JSON]


async def test_what_was_published_as_a_dict_is_made_by_the_resolver_that_returns_it():
    field = returning(lambda event: event.data, TitleOnly)
    assert await published(field, "{ title }", {"title": "hi"}) == [{"title": "hi!"}]
    assert await published(field, "{ title }", TitleOnly("hi")) == [{"title": "hi!"}]


@dataclass
class TitleOnly:
    title: Shout


T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    items: list[T]
    first: T | None = None


async def test_scalars_serialise_fields_of_generic_classes():
    page = Page[Base64]([b"a"], b"b")
    feed = passthrough("value", Page[Base64], channel="c")
    assert await published(feed, "{ items first }", page) == [{"items": ["YQ=="], "first": "Yg=="}]


async def test_scalars_serialise_fields_with_a_schema_in_sdl():
    sdl = """
        scalar Base64 type Query { ok: Boolean }
        type Photo { content: Base64 } type Subscription { value: Photo }
    """
    scalar = Scalar("Base64", serialize=lambda value: base64.b64encode(value).decode())
    for field in (passthrough("value", channel="c"), returning(lambda event: event.data, Any)):
        values = await published(
            field, "{ content }", ModelPhoto(content=b"a"), schema=sdl, scalars=[scalar]
        )
        assert values == [{"content": "YQ=="}]


async def test_scalars_serialise_fields_in_a_union():
    feed = passthrough("value", AttrsPhoto | StructPhoto, channel="c")
    selection = "{ __typename ... on AttrsPhoto { content } ... on StructPhoto { content } }"
    for field in (feed, returning(lambda event: event.data, AttrsPhoto | StructPhoto)):
        assert await published(field, selection, AttrsPhoto(b"a"), StructPhoto(b"b")) == [
            {"__typename": "AttrsPhoto", "content": "YQ=="},
            {"__typename": "StructPhoto", "content": "Yg=="},
        ]


async def test_a_scalar_that_raises_refuses_the_event_with_its_place():
    feed = passthrough("value", Photo, channel="c")
    async with SubscriptionManager([feed]) as manager:
        for photo, place in (
            (dataclasses.replace(PHOTO, content="text"), r"data\.content"),
            (dataclasses.replace(PHOTO, pages=[b"a", 5]), r"data\.pages"),
        ):
            with pytest.raises(PublishError, match=place) as refused:
                await manager.publish("c", photo)
            assert isinstance(refused.value.__cause__, TypeError)


async def test_added_members_are_not_part_of_the_data():
    seen: list[Any] = []
    field = returning(lambda event: seen.append(event) or event.data, Any)
    (value,) = await published(field, "", PHOTO)
    assert value == dict(seen[0]) == {**PHOTO_JSON}
    assert len(seen[0]) == len(PHOTO_JSON)
    feed = passthrough("value", Any, channel="c")
    assert await published(feed, "", PHOTO) == [PHOTO_JSON]
