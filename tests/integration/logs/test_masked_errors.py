"""What clients are told of faults they are no part of, and what the log has of them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NewType

import ariadne
import graphql
import pytest
import strawberry
from strawberry.schema.config import StrawberryConfig
from support import eventually

from fraiseql_subs import (
    Event,
    GraphQLError,
    Scalar,
    SubscriptionManager,
    ValidationError,
    passthrough,
    subscription,
)

SECRET = "postgres://admin:hunter2@db"


class SecretError(Exception):
    """Its name is none of the client's business either."""


async def told(manager: SubscriptionManager, document: str, *events: Any) -> list[dict[str, Any]]:
    """All errors that a client is sent."""
    errors: list[dict[str, Any]] = []
    try:
        async with manager.subscribe(document) as stream:
            for event in events:
                await manager.publish("events", event)
            async for result in stream:
                errors.extend(result.errors or ())
                if events:
                    break
    except ValidationError as error:
        errors.extend(error.errors)
    return errors


def fail() -> Any:
    raise RuntimeError(SECRET)


def strawberry_schema() -> Any:  # noqa: C901
    @strawberry.type
    class Item:
        @strawberry.field
        def price(self) -> int | None:
            return fail()

    @strawberry.type
    class Query:
        @strawberry.field
        def q(self) -> int:
            return fail()

        @strawberry.field
        def items(self) -> list[Item]:
            return [Item(), Item()]

        @strawberry.field
        def misfit(self) -> int | None:
            return SECRET  # type: ignore[return-value]

        @strawberry.field
        def null(self) -> int:
            return None  # type: ignore[return-value]

        @strawberry.field
        def told(self) -> int:
            raise graphql.GraphQLError("sold out", extensions={"code": "GONE"})

        @strawberry.field
        def ours(self) -> int:
            raise GraphQLError("sold out", extensions={"code": "GONE"})

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def m(self) -> int:
            return fail()

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def items(self) -> AsyncGenerator[Item, None]:
            yield Item()

        @strawberry.subscription
        async def breaks(self) -> AsyncGenerator[int, None]:
            yield 1
            fail()

        @strawberry.subscription
        async def at_once(self) -> AsyncGenerator[int, None]:
            fail()
            yield 1

        @strawberry.subscription
        async def told(self) -> AsyncGenerator[int, None]:
            yield 1
            raise graphql.GraphQLError("sold out", extensions={"code": "GONE"})

    globals().update(Item=Item)
    return strawberry.Schema(Query, Mutation, Subscription)


def ariadne_schema() -> Any:
    query, mutation = ariadne.QueryType(), ariadne.MutationType()
    source, item = ariadne.SubscriptionType(), ariadne.ObjectType("Item")

    def tell(error: Exception) -> Any:
        raise error

    query.set_field("q", lambda *_: fail())
    query.set_field("items", lambda *_: [{}, {}])
    query.set_field("misfit", lambda *_: SECRET)
    query.set_field("null", lambda *_: None)
    code = {"code": "GONE"}
    query.set_field("told", lambda *_: tell(graphql.GraphQLError("sold out", extensions=code)))
    query.set_field("ours", lambda *_: tell(GraphQLError("sold out", extensions=code)))
    mutation.set_field("m", lambda *_: fail())
    item.set_field("price", lambda *_: fail())

    async def items(*_: Any) -> AsyncIterator[Any]:
        yield {}

    async def breaks(*_: Any) -> AsyncIterator[int]:
        yield 1
        fail()

    async def at_once(*_: Any) -> AsyncIterator[int]:
        fail()
        yield 1

    async def goes(*_: Any) -> AsyncIterator[int]:
        yield 1
        raise graphql.GraphQLError("sold out", extensions=code)

    for name, function in {
        "items": items, "breaks": breaks, "atOnce": at_once, "told": goes
    }.items():  # fmt: skip
        source.set_source(name, function)
        source.set_field(name, lambda value, *_: value)
    sdl = """
        type Item { price: Int }
        type Query { q: Int! items: [Item!]! misfit: Int null: Int! told: Int! ours: Int! }
        type Mutation { m: Int! }
        type Subscription { items: Item! breaks: Int! atOnce: Int! told: Int! }
    """
    return ariadne.make_executable_schema(sdl, query, mutation, source, item)


SCHEMAS = {"strawberry": strawberry_schema, "ariadne": ariadne_schema}
FAILING = [
    "{ q }",
    "{ items { price } }",
    "mutation { m }",
    "subscription { items { price } }",
    "subscription { breaks }",
    "subscription { atOnce }",
]


@pytest.fixture(params=SCHEMAS)
def schema(request) -> Any:
    return SCHEMAS[request.param]()


def ours(caplog) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "fraiseql_subs"]


@pytest.mark.parametrize("document", FAILING)
async def test_what_a_given_schema_raises_is_masked_and_logged(document, schema, caplog):
    async with SubscriptionManager(schema=schema) as manager:
        errors = await told(manager, document)
    assert errors
    assert {error["message"] for error in errors} == {"Internal server error"}
    assert "hunter2" not in str(errors)
    (record,) = ours(caplog)[:1]
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])
    assert record.exc_info[1].__traceback__ is not None


@pytest.mark.parametrize("document", FAILING)
async def test_debug_tells_what_a_given_schema_raises(document, schema):
    async with SubscriptionManager(schema=schema, debug=True) as manager:
        errors = await told(manager, document)
    assert "hunter2" in str(errors)


async def test_the_place_of_a_masked_error_stays(schema):
    async with SubscriptionManager(schema=schema) as manager:
        (one, two) = await told(manager, "{ items { price } }")
    assert (one["path"], two["path"]) == (["items", 0, "price"], ["items", 1, "price"])
    assert one["locations"] == [{"line": 1, "column": 11}]


@pytest.mark.parametrize("document", ["{ told }", "{ ours }", "subscription { told }"])
async def test_what_is_raised_for_the_client_reaches_it(document, schema, caplog):
    async with SubscriptionManager(schema=schema) as manager:
        (error,) = await told(manager, document)
    assert error["message"] == "sold out"
    assert error["extensions"] == {"code": "GONE"}
    assert ours(caplog) == []


async def test_a_misfit_of_a_given_schema_does_not_quote_the_value(schema, caplog):
    async with SubscriptionManager(schema=schema) as manager:
        (error,) = await told(manager, "{ misfit }")
        assert error["message"] == "Int cannot represent non-integer value"
        (error,) = await told(manager, "{ null }")
        assert error["message"] == "Cannot return null for non-nullable field Query.null."
    assert len(ours(caplog)) == 2


async def test_errors_of_a_given_schema_count_as_resolver_errors(schema):
    async with SubscriptionManager(schema=schema) as manager:
        await told(manager, "{ q }")
        await told(manager, "{ items { price } }")
        assert manager.metrics().resolver_errors == 2


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


class Unreadable(Exception):
    """Is none of the exceptions that values cause."""


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
