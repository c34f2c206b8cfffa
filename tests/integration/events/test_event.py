"""An event is a `collections.abc.Mapping` of its data."""

from __future__ import annotations

import collections
import collections.abc
import copy
import json
import pickle
import types
from typing import Any

import msgspec
import pydantic
import pytest

from fraiseql_subs import Event, PublishError, SubscriptionManager, passthrough, subscription

DATA = {"id": 5, "status": "PAID", "deep": {"a": [1]}, "none": None}


async def events(*data: Any) -> list[Event]:
    """Events with this data, as a resolver receives them."""
    seen: list[Event] = []

    @subscription(channel="c")
    def changed(event) -> int:
        seen.append(event)
        return 1

    manager = SubscriptionManager([changed])
    async with manager, manager.subscribe("subscription { changed }") as stream:
        for value in data:
            await manager.publish("c", value)
            await anext(stream)
    return seen


async def test_it_is_taken_wherever_a_mapping_is():
    (event,) = await events(DATA)
    assert isinstance(event, collections.abc.Mapping) and issubclass(Event, collections.abc.Mapping)
    assert {**event} == dict(event) == dict(event.items()) == DATA
    assert (lambda **fields: fields)(**event) == DATA
    assert "PAID 5" == "{status} {id}".format(**event)
    assert list(event) == list(event.keys()) == list(DATA)
    assert list(event.values()) == list(DATA.values())
    assert event.keys() & {"id", "other"} == {"id"}
    assert isinstance(event.items(), collections.abc.ItemsView)
    assert collections.ChainMap({"own": 1}, event)["id"] == 5
    assert types.MappingProxyType(event)["id"] == 5
    assert {"x": 1} | dict(event) == {"x": 1, **DATA}


async def test_it_matches_patterns():
    (event,) = await events(DATA)
    match event:
        case {"status": "OPEN"}:
            pytest.fail("the status is another")
        case {"status": str(status), "deep": {"a": [first]}, **rest}:
            assert (status, first, rest) == ("PAID", 1, {"id": 5, "none": None})
        case _:
            pytest.fail("an event is no mapping pattern")


async def test_it_is_equal_to_mappings_of_equal_data():
    event, same, other, number, text = await events(DATA, DATA, {"id": 6}, 5, "text")
    assert event == DATA and DATA == event and event == same
    assert event == collections.UserDict(DATA) and event == types.MappingProxyType(DATA)
    assert event != other and other != DATA and event != {} and event != 5 and event != "id"
    assert number != event and text != number and number == number
    with pytest.raises(TypeError, match="unhashable"):
        hash(event)


async def test_keys_that_are_no_texts_are_absent():
    (event,) = await events(DATA)
    for key in (5, None, ("id",), "\udc80", "missing"):
        assert key not in event and event.get(key) is None and event.get(key, 1) == 1
        with pytest.raises(KeyError):
            event[key]
    assert event.get("id", default=7) == 5 and event.get("x", default=7) == 7
    assert event.get("none", 7) is None and "none" in event


async def test_data_that_is_no_object_has_no_keys():
    (event,) = await events([1, 2])
    assert len(event) == 0 and "id" not in event and event.get("id") is None
    assert event.data == [1, 2]
    with pytest.raises(TypeError, match="not an object"):
        dict(event)


async def test_inside_a_result_it_stands_for_its_data():
    @subscription(channel="c")
    def changed(event) -> list[dict[str, Any]]:
        return [event, event]

    async with SubscriptionManager([changed]) as manager:
        async with manager.subscribe("subscription { changed }") as stream:
            await manager.publish("c", DATA)
            assert (await anext(stream)).data == {"changed": [DATA, DATA]}
    sdl = "type Item { id: Int } type Box { item: Item } type Subscription { box: Box }"

    @subscription(channel="c")
    def box(event):
        return {"item": event}

    async with SubscriptionManager([box], schema=sdl) as manager:
        async with manager.subscribe("subscription { box { item { id } } }") as stream:
            await manager.publish("c", DATA, event_id="the id of the envelope")
            assert (await anext(stream)).data == {"box": {"item": {"id": 5}}}


async def test_it_can_be_published_again():
    seen: list[Event] = []

    @subscription(channel="c")
    def changed(event) -> int:
        seen.append(event)
        return 1

    again = passthrough("again", dict, channel="d")
    manager = SubscriptionManager([changed, again])
    async with (
        manager,
        manager.subscribe("subscription { changed }") as first,
        manager.subscribe("subscription { again }") as second,
    ):
        await manager.publish("c", DATA)
        await anext(first)
        await manager.publish("d", seen[0])
        assert (await anext(second)).data == {"again": DATA}


def read_only(data: Any) -> list[Any]:
    """All mutating calls of a dict or a list."""
    if isinstance(data, dict):
        return [
            lambda: data.__setitem__("x", 1),
            lambda: data.__delitem__("id"),
            lambda: data.__ior__({"x": 1}),
            data.clear,
            lambda: data.pop("id"),
            data.popitem,
            lambda: data.setdefault("x", 1),
            lambda: data.update(x=1),
        ]
    return [
        lambda: data.__setitem__(0, 1),
        lambda: data.__setitem__(slice(0, 1), []),
        lambda: data.__delitem__(0),
        lambda: data.__iadd__([1]),
        lambda: data.__imul__(2),
        lambda: data.append(1),
        data.clear,
        lambda: data.extend([1]),
        lambda: data.insert(0, 1),
        data.pop,
        lambda: data.remove(1),
        data.reverse,
        data.sort,
    ]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (DATA, lambda event: event.data),
        (DATA, lambda event: event["deep"]),
        (DATA, lambda event: event.data["deep"]["a"]),
        (DATA, lambda event: dict(event)["deep"]),
        ([1, {"a": 2}], lambda event: event.data),
        ([1, {"a": 2}], lambda event: event.data[1]),
    ],
)
async def test_data_cannot_be_changed_and_the_error_says_what_to_do(data, part):
    (event,) = await events(data)
    for change in read_only(part(event)):
        with pytest.raises(TypeError, match=r"shared by all its resolvers.*\{\*\*event.data\}"):
            change()
    assert event.data == data


async def test_a_resolver_that_changes_data_changes_nothing_for_others():
    @subscription(channel="c")
    def careless(event) -> int:
        event.data["id"] = 0
        return 1

    @subscription(channel="c")
    def copying(event) -> int:
        own = copy.deepcopy(event.data)
        own["deep"]["a"].append(2)
        own["id"] = 0
        return own["deep"]["a"][1]

    feed = passthrough("feed", dict, channel="c")
    manager = SubscriptionManager([careless, copying, feed])
    async with (
        manager,
        manager.subscribe("subscription { careless }") as refused,
        manager.subscribe("subscription { copying }") as copied,
        manager.subscribe("subscription { feed }") as fed,
    ):
        await manager.publish("c", DATA)
        assert (await anext(refused)).errors is not None
        assert (await anext(copied)).data == {"copying": 2}
        assert (await anext(fed)).data == {"feed": DATA}


async def test_data_is_taken_wherever_a_dict_is():
    (event,) = await events(DATA)
    data = event.data
    assert isinstance(data, dict) and isinstance(data["deep"]["a"], list)
    assert json.loads(json.dumps(data)) == DATA and repr(data) == repr(DATA)
    assert {**data, "id": 6} == data | {"id": 6} == {**DATA, "id": 6}
    assert msgspec.convert({**data, "none": 1}, Plain) == Plain(5)
    assert msgspec.json.decode(msgspec.json.encode(data)) == DATA
    assert PlainModel.model_validate(data) == PlainModel(id=5)
    for copied in (
        copy.copy(data),
        copy.deepcopy(data),
        data.copy(),
        pickle.loads(pickle.dumps(data)),
    ):
        copied["x"] = 1
        assert type(copied) is dict and copied == {**DATA, "x": 1}
    assert type(copy.deepcopy(data)["deep"]["a"]) is list
    assert type(pickle.loads(pickle.dumps(data))["deep"]["a"]) is list


class Plain(msgspec.Struct):
    id: int


class PlainModel(pydantic.BaseModel):
    id: int


def test_data_that_become_too_long_are_refused_while_they_are_written():
    text, taken = "x" * (16 << 20), 0

    def texts():
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield text

    with pytest.raises(PublishError, match="more than 1073741824 bytes"):
        Event({"texts": texts()})
    assert taken <= 65
