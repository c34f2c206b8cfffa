"""Defaults of arguments whose type is a scalar: written in the form of results."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import graphql
import pytest

from fraiseql_subs import Scalar, SchemaError, SubscriptionManager, subscription
from fraiseql_subs.decorators import build_schema

Base64 = Annotated[bytes, Scalar("Base64", serialize=bytes.hex, parse=bytes.fromhex)]
Seconds = Annotated[
    timedelta,
    Scalar("Seconds", serialize=timedelta.total_seconds, parse=lambda s: timedelta(seconds=s)),
]
Point = Annotated[
    complex,
    Scalar(
        "Point",
        serialize=lambda point: {"x": point.real, "y": point.imag, "tags": [None, True]},
        parse=lambda json: complex(json["x"], json["y"]),
    ),
]
Plain = Annotated[Any, Scalar("Plain")]


@dataclass
class Window:
    length: Seconds = timedelta(minutes=1)
    keys: list[Base64] | None = None


def resolver(annotation: Any, default: Any) -> Any:
    def changed(event, it=default) -> int:
        return 1

    changed.__annotations__["it"] = annotation
    return subscription(channel="c")(changed)


def literal_of(annotation: Any, default: Any) -> str:
    """The default as the schema has it."""
    sdl = build_schema([resolver(annotation, default).__subscription__]).sdl
    document = graphql.parse(sdl)
    (root,) = [node for node in document.definitions if node.name.value == "Subscription"]
    return graphql.print_ast(root.fields[0].arguments[0].default_value)


UTC = timezone.utc


@pytest.mark.parametrize(
    ("annotation", "default", "literal"),
    [
        (Base64, b"\x01\xff", '"01ff"'),
        (Seconds, timedelta(seconds=90), "90.0"),
        (Point, 1 + 2j, "{ x: 1.0, y: 2.0, tags: [null, true] }"),
        (list[Base64], [b"\x01"], '["01"]'),
        (set[int], frozenset((1,)), "[1]"),
        (list[int], range(2), "[0, 1]"),
        (collections.deque[int], collections.deque((1,)), "[1]"),
        (Window, Window(timedelta(seconds=1), [b"\x02"]), '{ length: 1.0, keys: ["02"] }'),
        (Plain, "text", '"text"'),
        (Plain, UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Plain, Decimal("1.50"), '"1.50"'),
        (Plain, [1, {"a": None}], "[1, { a: null }]"),
        (datetime, datetime(2024, 1, 31, tzinfo=UTC), '"2024-01-31T00:00:00+00:00"'),
        (date, date(2024, 1, 31), '"2024-01-31"'),
        (time, time(12), '"12:00:00"'),
        (UUID, UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal, Decimal("1.50"), '"1.50"'),
        (Any, {"at": date(2024, 1, 31)}, '{ at: "2024-01-31" }'),
    ],
)
def test_a_default_is_written_as_results_have_it(annotation, default, literal):
    assert literal_of(annotation, default) == literal


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (Base64, "no bytes"),
        (Plain, object()),
        (Plain, {"no name": 1}),
        (Annotated[int, Scalar("Nan", serialize=float)], "nan"),
        (datetime, "yesterday"),
        (UUID, "1"),
        (Decimal, "much"),
        (list[int], "12"),
        (list[int], {"a": 1}),
    ],
)
def test_a_default_that_the_schema_cannot_have_is_refused(annotation, default):
    with pytest.raises(SchemaError, match=r"parameter `it`: .*default"):
        literal_of(annotation, default)


@pytest.mark.parametrize(
    ("annotation", "default"), [(Base64, b"\x01\xff"), (Seconds, timedelta(1)), (Point, 1 + 2j)]
)
async def test_the_resolver_is_given_the_default_as_it_was_written(annotation, default):
    seen: list[Any] = []

    def changed(event, it=default) -> int:
        seen.append(it)
        return 1

    changed.__annotations__["it"] = annotation
    manager = SubscriptionManager([subscription(channel="c")(changed)])
    async with manager, manager.subscribe("subscription { changed }") as stream:
        await manager.publish("c", 1)
        await anext(stream)
    assert seen == [default]
