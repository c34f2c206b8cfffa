"""The name of a channel with an argument equals the name that a publisher writes."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from filter_schemas import SCHEMAS, Argument

OPTIONS = {"channel": "events.{v}", "filter": None}


class Colour(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    LOW = 1


class Term(enum.Enum):
    SPRING = (3, 1)


MOMENT = datetime(2024, 1, 31, 12, tzinfo=timezone.utc)
UUID_ = UUID("123e4567-e89b-12d3-a456-426614174000")


def enum_argument(cls) -> Argument:
    names = " ".join(cls.__members__)
    return Argument(cls, f"{cls.__name__}!", f"enum {cls.__name__} {{ {names} }}", (cls,))


def scalar(hint, name: str) -> Argument:
    return Argument(hint, f"{name}!", f"scalar {name}")


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(
    ("argument", "literal", "text"),
    [
        (Argument(str, "String!"), '"a b"', "a b"),
        (Argument(int, "Int!"), "7", f"{7}"),
        (Argument(float, "Float!"), "1", f"{1.0}"),
        (Argument(float, "Float!"), "1.50", f"{1.5}"),
        (Argument(float, "Float!"), "1e-7", f"{1e-7}"),
        (Argument(bool, "Boolean!"), "true", "true"),
        (enum_argument(Colour), "RED", f"{Colour.RED.value}"),
        (enum_argument(Level), "LOW", f"{Level.LOW.value}"),
        (enum_argument(Term), "SPRING", f"{Term.SPRING.name}"),
        (scalar(datetime, "DateTime"), '"2024-01-31T12:00:00Z"', MOMENT.isoformat()),
        (scalar(datetime, "DateTime"), '"2024-01-31T14:00+02:00"', MOMENT.isoformat()),
        (
            scalar(datetime, "DateTime"),
            '"2024-01-31T12:00:00.5Z"',
            (MOMENT + timedelta(seconds=0.5)).isoformat(),
        ),
        (
            scalar(datetime, "DateTime"),
            '"2024-01-31 12:00"',
            MOMENT.replace(tzinfo=None).isoformat(),
        ),
        (scalar(date, "Date"), '"2024-01-31"', f"{MOMENT.date()}"),
        (scalar(time, "Time"), '"12:00"', f"{time(12)}"),
        (scalar(UUID, "UUID"), f'"{str(UUID_).upper()}"', f"{UUID_}"),
        (scalar(UUID, "UUID"), f'"{UUID_.hex}"', f"{UUID_}"),
        (scalar(Decimal, "Decimal"), '"1.50"', f"{Decimal('1.50').normalize():f}"),
        (scalar(Decimal, "Decimal"), "1e2", f"{Decimal('100.0').normalize():f}"),
    ],
)
async def test_every_spelling_of_an_argument_leads_to_the_channel_of_the_publisher(
    schema, argument, literal, text
):
    manager = SCHEMAS[schema](argument, OPTIONS)
    document = f"subscription {{ found(v: {literal}) {{ n }} }}"
    async with manager, manager.subscribe(document) as stream:
        await manager.publish_many([("events.other", {"n": 0}), (f"events.{text}", {"n": 1})])
        assert (await anext(stream)).data == {"found": {"n": 1}}
