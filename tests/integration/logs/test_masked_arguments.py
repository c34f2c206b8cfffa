"""Exceptions of scalars for arguments: errors of the client, or masked faults of the scalar."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NewType

import ariadne
import graphql
import pytest
import strawberry
from masking import SECRET, ours
from strawberry.schema.config import StrawberryConfig

from fraiseql_subs import GraphQLError, SubscriptionManager, ValidationError


class Unreadable(Exception):
    """Differs from the exceptions that values cause."""


def parse_stamp(value: Any) -> str:
    if value == "fault":
        raise Unreadable(SECRET)
    if value == "ours":
        raise GraphQLError("ours: no stamp")
    if value == "theirs":
        raise graphql.GraphQLError("theirs: no stamp")
    if value == "key":
        return {"a": "b"}[value]
    if value != "fine":
        raise ValueError(f"{value!r}: is no stamp, but got more: of it")
    return value


Stamp = NewType("Stamp", str)


@strawberry.input
class Box:
    stamp: Stamp


@strawberry.type
class StampQuery:
    @strawberry.field
    def at(self, stamp: Stamp | None = None, box: Box | None = None) -> int | None:
        return 1


@strawberry.type
class StampSubscription:
    @strawberry.subscription
    async def at(
        self, stamp: Stamp | None = None, box: Box | None = None
    ) -> AsyncGenerator[int | None, None]:
        yield 1


def with_scalar(kind: str) -> Any:
    if kind == "strawberry":
        scalar = strawberry.scalar(name="Stamp", serialize=str, parse_value=parse_stamp)
        config = StrawberryConfig(scalar_map={Stamp: scalar})
        return strawberry.Schema(StampQuery, subscription=StampSubscription, config=config)
    scalar = ariadne.ScalarType("Stamp", value_parser=parse_stamp, serializer=str)
    query, source = ariadne.QueryType(), ariadne.SubscriptionType()
    query.set_field("at", lambda *_, **__: 1)

    async def stream(*_: Any, **__: Any) -> AsyncIterator[int]:
        yield 1

    source.set_source("at", stream)
    source.set_field("at", lambda value, *_, **__: value)
    sdl = """
        scalar Stamp input Box { stamp: Stamp! }
        type Query { at(stamp: Stamp, box: Box): Int }
        type Subscription { at(stamp: Stamp, box: Box): Int }
    """
    return ariadne.make_executable_schema(sdl, query, source, scalar)


WAYS = {
    "a literal": ('{ at(stamp: "%s") }', None),
    "a literal inside": ('{ at(box: {stamp: "%s"}) }', None),
    "a variable": ("($v: Stamp) { at(stamp: $v) }", lambda value: {"v": value}),
    "a variable inside": ("($v: Box) { at(box: $v) }", lambda value: {"v": {"stamp": value}}),
    "a variable in a literal": ("($v: Stamp!) { at(box: {stamp: $v}) }", lambda v: {"v": v}),
    "a default": ('($v: Stamp = "%s") { at(stamp: $v) }', None),
}


async def asked(manager: Any, operation: str, way: str, value: str) -> list[dict[str, Any]]:
    document, variables = WAYS[way]
    text = f"{operation} Q {document}".replace("%s", value)
    try:
        async with manager.subscribe(text, variables and variables(value)) as stream:
            return [error async for result in stream for error in result.errors or ()]
    except ValidationError as error:
        return error.errors


@pytest.mark.parametrize("operation", ["query", "subscription"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["strawberry", "ariadne"])
async def test_a_value_that_a_scalar_refuses_is_the_clients_fault(kind, way, operation, caplog):
    async with SubscriptionManager(schema=with_scalar(kind)) as manager:
        assert await asked(manager, operation, way, "fine") == []
        for value, problem in (
            ("a: b", "is no stamp, but got more: of it"),
            ("key", "key"),
            ("ours", "ours"),
            ("theirs", "theirs"),
        ):
            (error,) = await asked(manager, operation, way, value)
            assert problem in error["message"], value
            assert "Internal" not in error["message"], value
        assert ours(caplog) == []
        assert manager.metrics().resolver_errors == 0


@pytest.mark.parametrize("way", ["a literal", "a variable"])
@pytest.mark.parametrize("kind", ["strawberry", "ariadne"])
async def test_what_a_scalar_raises_otherwise_is_a_fault_of_the_scalar(kind, way, caplog):
    async with SubscriptionManager(schema=with_scalar(kind)) as manager:
        (error,) = await asked(manager, "query", way, "fault")
    assert error["message"] == "Internal server error"
    (record,) = ours(caplog)
    assert isinstance(record.exc_info[1], Unreadable)
