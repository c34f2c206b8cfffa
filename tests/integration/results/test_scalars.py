"""Values of many kinds: classes of other libraries, scalars that the application declares."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, NewType, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from typing_extensions import Doc

from fraiseql_subs import (
    ConfigurationError,
    Deprecated,
    Name,
    PublishError,
    Scalar,
    SchemaError,
    SubscriptionManager,
    ValidationError,
    computed_field,
    passthrough,
    subscription,
)


def decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"{text!r} is not Base64") from error


Base64 = Annotated[
    bytes,
    Scalar(
        "Base64",
        serialize=lambda value: base64.b64encode(value).decode(),
        parse=decode,
        description="Bytes as text.",
        specified_by="https://www.rfc-editor.org/rfc/rfc4648",
    ),
]


@attrs.define
class Engine:
    horse_power: int
    tags: list[str] = attrs.field(factory=list)
    fuel: str = "diesel"


class Wheel(msgspec.Struct):
    size_mm: int
    spare: bool = False
    marks: list[str] = []


@dataclass
class Car:
    engine: Engine
    wheels: list[Wheel]
    picture: Base64 | None
    secret: Annotated[int, Name("numberOfKeys"), Doc("Keys that exist."), Deprecated("ask us")] = 2


CAR = Car(Engine(90), [Wheel(600), Wheel(500, spare=True)], b"\x00\xff")


@subscription(channel="cars")
def car(event, *, engine: Engine | None = None, wheel: Wheel | None = None) -> Car:
    return CAR


@subscription(channel="cars")
def echo(event, *, content: Base64, key: Annotated[int, Name("theKey")] = 1) -> Base64:
    return content * key


async def test_attrs_classes_and_msgspec_structs_are_read_like_dataclasses():
    manager = SubscriptionManager([car])
    document = """
        subscription {
            car {
                engine { horsePower tags fuel } wheels { sizeMm spare } picture numberOfKeys
            }
        }
    """
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("cars", None)
        assert (await anext(stream)).data == {
            "car": {
                "engine": {"horsePower": 90, "tags": [], "fuel": "diesel"},
                "wheels": [{"sizeMm": 600, "spare": False}, {"sizeMm": 500, "spare": True}],
                "picture": "AP8=",
                "numberOfKeys": 2,
            }
        }


async def test_attrs_classes_and_msgspec_structs_can_be_published():
    feed = passthrough("feed", Wheel, channel="cars")
    engines = passthrough("engines", Engine, channel="engines")
    manager = SubscriptionManager([feed, engines])
    async with (
        manager,
        manager.subscribe("subscription { feed { sizeMm spare marks } }") as wheels,
        manager.subscribe("subscription { engines { horsePower tags } }") as stream,
    ):
        await manager.publish("cars", Wheel(600))
        await manager.publish("engines", Engine(90))
        assert (await anext(wheels)).data == {"feed": {"sizeMm": 600, "spare": False, "marks": []}}
        assert (await anext(stream)).data == {"engines": {"horsePower": 90, "tags": []}}


async def test_attrs_classes_and_msgspec_structs_are_made_of_arguments():
    seen: list[Any] = []

    @subscription(channel="cars")
    def made(event, *, engine: Engine, wheel: Wheel) -> int:
        seen.extend([engine, wheel])
        return 1

    manager = SubscriptionManager([made])
    document = "subscription { made(engine: {horsePower: 5}, wheel: {sizeMm: 1, spare: true}) }"
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("cars", None)
        await anext(stream)
    assert seen == [Engine(5), Wheel(1, spare=True)]


def test_the_schema_tells_names_descriptions_deprecations_and_scalars():
    sdl = SubscriptionManager([car, echo]).sdl()
    assert '"""\nBytes as text.\n"""\nscalar Base64 @specifiedBy(url: "https://www.rfc' in sdl
    assert 'Keys that exist.\n  """\n  numberOfKeys: Int! @deprecated(reason: "ask us")' in sdl
    assert "echo(content: Base64!, theKey: Int! = 1): Base64!" in sdl
    assert "horsePower: Int!\n  tags: [String!]! = []\n  fuel: String! =" in sdl


async def test_a_scalar_is_parsed_once_and_serialised_for_each_result():
    manager = SubscriptionManager([echo])
    document = 'subscription { echo(content: "AP8=", theKey: 2) }'
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("cars", None)
        assert (await anext(stream)).data == {"echo": "AP8A/w=="}


async def test_an_argument_that_the_scalar_refuses_ends_the_operation():
    async with SubscriptionManager([echo]) as manager:
        with pytest.raises(ValidationError, match="argument content: '%' is not Base64"):
            await anext(manager.subscribe('subscription { echo(content: "%") }'))


async def test_a_value_that_the_scalar_cannot_serialise_is_an_error_at_its_place():
    @subscription(channel="cars")
    def broken(event) -> Base64 | None:
        return "no bytes"  # type: ignore[return-value]

    manager = SubscriptionManager([broken])
    async with manager, manager.subscribe("subscription { broken }") as stream:
        await manager.publish("cars", None)
        result = await anext(stream)
        assert result.data == {"broken": None}
        (error,) = result.errors
        assert error["path"] == ["broken"]
        assert error["message"] == "Internal server error"


async def test_scalars_of_a_schema_in_sdl_are_given_to_the_manager():
    @subscription(channel="cars")
    def when(event) -> Any:
        return datetime(2024, 1, 31, tzinfo=timezone.utc)

    manager = SubscriptionManager(
        [when],
        schema="scalar Stamp type Query { ok: Boolean } type Subscription { when: Stamp }",
        scalars=[Scalar("Stamp", serialize=lambda value: int(value.timestamp()))],
    )
    async with manager, manager.subscribe("subscription { when }") as stream:
        await manager.publish("cars", None)
        assert (await anext(stream)).data == {"when": 1706659200}


@pytest.mark.parametrize("name", ["Int", "", "no name", "__x"])
def test_a_scalar_needs_a_name_of_its_own(name):
    with pytest.raises(ConfigurationError, match="give it a GraphQL name other than"):
        Scalar(name)


Other = Annotated[str, Scalar("Base64")]


def test_two_scalars_of_one_name_are_refused():
    @subscription(channel="c")
    def mixed(event, *, one: Base64, other: Other) -> int: ...

    with pytest.raises(SchemaError, match="another scalar named `Base64`"):
        SubscriptionManager([mixed])


UserId = NewType("UserId", UUID)


@dataclass
class Everything:
    at: datetime
    day: date
    hour: time
    amount: Decimal
    key: UserId
    free: Any
    ratio: float
    big: str


EVERYTHING = Everything(
    at=datetime(2024, 1, 31, 12, 0, tzinfo=timezone.utc),
    day=date(2024, 1, 31),
    hour=time(12, 30),
    amount=Decimal("0.10"),
    key=UserId(UUID(int=5)),
    free={"a": [1, None, {"b": Decimal("1.5")}]},
    ratio=1,
    big=str(2**70),
)


@pytest.mark.parametrize("way", ["resolver", "event"])
async def test_built_in_scalars_have_one_form_from_objects_and_from_events(way):
    if way == "resolver":

        @subscription(channel="all", name="all")
        def resolved(event) -> Everything:
            return EVERYTHING

        field: Any = resolved
    else:
        field = passthrough("all", Everything, channel="all")
    manager = SubscriptionManager([field])
    document = "subscription { all { at day hour amount key free ratio big } }"
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("all", EVERYTHING)
        assert (await anext(stream)).data == {
            "all": {
                "at": "2024-01-31T12:00:00+00:00",
                "day": "2024-01-31",
                "hour": "12:30:00",
                "amount": "0.10",
                "key": "00000000-0000-0000-0000-000000000005",
                "free": {"a": [1, None, {"b": "1.5"}]},
                "ratio": 1,
                "big": "1180591620717411303424",
            }
        }


async def test_bytes_have_no_json_and_the_error_says_what_to_do():
    async with SubscriptionManager([car]) as manager:
        with pytest.raises(PublishError, match=r"data\.picture: .*bytes.*such as Base64"):
            await manager.publish("cars", {"picture": b"\x00"})


async def test_bytes_in_the_result_of_a_resolver_are_an_error_and_the_log_says_what_to_do(caplog):
    @subscription(channel="cars")
    def free(event) -> Any:
        return {"picture": b"\x00"}

    manager = SubscriptionManager([free])
    async with manager, manager.subscribe("subscription { free }") as stream:
        await manager.publish("cars", None)
        result = await anext(stream)
    (error,) = result.errors
    assert result.data == {"free": None}
    assert error["message"] == "JSON cannot represent this value"
    assert "JSON.picture: an object of type `bytes`" in caplog.text
    assert "make text of it, such as Base64" in caplog.text


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
    """Writes one of its fields by itself, which pydantic then writes all of."""

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
async def test_so_of_classes_of_every_kind(photo):
    feed = passthrough("value", type(photo), channel="c")
    assert await published(feed, "{ content }", photo) == [{"content": "AP8="}]


def returning(function: Callable[[Any], Any], result: Any = Photo) -> Any:
    def value(event: Any) -> Any:
        return function(event)

    value.__annotations__["return"] = result
    return subscription(channel="c")(value)


@pytest.mark.parametrize("read", [lambda event: event.data, lambda event: event])
async def test_what_scalars_have_made_is_not_made_again_by_a_resolver(read):
    assert await published(returning(read), SELECTED, PHOTO) == [PHOTO_JSON]


async def test_so_inside_other_objects_and_lists():
    album = Album([PHOTO, PHOTO], PHOTO)
    expected = {"photos": [PHOTO_JSON, PHOTO_JSON], "cover": PHOTO_JSON}
    selection = f"{{ photos {SELECTED} cover {SELECTED} }}"
    feed = passthrough("value", Album, channel="c")
    assert await published(feed, selection, album) == [expected]
    field = returning(lambda event: event.data, Album)
    assert await published(field, selection, album) == [expected]
    field = returning(lambda event: event["photos"], list[Photo])
    assert await published(field, SELECTED, album) == [[PHOTO_JSON, PHOTO_JSON]]


async def test_what_is_published_again_is_not_made_again():
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


async def test_so_of_generic_classes():
    page = Page[Base64]([b"a"], b"b")
    feed = passthrough("value", Page[Base64], channel="c")
    assert await published(feed, "{ items first }", page) == [{"items": ["YQ=="], "first": "Yg=="}]


async def test_so_beside_a_schema_in_sdl():
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


async def test_so_in_a_union():
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


async def test_notes_of_scalars_are_no_data():
    seen: list[Any] = []
    field = returning(lambda event: seen.append(event) or event.data, Any)
    (value,) = await published(field, "", PHOTO)
    assert value == dict(seen[0]) == {**PHOTO_JSON}
    assert len(seen[0]) == len(PHOTO_JSON)
    feed = passthrough("value", Any, channel="c")
    assert await published(feed, "", PHOTO) == [PHOTO_JSON]
