"""Errors for the client about values that cannot be read, or do not fit the schema."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import graphql
import pytest
from masking import SECRET, SecretError, ours, told
from support import eventually

from fraiseql_subs import (
    Event,
    GraphQLError,
    Scalar,
    SubscriptionManager,
    passthrough,
    subscription,
)


@dataclasses.dataclass
class Thing:
    name: str

    @property
    def broken(self) -> int:
        raise SecretError(SECRET)

    @property
    def refused(self) -> int:
        raise GraphQLError("not yours", extensions={"code": "FORBIDDEN"})


SDL = """
    scalar Odd
    type Thing { name: String broken: Int refused: Int }
    type Query { ok: Boolean }
    type Subscription {
        things: [Thing!] thing: Thing count: Int strict: Int! odd: Odd shape: Shape unit: Unit
        items: [Int]
    }
    union Shape = Thing
    enum Unit { A B }
"""


def serving(name: str, result: Any, **options: Any) -> SubscriptionManager:
    @subscription(channel="events", name=name)
    def resolver(event: Event) -> Any:
        return result() if callable(result) else result

    return SubscriptionManager([resolver], schema=SDL, **options)


class Items:
    def __len__(self) -> int:
        return 1

    def __contains__(self, item: object) -> bool:
        return False

    def __iter__(self) -> Any:
        raise SecretError(SECRET)


def refuse_to_serialize(value: object) -> object:
    raise SecretError(SECRET)


ODD = Scalar("Odd", serialize=refuse_to_serialize, parse=str)


READING = [
    ("thing", Thing("a"), "{ name broken }", "Thing.broken", ["thing", "broken"]),
    ("things", [Thing("a")], "{ broken }", "Thing.broken", ["things", 0, "broken"]),
    ("items", Items(), "", "Subscription.items", ["items"]),
    ("odd", 1, "", "Subscription.odd", ["odd"]),
]


@pytest.mark.parametrize(("name", "result", "selection", "field", "path"), READING)
async def test_what_raises_while_a_result_is_read(name, result, selection, field, path, caplog):
    manager = serving(name, result, scalars=[ODD])
    async with manager:
        (error,) = await told(manager, f"subscription {{ {name} {selection} }}", 1)
        assert manager.metrics().field_errors == 1
    assert error["message"] == "Internal server error"
    assert error["path"] == path
    (record,) = ours(caplog)
    assert field in record.getMessage()
    assert ".".join(map(str, path)) in record.getMessage()
    assert isinstance(record.exc_info[1], SecretError)
    assert "raise SecretError(SECRET)" in caplog.text


@pytest.mark.parametrize(("name", "result", "selection", "field", "path"), READING)
async def test_debug_tells_what_raises_while_a_result_is_read(name, result, selection, field, path):
    manager = serving(name, result, scalars=[ODD], debug=True)
    async with manager:
        (error,) = await told(manager, f"subscription {{ {name} {selection} }}", 1)
    assert error["message"] == f"SecretError: {SECRET}"


async def test_an_attribute_may_raise_an_error_for_the_client(caplog):
    async with serving("thing", Thing("a")) as manager:
        (error,) = await told(manager, "subscription { thing { refused } }", 1)
    assert error["message"] == "not yours"
    assert error["extensions"] == {"code": "FORBIDDEN"}
    assert ours(caplog) == []


async def test_core_errors_are_for_the_client_wherever_they_are_raised(caplog):
    def refuse() -> Any:
        raise graphql.GraphQLError("sold out", extensions={"code": "GONE"})

    async with serving("count", refuse) as manager:
        (error,) = await told(manager, "subscription { count }", 1)
        assert error["message"] == "sold out"
        assert error["extensions"] == {"code": "GONE"}
        assert error["path"] == ["count"]

    @subscription
    async def stream() -> AsyncIterator[int]:
        refuse()
        yield 1

    async with SubscriptionManager([stream]) as manager:
        (error,) = await told(manager, "subscription { stream }")
        assert error["message"] == "sold out"
    assert ours(caplog) == []


MISFITS = [
    ("count", SECRET, "", "Int cannot represent a non-integer value"),
    ("strict", None, "", "Cannot return null for non-nullable field Subscription.strict."),
    ("things", SECRET, "{ name }", "expected a list for `Subscription.things`"),
    ("unit", SECRET, "", 'Enum "Unit" cannot represent this value'),
    ("odd", b"", "", "Odd cannot represent this value"),
    (
        "shape",
        SECRET,
        "{ ... on Thing { name } }",
        'Abstract type "Shape" must resolve to an Object type at runtime for field'
        ' "Subscription.shape"',
    ),
]


@pytest.mark.parametrize(("name", "result", "selection", "message"), MISFITS)
async def test_a_value_that_does_not_fit_the_schema(name, result, selection, message, caplog):
    async with serving(name, result) as manager:
        (error,) = await told(manager, f"subscription {{ {name} {selection} }}", 1)
        assert manager.metrics().field_errors == 1
    assert error["message"] == message
    assert error["path"] == [name]
    (record,) = ours(caplog)
    assert record.levelname == "ERROR"
    assert f"Subscription.{name}" in record.getMessage()


@pytest.mark.parametrize(("name", "data", "selection", "message"), MISFITS[:4])
async def test_published_data_that_does_not_fit_the_schema(name, data, selection, message, caplog):
    manager = SubscriptionManager([passthrough(name, channel="events")], schema=SDL)
    async with manager:
        (error,) = await told(manager, f"subscription {{ {name} {selection} }}", data)
        assert manager.metrics().field_errors == 1
        assert error["message"] == message
        await eventually(lambda: f"Subscription.{name}" in caplog.text, "it is logged")
    (record,) = ours(caplog)
    assert record.levelname == "ERROR"


async def test_debug_tells_what_does_not_fit():
    async with serving("count", SECRET, debug=True) as manager:
        (error,) = await told(manager, "subscription { count }", 1)
    assert error["message"] == ("Int cannot represent a non-integer value: an object of type `str`")
