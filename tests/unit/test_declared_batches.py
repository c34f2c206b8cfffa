"""Declarations with `batch=True`: accepted and refused ones, and their form for the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fraiseql_subs import Context, SchemaError, Skip, SubscriptionManager, subscription
from fraiseql_subs.decorators import resolve


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
