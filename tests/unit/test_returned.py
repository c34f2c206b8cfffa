"""The return annotation of a resolver is checked against its field's type in SDL."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict

import pytest

from fraiseql_subs import (
    ID,
    Event,
    SchemaError,
    Skip,
    SubscriptionManager,
    passthrough,
    subscription,
)

SDL = """
    scalar Free
    enum Status { OPEN PAID }
    type Query { ok: Boolean }
    type Order { id: Int }
    type Refund { id: Int }
    union Change = Order | Refund
    type Subscription {
        order: Order! orders: [Order!]! change: Change status: Status free: Free frees: [Free]
        number: Int text: String id: ID matrix: [[Int!]!]!
    }
"""


@dataclass
class Order:
    id: int


@dataclass
class Other:
    id: int


class Row(TypedDict):
    id: int


class Status(enum.Enum):
    OPEN = 1
    PAID = 2


class NoType: ...


def serve(field: str, annotation: Any) -> SubscriptionManager:
    def resolver(event: Event): ...

    resolver.__annotations__["return"] = annotation
    return SubscriptionManager([subscription(channel="c", name=field)(resolver)], schema=SDL)


@pytest.mark.parametrize(
    ("field", "annotation"),
    [
        ("order", int),
        ("order", str | None),
        ("order", Status),
        ("order", datetime),
        ("order", Literal["a"]),
        ("order", list[Order]),
        ("order", list[int]),
        ("order", Iterable[Any]),
        ("orders", Order),
        ("orders", int),
        ("orders", list[int]),
        ("orders", list[list[Order]]),
        ("change", int),
        ("change", list[Order | Other]),
        ("status", Order),
        ("status", list[Status]),
        ("number", Order),
        ("number", Order | Other),
        ("number", Row),
        ("number", list[int]),
        ("number", datetime),
        ("text", Order),
        ("id", Order | None),
        ("matrix", list[int]),
        ("frees", Order),
    ],
)
def test_what_can_never_be_of_the_type_is_refused(field, annotation):
    with pytest.raises(
        SchemaError, match=f"`Subscription.{field}` is of type .* in the schema"
    ) as e:
        serve(field, annotation)
    assert "correct the annotation, or the schema" in str(e.value)


@pytest.mark.parametrize(
    ("field", "annotation"),
    [
        ("order", Order),
        ("order", Order | None),
        ("order", Order | Skip),
        ("order", Other),
        ("order", Row),
        ("order", Order | Other),
        ("order", dict[str, Any]),
        ("order", Any),
        ("order", Event),
        ("order", None),
        ("order", NoType),
        ("orders", list[Order]),
        ("orders", tuple[Order, ...]),
        ("orders", Any),
        ("frees", Any),
        ("change", Order | Other),
        ("change", Order),
        ("status", Status),
        ("status", str),
        ("status", Literal["OPEN"]),
        ("status", int),
        ("free", Order),
        ("free", list[Order]),
        ("free", int),
        ("frees", list[Order]),
        ("number", int),
        ("number", float),
        ("number", str),
        ("text", datetime),
        ("text", int),
        ("id", int),
        ("id", ID),
        ("matrix", list[list[int]]),
    ],
)
def test_what_can_be_of_the_type_is_served(field, annotation):
    serve(field, annotation)


def test_the_error_names_both_as_they_are_written():
    with pytest.raises(SchemaError, match=r"of type `Order!` .* is declared as `int`"):
        serve("order", int)
    with pytest.raises(SchemaError, match=r"of type `Order!` .* is declared as `list\[int\]`"):
        serve("order", "list[int]")


def test_source_streams_and_passthroughs_are_checked_too():
    @subscription
    async def order() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(SchemaError, match=r"`Subscription\.order` is of type"):
        SubscriptionManager([order], schema=SDL)
    with pytest.raises(SchemaError, match=r"`Subscription\.order` is of type"):
        SubscriptionManager([passthrough("order", int, channel="c")], schema=SDL)
    SubscriptionManager([passthrough("order", channel="c")], schema=SDL)
