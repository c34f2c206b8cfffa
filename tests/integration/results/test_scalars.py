"""Values of many kinds: classes of other libraries, scalars that the application declares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Annotated, Any, NewType
from uuid import UUID

import attrs
import msgspec
import pytest
from declared_scalars import Base64
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
    passthrough,
    subscription,
)


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
    with pytest.raises(ConfigurationError, match="use a GraphQL name other than"):
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
