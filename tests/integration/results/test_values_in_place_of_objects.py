"""A value that is not an object where the schema has one: an error, and a record that names it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import pytest
from support import eventually

from fraiseql_subs import SubscriptionManager, passthrough, subscription


@dataclass
class Note:
    text: str | None = None
    user_id: int | None = None


@dataclass
class Strict:
    text: str
    user_id: int


@dataclass
class Photo:
    url: str | None = None


MESSAGE = "expected an object for `Subscription.{}`"

NO_OBJECTS = {
    "JSON text": ('{"text": "a"}', "a string", "object of type `str`"),
    "a list": ([{"text": "a"}], "a list", "object of type `list`"),
    "a number": (5, "a number", "object of type `int`"),
    "a boolean": (True, "a boolean", "object of type `bool`"),
}


def records(caplog) -> list[str]:
    texts = []
    for record in caplog.records:
        if record.levelno >= logging.ERROR:
            texts.append(" ".join([record.getMessage(), *map(str, vars(record).values())]))
    return texts


@pytest.mark.parametrize("cls", [Note, Strict])
@pytest.mark.parametrize(("value", "published", "returned"), NO_OBJECTS.values(), ids=NO_OBJECTS)
async def test_no_object_is_an_error_that_says_what_was_given(
    cls, value, published, returned, caplog
):
    async def note(event):
        return event.data

    async def own(event):
        return value

    for function in (note, own):
        function.__annotations__["return"] = cls | None
    declared = [subscription(channel="a")(function) for function in (note, own)]
    passed = passthrough("passed", cls | None, channel="a")
    async with SubscriptionManager([*declared, passed]) as manager:
        for field, told in (("passed", published), ("own", returned), ("note", "")):
            caplog.clear()
            async with manager.subscribe(
                f"subscription {{ {field} {{ text userId }} }}"
            ) as results:
                await manager.publish("a", value)
                result = await anext(results)
            assert result.data == {field: None}
            assert [e["message"] for e in result.errors] == [MESSAGE.format(field)]
            assert [e["path"] for e in result.errors] == [[field]]
            (text,) = await eventually(lambda: records(caplog), "the value is logged")
            assert told in text
            assert "a dict, another mapping, a dataclass, a model" in text


async def test_what_was_not_awaited_is_named_and_told_to_be_awaited(caplog):
    made = []

    async def read() -> dict[str, str]:
        return {"text": "a"}

    @subscription(channel="a")
    async def note(event) -> Note | None:
        made.append(read())
        return made[-1]

    @subscription(channel="a")
    async def either(event) -> Note | Photo | None:
        made.append(read())
        return made[-1]

    @subscription(channel="a")
    async def text(event) -> str | None:
        made.append(read())
        return made[-1]

    @subscription(channel="a")
    async def later(event) -> Note | None:
        return asyncio.get_running_loop().create_future()

    selections = {
        "note { text }": "coroutine",
        "either { ... on Note { text } }": "coroutine",
        "text": "coroutine",
        "later { text }": "Future",
    }
    async with SubscriptionManager([note, either, text, later]) as manager:
        for selection, kind in selections.items():
            caplog.clear()
            async with manager.subscribe(f"subscription {{ {selection} }}") as results:
                await manager.publish("a", 1)
                result = await anext(results)
            assert set(result.data.values()) == {None}
            assert len(result.errors) == 1
            (record,) = records(caplog)
            assert f"`{kind}` that was not awaited (await it)" in record
    for coroutine in made:
        coroutine.close()


async def test_a_method_in_the_place_of_its_value_is_named(caplog):
    class Order:
        def label(self) -> str:
            return "a"

    @dataclass
    class Shown:
        label: str | None = None

    async def shown(event):
        return Order()

    shown.__annotations__["return"] = Shown
    async with SubscriptionManager([subscription(channel="a")(shown)]) as manager:
        async with manager.subscribe("subscription { shown { label } }") as results:
            await manager.publish("a", 1)
            assert (await anext(results)).data == {"shown": {"label": None}}
    (record,) = records(caplog)
    assert "the method `Order.label`, which is not called" in record


@pytest.mark.parametrize("is_returned", [False, True])
async def test_a_dict_whose_keys_are_spelled_otherwise_is_told_in_the_log(is_returned, caplog):
    @subscription(channel="a", name="note")
    async def returned(event) -> Note | None:
        return {**event.data}

    passed = passthrough("note", Note | None, channel="a")
    async with SubscriptionManager([returned if is_returned else passed]) as manager:
        async with manager.subscribe("subscription { note { userId } }") as results:
            await manager.publish("a", {"userId": 3})
            assert (await anext(results)).data == {"note": {"userId": None}}
            (record,) = await eventually(lambda: records(caplog), "the key is logged")
            assert "Note.userId" in record
            assert "it has `userId`, but the field is read from `user_id`" in record
            # What merely lacks a field is no fault.
            caplog.clear()
            await manager.publish("a", {"text": "a"})
            assert (await anext(results)).data == {"note": {"userId": None}}
            await manager.publish("a", {})
            assert (await anext(results)).data == {"note": {"userId": None}}
            assert records(caplog) == []


async def test_a_required_field_that_is_spelled_otherwise_is_told_in_the_log(caplog):
    async with SubscriptionManager([passthrough("strict", Strict, channel="a")]) as manager:
        async with manager.subscribe("subscription { strict { text userId } }") as results:
            await manager.publish("a", {"text": "a", "userId": 3})
            result = await anext(results)
    assert [e["message"] for e in result.errors] == [
        "Cannot return null for non-nullable field Strict.userId."
    ]
    (record,) = await eventually(lambda: records(caplog), "the key is logged")
    assert "it has `userId`, but the field is read from `user_id`" in record
