"""`Literal` as a type: a scalar whose values are checked, or, with a name, an enum."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal, Optional

import graphql
import pytest
from typing_extensions import TypeAliasType

from fraiseql_subs import (
    SchemaError,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)
from fraiseql_subs.decorators import build_schema


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


Status = TypeAliasType("Status", Literal["open", "paid"])
Sizes = TypeAliasType("Sizes", Literal["1x", "2x"])


def schema_of(returns: Any, **arguments: Any) -> graphql.GraphQLSchema:
    definition = passthrough("changed", returns, channel="c", arguments=arguments)
    schema = graphql.build_schema(build_schema([definition]).sdl)
    assert graphql.validate_schema(schema) == []
    return schema


@pytest.mark.parametrize(
    ("annotation", "type_text"),
    [
        (Literal["a", "b"], "String!"),
        (Literal["not a name", ""], "String!"),
        (Literal[1, 2], "Int!"),
        (Literal[True], "Boolean!"),
        (Literal["a", None], "String"),
        (Optional[Literal["a"]], "String"),  # noqa: UP045
        (Literal["a"] | Literal["b"] | None, "String"),
        (list[Literal["a"]], "[String!]!"),
        (Literal["a"] | str, "String!"),
        (Literal[Color.RED], "Color!"),
        (Literal[Color.RED] | Literal[Color.BLUE], "Color!"),
        (Status, "Status!"),
        (Status | None, "Status"),
        (Sizes, "String!"),
    ],
)
def test_a_literal_has_a_type(annotation, type_text):
    assert str(schema_of(annotation).subscription_type.fields["changed"].type) == type_text


def test_a_literal_with_a_name_is_an_enum_of_its_values():
    assert list(schema_of(Status).type_map["Status"].values) == ["open", "paid"]


@pytest.mark.parametrize("annotation", [Literal["a", 1], Literal[b"x"], Literal[None]])
def test_values_that_graphql_has_no_type_for_are_refused(annotation):
    with pytest.raises(SchemaError, match="Literal"):
        schema_of(annotation)


async def answer(annotation: Any, value: str) -> tuple[Any, str]:
    """The value of an argument in the resolver, and the message of a refusal."""
    seen: list[Any] = []

    @subscription(channel="c")
    def changed(event, it: Any) -> int:
        seen.append(it)
        return 1

    changed.__annotations__["it"] = annotation
    document = f"subscription {{ changed(it: {value}) }}"
    async with SubscriptionManager([changed]) as manager:
        try:
            async with manager.subscribe(document) as stream:
                await manager.publish("c", 1)
                await anext(stream)
        except ValidationError as error:
            return None, str(error)
    return seen[0], ""


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Literal["a", "b"], '"b"', "b"),
        (Literal[1, 2], "2", 2),
        (list[Literal["a", "b"]], '["b", "a"]', ["b", "a"]),
        (Literal[Color.RED, Color.BLUE], "BLUE", Color.BLUE),
        (Status, "paid", "paid"),
    ],
)
async def test_an_argument_is_one_of_the_values(annotation, value, expected):
    assert await answer(annotation, value) == (expected, "")


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Literal["a", "b"], '"c"', "argument it: 'c' is not one of 'a', 'b'"),
        (Literal[1, 2], "3", "3 is not one of 1, 2"),
        (list[Literal["a", "b"]], '["a", "x"]', "'x' is not one of 'a', 'b'"),
        (Literal[Color.RED], "BLUE", "is not one of"),
        (Status, "closed", "Status"),
    ],
)
async def test_an_argument_that_is_none_of_the_values_is_refused(annotation, value, message):
    assert message in (await answer(annotation, value))[1]


def test_a_default_is_one_of_the_values():
    def declare(annotation: Any, default: Any) -> graphql.GraphQLSchema:
        def changed(event, it=default) -> int:
            return 1

        changed.__annotations__["it"] = annotation
        definition = subscription(channel="c")(changed).__subscription__
        return graphql.build_schema(build_schema([definition]).sdl)

    for annotation, default in [
        (Literal["a", "b"], "b"),
        (Literal[1], 1),
        (Status, "paid"),
        (Literal[Color.RED], Color.RED),
    ]:
        argument = declare(annotation, default).subscription_type.fields["changed"].args["it"]
        assert argument.default_value is not None
    for annotation, default in [
        (Literal["a", "b"], "c"),
        (Status, "closed"),
        (Literal[Color.RED], Color.BLUE),
    ]:
        with pytest.raises(SchemaError, match="default"):
            declare(annotation, default)


async def test_values_are_sent_as_they_are():
    @dataclass
    class Order:
        status: Status
        size: Sizes
        color: Literal[Color.RED]

    @subscription(channel="c")
    def changed(event):
        return Order("paid", "2x", Color.RED)

    changed.__annotations__["return"] = Order
    manager = SubscriptionManager([changed])
    document = "subscription { changed { status size color } }"
    async with manager, manager.subscribe(document) as stream:
        await manager.publish("c", 1)
        data = (await anext(stream)).data
    assert data == {"changed": {"status": "paid", "size": "2x", "color": "RED"}}
