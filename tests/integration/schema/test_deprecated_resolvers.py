"""A resolver with `@deprecated` (PEP 702): marked in the schema, no warning for each call."""

from __future__ import annotations

import functools
import inspect
import warnings

import pytest
from typing_extensions import deprecated

from fraiseql_subs import SubscriptionManager, subscription


@subscription(channel="c")
@deprecated("use orders")
async def awaited(event) -> int:
    return event.data


@subscription(channel="c")
@deprecated("use orders")
def plain(event, *, factor: int = 2) -> int:
    return event.data


@deprecated("use orders")
@subscription(channel="c")
async def above(event) -> int:
    return event.data


@subscription
@deprecated("use orders")
async def stream():
    yield 1


stream.__annotations__["return"] = "AsyncIterator[int]"


@deprecated("use another")
async def first_value() -> int:
    return 0


@deprecated("use another")
def first_values():
    yield 0


@subscription(channel="c", initial=first_value)
def with_initial(event) -> int:
    return event.data


@subscription(channel="c", initial=first_values)
def with_initials(event) -> int:
    return event.data


@pytest.mark.parametrize("resolver", [awaited, plain, above])
async def test_the_schema_says_so_and_calls_do_not_warn(resolver):
    name = resolver.__subscription__.field
    manager = SubscriptionManager([resolver])
    assert '@deprecated(reason: "use orders")' in manager.sdl()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with manager, manager.subscribe(f"subscription {{ {name} }}") as results:
            await manager.publish("c", 1)
            result = await anext(results)
    assert (result.data, result.errors) == ({name: 1}, None)


@pytest.mark.parametrize("resolver", [with_initial, with_initials])
async def test_an_initial_function_does_not_warn(resolver):
    name = resolver.__subscription__.field
    async with SubscriptionManager([resolver]) as manager:
        async with manager.subscribe(f"subscription {{ {name} }}") as results:
            assert (await anext(results)).data == {name: 0}


async def test_a_source_stream_does_not_warn():
    manager = SubscriptionManager([stream], schema="type Subscription { stream: Int }")
    async with manager, manager.subscribe("subscription { stream }") as results:
        assert (await anext(results)).data == {"stream": 1}


def test_other_callers_are_warned():
    with pytest.warns(DeprecationWarning, match="use orders"):
        coroutine = awaited(None)
    assert inspect.iscoroutine(coroutine)
    coroutine.close()


async def test_a_decorator_below_is_still_called():
    calls = []

    def counted(function):
        @functools.wraps(function)
        async def wrapper(event):
            calls.append(event.data)
            return await function(event)

        return wrapper

    @subscription(channel="c")
    @deprecated("use orders")
    @counted
    async def changed(event) -> int:
        return event.data

    async with SubscriptionManager([changed]) as manager:
        async with manager.subscribe("subscription { changed }") as results:
            await manager.publish("c", 1)
            assert (await anext(results)).data == {"changed": 1}
    assert calls == [1]
