"""Filters compare by the argument's type: the table in docs/how-to/filter-events.md."""

from __future__ import annotations

import dataclasses
import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
import strawberry
from filter_schemas import FILTER, LAST, SCHEMAS, Argument, received, until_last

from fraiseql_subs import ID, Scalar, SubscriptionManager, passthrough, subscription


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Grade(str, enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Term(enum.Enum):
    """Values that are not scalars of GraphQL."""

    SPRING = date(2024, 3, 1)
    PAIR = (1, 2)
    CHEAP = Decimal("1.50")


class Swapped(enum.Enum):
    """Each value is the other member's name: a published text is first taken as a value."""

    A = "B"
    B = "A"


MOMENT = datetime(2024, 1, 31, 12, tzinfo=timezone.utc)
UUID_ = UUID("123e4567-e89b-12d3-a456-426614174000")


def enum_argument(cls: Any) -> Argument:
    names = " ".join(cls.__members__)
    return Argument(cls, cls.__name__, f"enum {cls.__name__} {{ {names} }}", (cls,))


STRING = Argument(str, "String")
INT = Argument(int, "Int")
FLOAT = Argument(float, "Float")
BOOLEAN = Argument(bool, "Boolean")
DATE_TIME = Argument(datetime, "DateTime", "scalar DateTime")
DATE = Argument(date, "Date", "scalar Date")
TIME = Argument(time, "Time", "scalar Time")
UUID_ARGUMENT = Argument(UUID, "UUID", "scalar UUID")
DECIMAL = Argument(Decimal, "Decimal", "scalar Decimal")

SAME_MOMENTS = [
    MOMENT,
    MOMENT.astimezone(timezone(timedelta(hours=2))),
    "2024-01-31T12:00:00Z",
    "2024-01-31t12:00:00.000z",
    "2024-01-31 14:00:00+02:00",
    "2024-01-31T07:30-04:30",
]
OTHER_MOMENTS = [MOMENT.replace(tzinfo=None), MOMENT + timedelta(microseconds=1), "soon", None, 0]
SAME_UUIDS = [UUID_, str(UUID_).upper(), UUID_.hex, f"{{{UUID_}}}", UUID_.urn]
SAME_NUMBERS = [1.5, Decimal("1.50"), "1.50", "15e-1"]

ROWS: dict[str, tuple[Argument, str, list[Any], list[Any]]] = {
    "String": (STRING, '"7"', ["7", 7, 7.0], ["07", "7.0", 8, True, None]),
    "Int": (INT, "7", [7, 7.0, "7", Decimal("7.00")], [8, "x", True, None]),
    "Int, a bool is none": (INT, "1", [1], [True, "true"]),
    "Float": (FLOAT, "1.5", SAME_NUMBERS, [1, "1.5x", None]),
    "Float without a fraction": (FLOAT, "1", [1, 1.0, Decimal("1.00")], [1.1, True]),
    "Float with an exponent": (FLOAT, "1e2", [100, 100.0, "1E+2"], [10]),
    "Boolean": (BOOLEAN, "true", [True, 1], [False, 0, "true", None]),
    "Boolean, false": (BOOLEAN, "false", [False, 0], [True, "", None]),
    "enum": (enum_argument(Colour), "RED", [Colour.RED, "r", "RED"], [Colour.GREEN, "red", None]),
    "enum of numbers": (enum_argument(Level), "LOW", [Level.LOW, 1, "LOW"], [Level.HIGH, 2, "1"]),
    "enum of texts": (enum_argument(Grade), "GOOD", [Grade.GOOD, "GOOD"], [Grade.BAD, "Good"]),
    "enum of dates": (enum_argument(Term), "SPRING", [Term.SPRING, "2024-03-01"], [Term.PAIR]),
    "enum of tuples": (enum_argument(Term), "PAIR", [Term.PAIR, [1, 2], "PAIR"], [Term.CHEAP, [2]]),
    "enum of decimals": (enum_argument(Term), "CHEAP", [Term.CHEAP, "CHEAP"], [Term.SPRING]),
    "enum, value before name": (enum_argument(Swapped), "A", [Swapped.A, "B"], [Swapped.B, "A"]),
    "DateTime, Z": (DATE_TIME, '"2024-01-31T12:00:00Z"', SAME_MOMENTS, OTHER_MOMENTS),
    "DateTime, +00:00": (DATE_TIME, '"2024-01-31T12:00:00+00:00"', SAME_MOMENTS, OTHER_MOMENTS),
    "DateTime, offset": (DATE_TIME, '"2024-01-31T14:00:00.000+02:00"', SAME_MOMENTS, []),
    "DateTime, fraction": (
        DATE_TIME,
        '"2024-01-31T12:00:00.5Z"',
        [MOMENT.replace(microsecond=500_000), "2024-01-31T12:00:00.500Z"],
        [MOMENT],
    ),
    "DateTime without an offset": (
        DATE_TIME,
        '"2024-01-31T12:00:00"',
        [MOMENT.replace(tzinfo=None), "2024-01-31T12:00"],
        [MOMENT],
    ),
    "Date": (DATE, '"2024-01-31"', [MOMENT.date(), "20240131"], [date(2024, 2, 1), MOMENT, None]),
    "Time": (TIME, '"12:00:00"', [time(12), "12:00", "12:00:00.000"], [time(12, 0, 1), None]),
    "Time with an offset": (
        TIME,
        '"14:00:00+02:00"',
        [time(12, tzinfo=timezone.utc), "12:00:00Z"],
        [time(12), time(14)],
    ),
    "UUID": (UUID_ARGUMENT, f'"{UUID_}"', SAME_UUIDS, [UUID(int=7), "x", None]),
    "UUID in capitals": (UUID_ARGUMENT, f'"{str(UUID_).upper()}"', SAME_UUIDS, []),
    "UUID without hyphens": (UUID_ARGUMENT, f'"{UUID_.hex}"', SAME_UUIDS, []),
    "UUID in braces": (UUID_ARGUMENT, f'"{{{UUID_}}}"', SAME_UUIDS, []),
    "Decimal as a text": (DECIMAL, '"1.5"', SAME_NUMBERS, [Decimal("1.51"), None]),
    "Decimal with zeros": (DECIMAL, '"1.50"', SAME_NUMBERS, []),
    "Decimal, large": (
        DECIMAL,
        '"12345678901234567890.10"',
        [Decimal("12345678901234567890.1")],
        [12345678901234567890.1],
    ),
}


def cases() -> list[Any]:
    return [
        pytest.param(schema, *row, id=f"{name}: {schema}")
        for name, row in ROWS.items()
        for schema in SCHEMAS
    ]


@pytest.mark.parametrize(("schema", "argument", "literal", "equal", "others"), cases())
async def test_values_are_compared_as_the_type_of_the_argument_means_them(
    schema, argument, literal, equal, others
):
    manager = SCHEMAS[schema](argument, {})
    found = await received(manager, f"(v: {literal})", [*equal, *others])
    assert [*equal, *others][: len(found)] == equal
    assert found == list(range(len(equal)))


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_an_id_is_an_opaque_text(schema):
    hint = strawberry.ID if schema.startswith("Strawberry") else ID
    if schema == "Strawberry, resolver":
        pytest.skip("an annotation has one meaning to a library, and `ID` is each one's own")
    manager = SCHEMAS[schema](Argument(hint, "ID"), {})
    assert await received(manager, "(v: 7)", ["7", 7, 7.0, "07", True, None]) == [0, 1, 2]


DECIMALS = Argument(Decimal, "Decimal", "scalar Decimal")


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_a_number_may_stand_for_a_decimal(schema):
    manager = SCHEMAS[schema](DECIMALS, {})
    assert await received(manager, "(v: 1.5)", [*SAME_NUMBERS, 2]) == [0, 1, 2, 3]


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_an_argument_in_a_variable_is_compared_alike(schema):
    manager = SCHEMAS[schema](enum_argument(Colour), {})
    async with (
        manager,
        manager.subscribe(
            "subscription($v: Colour!) { found(v: $v) { n } }", {"v": "RED"}
        ) as stream,
    ):
        await manager.publish_many(("events", {"n": n, "v": v}) for n, v in enumerate(Colour))
        await manager.publish("events", {"n": LAST, "v": "RED"})
        assert await until_last(stream) == [0]


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_an_argument_left_out_is_no_condition(schema):
    manager = SCHEMAS[schema](Argument(int | None, "Int"), {})
    assert await received(manager, "", [7, None, "x"]) == [0, 1, 2]


@pytest.mark.parametrize("schema", [name for name in SCHEMAS if not name.startswith("type hints")])
async def test_an_argument_left_out_whose_default_is_null_is_no_condition(schema):
    manager = SCHEMAS[schema](Argument(int | None, "Int = null"), {})
    assert "v: Int = null" in manager.sdl()
    assert await received(manager, "", [7, None, "x"]) == [0, 1, 2]


@pytest.mark.parametrize("schema", [name for name in SCHEMAS if not name.startswith("type hints")])
async def test_a_variable_without_a_value_leaves_its_argument_out(schema):
    manager = SCHEMAS[schema](Argument(int | None, "Int = null"), {})
    async with (
        manager,
        manager.subscribe("subscription($v: Int) { found(v: $v) { n } }") as left_out,
        manager.subscribe("subscription($v: Int) { found(v: $v) { n } }", {"v": None}) as null,
    ):
        await manager.publish_many(("events", {"n": n, "v": v}) for n, v in enumerate([7, None]))
        await manager.publish("events", {"n": LAST, "v": None})
        assert await until_last(left_out) == [0, 1]
        assert await until_last(null) == [1]


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_null_is_equal_to_null_and_to_what_is_absent(schema):
    manager = SCHEMAS[schema](Argument(int | None, "Int"), {"filter": {"w": "$v"}})
    async with manager, manager.subscribe("subscription { found(v: null) { n } }") as stream:
        published = [{"n": 0}, {"n": 1, "w": None}, {"n": 2, "w": 0}, {"n": LAST}]
        await manager.publish_many(("events", data) for data in published)
        assert await until_last(stream) == [0, 1]


@pytest.mark.parametrize("schema", [name for name in SCHEMAS if not name.startswith("Strawberry")])
async def test_lists_are_equal_item_by_item(schema):
    argument = Argument(list[Decimal], "[Decimal!]", "scalar Decimal")
    published = [[Decimal("1.0"), 2], ["1", "2.00"], [2, 1], [1], 1, None]
    assert await received(SCHEMAS[schema](argument, {}), "(v: [1, 2])", published) == [0, 1]


@dataclasses.dataclass
class Where:
    user_id: int | None = None
    since: date | None = None


@pytest.mark.parametrize("schema", [name for name in SCHEMAS if not name.startswith("Strawberry")])
async def test_input_objects_are_equal_field_by_field(schema):
    definitions = "scalar Date input Where { userId: Int since: Date }"
    manager = SCHEMAS[schema](Argument(Where, "Where", definitions), {})
    published = [
        Where(7),
        {"userId": "7"},
        {"since": None, "user_id": 7.0, "more": 1},
        Where(7, date(2024, 1, 31)),
        Where(8),
        7,
    ]
    assert await received(manager, "(v: {userId: 7})", published) == [0, 1, 2]


@pytest.mark.parametrize("shared", [False, True])
async def test_members_of_a_shared_group_receive_what_their_own_filter_selects(shared):
    @subscription(channel="events", filter=FILTER, shared=shared)
    async def found(event, variables):
        return event.data

    sdl = """
        type Query { ok: Int }
        type Payload { n: Int }
        type Subscription { found(v: Int = null): Payload }
    """
    manager = SubscriptionManager([found], schema=sdl)
    async with (
        manager,
        manager.subscribe("subscription { found { n } }") as left_out,
        manager.subscribe("subscription { found(v: null) { n } }") as null,
    ):
        await manager.publish_many(("events", {"n": n, "v": v}) for n, v in enumerate([7, None]))
        await manager.publish("events", {"n": LAST, "v": None})
        assert await until_last(left_out) == [0, 1]
        assert await until_last(null) == [1]


CONSTANTS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "a text": ("7", ["7", 7], ["07", None]),
    "a number": (1.5, SAME_NUMBERS, [1]),
    "a bool": (True, [True, 1], [False, "true"]),
    "a member": (Colour.RED, [Colour.RED, "r", "RED"], [Colour.GREEN]),
    "a member with a date": (Term.SPRING, [Term.SPRING, "2024-03-01", "SPRING"], [Term.PAIR]),
    "a moment": (MOMENT, SAME_MOMENTS, OTHER_MOMENTS),
    "a day": (MOMENT.date(), [MOMENT.date(), "20240131"], [MOMENT]),
    "a time": (time(12), [time(12), "12:00"], [time(13)]),
    "a UUID": (UUID_, SAME_UUIDS, [UUID(int=7)]),
    "a Decimal": (Decimal("1.5"), SAME_NUMBERS, [1]),
    "None": (None, [None], [0, ""]),
    "a list": ([1, "a"], [[1, "a"], [1.0, "a"]], [["a", 1], 1]),
    "a dict": ({"a": 1, "b": 2}, [{"b": 2, "a": 1}], [{"a": 1}]),
}


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(("constant", "equal", "others"), CONSTANTS.values(), ids=CONSTANTS)
async def test_constants_are_compared_as_their_class_means_them(schema, constant, equal, others):
    manager = SCHEMAS[schema](Argument(int | None, "Int"), {"filter": {"v": constant}})
    assert await received(manager, "", [*equal, *others]) == list(range(len(equal)))


Money = Annotated[Decimal, Scalar("Money", parse=Decimal, serialize=str)]
Hour = Annotated[datetime, Scalar("Hour")]
Email = Annotated[str, Scalar("Email")]


@pytest.mark.parametrize(
    ("hint", "name", "literal", "equal", "others"),
    [
        (Money, "Money", '"1.5"', SAME_NUMBERS, [1]),
        (Hour, "Hour", '"2024-01-31T12:00:00Z"', [MOMENT, "2024-01-31T12:00Z"], ["2024-01-31"]),
        (Email, "Email", '"a@b.c"', ["a@b.c"], ["A@b.c"]),
    ],
)
@pytest.mark.parametrize(
    "schema", ["type hints, resolver", "type hints, passthrough", "SDL, resolver"]
)
async def test_custom_scalars_are_compared_as_their_class_means_them(
    schema, hint, name, literal, equal, others
):
    manager = SCHEMAS[schema](Argument(hint, name, f"scalar {name}"), {})
    assert await received(manager, f"(v: {literal})", [*equal, *others]) == list(range(len(equal)))


class Nested(enum.Enum):
    ONE = "1st"


@dataclasses.dataclass
class Owner:
    grade: Nested


async def test_the_enums_of_a_schema_in_sdl_are_found_in_annotations():
    @dataclasses.dataclass
    class Order:
        owners: list[Owner]

    @subscription(channel="events", filter={"v": "$v"})
    async def found(event, variables) -> Order: ...

    found.__annotations__["return"] = Order
    sdl = """
        enum Nested { ONE TWO }
        type Query { ok: Int }
        type Subscription { found(v: Nested): Int owner: Owner }
        type Owner { grade: Nested }
    """
    owner = passthrough("owner", Owner, channel="owners")
    manager = SubscriptionManager([owner], schema=sdl)
    async with manager, manager.subscribe("subscription { owner { grade } }") as stream:
        await manager.publish("owners", Owner(Nested.ONE))
        assert (await anext(stream)).data == {"owner": {"grade": "ONE"}}
