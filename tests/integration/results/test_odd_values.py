"""Values without a JSON form, or with a special one, in published data and in results."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import math
import sys
from typing import Any

import pytest

from fraiseql_subs import PublishError, Scalar, SubscriptionManager, passthrough, subscription


class Color(enum.Enum):
    RED = "red"


class Weird(enum.Enum):
    WEIRD = object()


class BrokenText(str):
    def __str__(self) -> str:
        raise RuntimeError("broken")

    __repr__ = __str__


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("broken")


class MyDict(dict):
    pass


@dataclasses.dataclass(slots=True)
class Slots:
    value: Any = 1


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def cycle() -> Any:
    value: dict[str, Any] = {}
    value["value"] = value
    return value


WITHOUT_JSON = {
    "NaN": (math.nan, "no JSON number"),
    "infinity": (-math.inf, "no JSON number"),
    "65 bits": (2**64, "past 64 bits"),
    "5,000 digits": (10**5000, "past 64 bits"),
    "10,000 levels": (nested(10_000), "nested deeper than 127 levels"),
    "a cycle": (cycle(), "nested deeper than 127 levels"),
    "bytes": (b"x", "no JSON form"),
    "memory": (memoryview(b"x"), "no JSON form"),
    "a member without JSON": (Weird.WEIRD, "no JSON form"),
    "a key that is no text": ({1: 2}, "is no string"),
    "a key without a text": ({BrokenRepr(): 2}, "is no string"),
    "an object": (object(), "no JSON form"),
    "an object without a text": (BrokenRepr(), "no JSON form"),
    "a class": (int, "no JSON form"),
    "a complex number": (1j, "no JSON form"),
}

WITH_JSON = {
    "64 bits": (2**64 - 1, 2**64 - 1),
    "a set": ({1}, [1]),
    "a frozen set": (frozenset({1}), [1]),
    "a member": (Color.RED, "red"),
    "a decimal": (decimal.Decimal("1.50"), "1.50"),
    "a decimal that is none": (decimal.Decimal("NaN"), "NaN"),
    "slots": (Slots(), {"value": 1}),
    "a text": (BrokenText("x"), "x"),
    "a dict": (MyDict(a=1), {"a": 1}),
    "a key": ({BrokenText("a"): 1}, {"a": 1}),
    "bools": ([True, False, None], [True, False, None]),
    "-0.0": (-0.0, -0.0),
    "the smallest": (-(2**63), -(2**63)),
    "100 levels": (nested(100), nested(100)),
    "a range": (range(2), [0, 1]),
}

anything = passthrough("anything", channel="anything")


def manager(*declared: Any) -> SubscriptionManager:
    schema = "scalar Any type Query { ok: Int } type Subscription { anything: Any }"
    return SubscriptionManager(list(declared), schema=schema, scalars=[Scalar("Any")])


@pytest.mark.parametrize("name", WITHOUT_JSON)
async def test_what_has_no_json_cannot_be_published(name):
    value, problem = WITHOUT_JSON[name]
    async with manager(anything) as served:
        with pytest.raises(PublishError, match=problem):
            await served.publish("anything", value)
        with pytest.raises(PublishError, match=problem) as refused:
            await served.publish("anything", {"a": [value]})
        assert str(refused.value).startswith("data.a[0]")
        with pytest.raises(PublishError, match=problem):
            await served.publish_many([("anything", value)])
        # The manager still works.
        await served.publish("anything", 1)


@pytest.mark.parametrize("name", WITHOUT_JSON)
async def test_what_has_no_json_is_an_error_of_its_field(name):
    value, _ = WITHOUT_JSON[name]

    @subscription(channel="anything", name="anything")
    async def resolve(event) -> Any:
        return value if event.data else 1

    async with manager(resolve) as served:
        async with served.subscribe("subscription { anything }") as results:
            await served.publish("anything", 1)
            result = await anext(results)
            assert result.data == {"anything": None}
            assert result.errors[0]["message"] == "Any cannot represent this value"
            await served.publish("anything", 0)
            assert (await anext(results)).data == {"anything": 1}


@pytest.mark.parametrize("way", ["published", "returned"])
@pytest.mark.parametrize("name", WITH_JSON)
async def test_what_has_json_is_sent(name, way):
    value, expected = WITH_JSON[name]

    @subscription(channel="anything", name="anything")
    async def resolve(event) -> Any:
        return value

    async with manager(anything if way == "published" else resolve) as served:
        async with served.subscribe("subscription { anything }") as results:
            await served.publish("anything", value if way == "published" else 1)
            assert (await anext(results)).data == {"anything": expected}


LEAVES = {
    "Int": [
        math.nan,
        math.inf,
        2**31,
        10**5000,
        nested(5),
        cycle(),
        b"x",
        "x",
        object(),
        Weird.WEIRD,
    ],
    "Float": [math.nan, math.inf, 10**5000, nested(5), b"x", "x", object()],
    "String": [nested(5), cycle(), b"x", object(), 10**5000],
    "ID": [1.5, nested(5), b"x", object(), 10**5000],
    "Boolean": [math.nan, "x", nested(5), object(), 10**5000],
}


@pytest.mark.parametrize("kind", LEAVES)
async def test_a_leaf_that_does_not_fit_is_an_error_of_its_field(kind):
    @subscription(channel="leaf")
    async def leaf(event) -> Any:
        return LEAVES[kind][event.data]

    schema = f"type Query {{ ok: Int }} type Subscription {{ leaf: {kind} }}"
    async with SubscriptionManager([leaf], schema=schema) as served:
        async with served.subscribe("subscription { leaf }") as results:
            for index in range(len(LEAVES[kind])):
                await served.publish("leaf", index)
                result = await anext(results)
                assert result.data == {"leaf": None}, index
                assert len(result.errors) == 1


RAISED = [
    RecursionError("deep"),
    MemoryError(),
    StopIteration(1),
    StopAsyncIteration(),
    GeneratorExit(),
    ZeroDivisionError(),
]


def raising(exception: BaseException) -> SubscriptionManager:
    """Make a manager each of whose fields raises at another place."""

    def fail(*_: Any) -> Any:
        raise exception

    class Thing:
        value = property(fail)

    class Items:
        def __iter__(self) -> Any:
            return fail()

    @subscription(channel="events", name="sync")
    def sync_(event) -> Any:
        return fail()

    @subscription(channel="events", name="async")
    async def async_(event) -> Any:
        return fail()

    @subscription(channel="events", name="property")
    def property_(event) -> Any:
        return Thing()

    @subscription(channel="events")
    def serialize(event) -> Any:
        return 1

    @subscription(channel="events")
    def items(event) -> Any:
        return Items()

    @subscription(name="stream")
    async def stream() -> Any:
        yield 1
        fail()

    schema = """
        scalar Odd
        type Thing { value: Int }
        type Query { ok: Int }
        type Subscription {
          sync: Int async: Int property: Thing serialize: Odd items: [Int] stream: Int
        }
    """
    declared = [sync_, async_, property_, serialize, items, stream]
    return SubscriptionManager(declared, schema=schema, scalars=[Scalar("Odd", serialize=fail)])


@pytest.mark.parametrize("place", ["property", "sync", "async", "serialize", "stream", "items"])
@pytest.mark.parametrize("exception", RAISED, ids=lambda raised: type(raised).__name__)
async def test_any_other_exception_is_one_error_and_the_manager_goes_on(place, exception):
    served = raising(exception)
    selection = "property { value }" if place == "property" else place
    async with served:
        async with served.subscribe(f"subscription {{ {selection} }}") as results:
            if place == "stream":
                assert (await anext(results)).data == {"stream": 1}
                with pytest.raises(Exception, match="Internal server error"):
                    await anext(results)
                return
            for _ in range(2):
                await served.publish("events", 1)
                result = await anext(results)
                assert result.errors[0]["message"] == "Internal server error"


def test_the_interpreter_refuses_long_integers_as_texts():
    """The limit that the cases of 5,000 digits need."""
    assert 0 < sys.get_int_max_str_digits() < 5000
