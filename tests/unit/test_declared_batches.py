"""Declarations with `batch=True`: accepted and refused ones, and their form for the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, TypedDict

import pytest
from typing_extensions import NotRequired

from fraiseql_subs import (
    Context,
    GraphQLError,
    Name,
    SchemaError,
    Skip,
    SubscriptionManager,
    passthrough,
    subscription,
)
from fraiseql_subs.decorators import resolve


@dataclass
class Filter:
    """The arguments of a field."""

    room: Annotated[str, "The room"]
    since: date | None
    shout: bool = False
    max_rows: Annotated[int, Name("limit")] = 20


class Keys(TypedDict):
    room: str
    since: date | None
    shout: NotRequired[bool]


def declared(returns: Any, schema: str | None = None, **options: Any):
    async def values(calls): ...

    values.__annotations__ = {} if returns is None else {"return": returns}
    decorated = subscription(**{"channel": "c", "batch": True, **options})(values)
    source, [definition] = resolve([decorated.__subscription__], schema)
    return source, definition


@pytest.mark.parametrize(
    ("returns", "type"),
    [
        (list[int], "Int!"),
        (Sequence[int], "Int!"),
        (list[int | None], "Int"),
        (list[list[int]], "[Int!]!"),
        (list[int | Skip], "Int!"),
        (list[int | Exception], "Int!"),
        (list[int | Skip | ValueError | KeyError], "Int!"),
        ("list[int | BaseException | None]", "Int"),
    ],
)
def test_the_field_has_the_type_of_one_result(returns, type):
    source, definition = declared(returns)
    assert f"values: {type}\n" in source.sdl
    assert definition.batch and definition.is_async


def test_arguments_are_declared_by_type():
    source, definition = declared(
        list[int],
        channel="c.{user_id}",
        filter={"state": "$state"},
        arguments={"user_id": int, "state": str | None},
    )
    assert "values(userId: Int!, state: String): Int!" in source.sdl
    assert definition.channel == "c.{userId}"
    bound = definition.bind({"userId": 5}, Context(value=1))
    assert bound.variables == {"user_id": 5, "state": None}
    assert bound.context == Context(value=1)


def test_an_argument_that_is_not_declared_says_how_to_declare_it():
    with pytest.raises(SchemaError, match=r'add arguments=\{"user_id": int\}'):
        declared(list[int], channel="c.{user_id}")


@pytest.mark.parametrize("returns", [None, int, list, dict[str, int], tuple[int, int]])
def test_another_return_type_is_refused(returns):
    with pytest.raises(SchemaError, match="return type") as told:
        declared(returns)
    assert returns is None or "such as `-> list[Order]`" in str(told.value)


def test_with_sdl_the_type_of_one_result_is_compared_with_the_field():
    sdl = "type Query { a: Int } type Subscription { values: String }"

    @subscription(channel="c", batch=True)
    def values(calls) -> list[list[int]]: ...

    @subscription(channel="c", batch=True, name="values")
    def fitting(calls) -> list[str | Exception]: ...

    @subscription(channel="c", batch=True, name="values")
    def bare(calls): ...

    with pytest.raises(SchemaError, match=r"list\[int\]"):
        SubscriptionManager([values], schema=sdl)
    SubscriptionManager([fitting], schema=sdl)
    SubscriptionManager([bare], schema=sdl)


@pytest.mark.parametrize("parameters", ["", "event", "calls, context", "*, calls", "event, calls"])
def test_its_only_parameter_is_the_list_of_calls(parameters):
    namespace: dict[str, Any] = {}
    exec(f"async def values({parameters}) -> list[int]: ...", namespace)
    with pytest.raises(SchemaError, match="its only parameter is `calls`"):
        subscription(channel="c", batch=True)(namespace["values"])


def test_a_source_stream_is_refused():
    async def values(calls):
        yield 1

    with pytest.raises(SchemaError, match="`batch` has no meaning"):
        subscription(batch=True)(values)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch": 1}, "batch is 1: pass True or False"),
        ({"batch": True, "arguments": ["a"]}, 'pass types by name, such as {"userId": int}'),
        ({"arguments": {"a": int}}, "`arguments` is for batch=True"),
    ],
)
def test_a_malformed_option_names_the_remedy(options, problem):
    def values(calls) -> list[int]: ...

    with pytest.raises(SchemaError) as told:
        subscription(channel="c", **options)(values)
    assert "values()" in str(told.value) and problem in str(told.value)


def test_an_initial_value_has_the_declared_arguments():
    options: dict[str, Any] = {"arguments": {"user_id": int}}
    declared(list[int], initial=lambda user_id, variables, context: 1, **options)
    with pytest.raises(SchemaError, match="parameter `calls` is neither"):
        declared(list[int], initial=lambda calls: 1, **options)


def test_the_defaults_of_a_resolver_are_kept_by_a_class():
    async def values(
        event,
        *,
        room: Annotated[str, "The room"],
        since: date | None,
        shout: bool = False,
        max_rows: Annotated[int, Name("limit")] = 20,
    ) -> int: ...

    ordinary, _ = resolve([subscription(channel="c.{room}")(values).__subscription__])
    batch, _ = declared(list[int], channel="c.{room}", arguments=Filter)
    direct, _ = resolve([passthrough("values", int, channel="c.{room}", arguments=Filter)])
    assert "shout: Boolean! = false" in ordinary.sdl and "limit: Int! = 20" in ordinary.sdl
    assert batch.sdl == direct.sdl == ordinary.sdl


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "type Subscription { values(room: String!, since: Date, "
        "shout: Boolean, limit: Int, other: Int): Int } scalar Date",
    ],
)
def test_the_variables_are_an_instance_of_the_class(schema):
    _, definition = declared(list[int], schema, channel="c.{room}", arguments=Filter)
    given = {"room": "a", "since": "2026-01-31", "limit": 3}
    bound = definition.bind(given, Context(), ["room", "since", "shout", "limit", "other"])
    assert bound.variables == Filter("a", date(2026, 1, 31), False, 3)
    assert definition.bind({"room": "a"}, Context()).variables == Filter("a", None)
    with pytest.raises(GraphQLError, match="argument since: 'x' is not a date"):
        definition.bind({"room": "a", "since": "x"}, Context())


def test_a_typed_dict_tells_what_was_left_out():
    _, definition = declared(list[int], arguments=Keys)
    assert definition.bind({"room": "a"}, Context()).variables == {"room": "a", "since": None}
    given = {"room": "a", "shout": True}
    assert definition.bind(given, Context()).variables == {**given, "since": None}


def test_an_initial_value_has_the_fields_of_the_class():
    def first(room: str, shout: bool, variables): ...

    _, definition = declared(list[int], arguments=Filter, initial=first)
    bound = definition.bind({"room": "a"}, Context())
    expected = {"room": "a", "shout": False, "variables": Filter("a", None)}
    assert bound.initial.keywords == expected
    with pytest.raises(SchemaError, match="parameter `nope` is neither"):
        declared(list[int], arguments=Filter, initial=lambda nope: 1)


def test_a_class_without_the_argument_of_the_channel_is_named():
    with pytest.raises(SchemaError, match="add the field `user: int` to Filter"):
        declared(list[int], channel="c.{user}", arguments=Filter)


@pytest.mark.parametrize("arguments", [int, list[Filter], Filter("a", None)])
def test_a_class_without_fields_declares_no_arguments(arguments):
    with pytest.raises(SchemaError, match="or a class with a field for each argument"):
        declared(list[int], arguments=arguments)


SDL = "type Query { a: Int } type Subscription { values(customerId: Int, at: Int): Int }"


def batch_of(arguments):
    @subscription(channel="c", batch=True, arguments=arguments)
    def values(calls): ...

    return values


def passthrough_of(arguments):
    return passthrough("values", channel="c", arguments=arguments)


@dataclass
class Misspelt:
    customer: int


@pytest.mark.parametrize("declare", [batch_of, passthrough_of])
def test_with_sdl_a_misspelt_argument_is_refused(declare):
    for arguments in ({"customer": int}, Misspelt):
        with pytest.raises(SchemaError) as told:
            SubscriptionManager([declare(arguments)], schema=SDL)
        assert "`Subscription.values` has no argument `customer`" in str(told.value)
        assert "it has: `customerId`, `at`" in str(told.value)
    for known in ({"customer_id": int}, {"customerId": int}, None):
        SubscriptionManager([declare(known)], schema=SDL)


@pytest.mark.parametrize("returns", [int, "int", dict[str, int], int | None])
def test_with_sdl_another_return_type_than_a_list_is_refused(returns):
    with pytest.raises(SchemaError, match=r"such as `-> list\[Order\]`"):
        declared(returns, SDL)


@pytest.mark.parametrize(
    "returns", [None, list, list[int], list[dict], Sequence[int], Any, object, "list[Unknown]"]
)
def test_with_sdl_a_list_of_anything_is_accepted(returns):
    declared(returns, SDL)


def test_a_missing_return_type_is_a_list_of_results():
    with pytest.raises(SchemaError, match=r"annotate it, such as `-> list\[Order\]`, or pass"):
        declared(None)
