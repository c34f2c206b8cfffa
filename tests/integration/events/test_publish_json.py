"""`publish_json`: data that are JSON already reach subscribers as those of `publish` do."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from support import PATIENCE

from fraiseql_subs import (
    Event,
    Identity,
    PublishError,
    Receipt,
    Security,
    SubscriptionManager,
    TenantIsolation,
    passthrough,
    subscription,
)


@dataclass
class Order:
    id: int
    status: str
    total: float


TEXT = '{ "id": 7,\n "status": "PA\\u0049D \\u00e9\\n",\t"total": 1.50e1, "more": [{}, null] }'

FORMS: dict[str, Any] = {
    "bytes": TEXT.encode(),
    "str": TEXT,
    "bytearray": bytearray(TEXT.encode()),
    "memoryview": memoryview(TEXT.encode()),
    "a part of a memoryview": memoryview(b"##" + TEXT.encode() + b"##")[2:-2],
}

ORDER = {"id": 7, "status": "PAID é\n", "total": 15.0}


async def take(results: Any, count: int = 1) -> list[Any]:
    """Return the values of the field of the next results."""
    taken = [await asyncio.wait_for(anext(results), PATIENCE) for _ in range(count)]
    assert all(result.errors is None for result in taken), taken
    return [next(iter(result.data.values())) for result in taken]


@pytest.mark.parametrize("form", FORMS)
async def test_a_client_is_sent_the_fields_of_the_text(form):
    async with SubscriptionManager([passthrough("feed", Order, channel="feed")]) as manager:
        async with manager.subscribe("subscription { feed { id status total } }") as results:
            receipt = await manager.publish_json("feed", FORMS[form])
            assert isinstance(receipt, Receipt) and receipt.offset == 1
            assert await take(results) == [ORDER]


async def test_a_resolver_reads_the_data_of_the_text():
    seen: list[Event] = []

    @subscription(channel="feed")
    async def feed(event: Event) -> int:
        seen.append(event)
        return event["id"]

    async with SubscriptionManager([feed]) as manager:
        async with manager.subscribe("subscription { feed }") as results:
            await manager.publish_json("feed", TEXT, event_type="paid", event_id="mine")
            assert await take(results) == [7]
    (event,) = seen
    assert event.data == json.loads(TEXT)
    assert event == json.loads(TEXT) and len(event) == 4
    assert (event.id, event.event_type, event.channel) == ("mine", "paid", "feed")
    with pytest.raises(TypeError):
        event.data["id"] = 8


SAME = [
    *["null", "true", "0", "-0", "-12", "1.5", "1e3", "1E-7", "18446744073709551615", '""'],
    *['"é\\u00e9\\ud83c\\udf89"', '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f"', " [ ] ", "{\n}"],
    *["[1, 2.0, 1e22, 5e-324, 0.1]", '{"b": 1, "a": {"c": [[]]}}', '{"a\\n": {"\\u00e9": 1}}'],
    *['{"a": 1, "b": 2, "a": [3]}', '{"__fraiseql_subs_type": "X", "a": 1}', "1" * 19],
]


async def test_a_text_is_sent_as_the_objects_that_it_describes_are():
    sdl = "scalar JSON type Query { ok: Int } type Subscription { feed: JSON }"
    manager = SubscriptionManager([passthrough("feed", Any, channel="feed")], schema=sdl)
    async with manager, manager.subscribe("subscription { feed }") as results:
        for text in SAME:
            await manager.publish_json("feed", text)
            await manager.publish("feed", json.loads(text))
            as_text, as_objects = await take(results, 2)
            assert json.dumps(as_text) == json.dumps(as_objects), text


async def test_filters_compare_what_the_text_says():
    @subscription(channel="feed", filter={"user.id": "$user"})
    async def feed(event: Event, user: int) -> int:
        return event["n"]

    async with SubscriptionManager([feed]) as manager:
        async with manager.subscribe("subscription { feed(user: 7) }") as results:
            for number, user in enumerate(["8", "7", "null", "7"]):
                # The last member of a name counts.
                text = f'{{"user": {{"id": 0, "i\\u0064": {user}}}, "n": {number}}}'
                await manager.publish_json("feed", text)
            assert await take(results, 2) == [1, 3]


async def test_tenants_are_kept_apart():
    security = Security(tenant=TenantIsolation(event_field="org.tenant"))
    feed = passthrough("feed", Order, channel="feed")

    async def seen(tenant: str) -> Any:
        identity = Identity(user_id="ann", tenant_id=tenant)
        return manager.subscribe("subscription { feed { id } }", identity=identity)

    def order(number: int, tenant: str | None = None) -> str:
        return json.dumps({"id": number, "org": {"tenant": tenant}})

    async with SubscriptionManager([feed], security=security) as manager:
        async with await seen("a") as of_a, await seen("b") as of_b:
            await manager.publish_json("feed", order(1, "a"))
            await manager.publish_json("feed", order(2), tenant_id="b")
            await manager.for_tenant("a").publish_json("feed", order(3))
            await manager.publish_many([{"channel": "feed", "json": order(4, "b")}])
            assert await take(of_a, 2) == [{"id": 1}, {"id": 3}]
            assert await take(of_b, 2) == [{"id": 2}, {"id": 4}]
            with pytest.raises(PublishError, match="but the data says `b`"):
                await manager.for_tenant("a").publish_json("feed", order(5, "b"))


DEEP = "[" * 128 + "]" * 128

BAD: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "it is empty"),
    "white space": (b" \n", "it is empty"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ("{}".encode("utf-16"), "it is not UTF-8 from byte 0 on"),
    "half a character": (b'{"a":"\xc3"}', "it is not UTF-8 from byte 6 on"),
    "a lone surrogate": (b'["\\ud800"]', "a text with a lone surrogate cannot be sent"),
    "a lone surrogate in a name": (b'{"\\udc00":1}', "a text with a lone surrogate"),
    "a str with a lone surrogate": ('"\ud800"', "a text with a lone surrogate cannot be sent"),
    "NaN": (b"[NaN]", "it is not JSON: expected value at line 1 column 2"),
    "Infinity": (b"-Infinity", "it is not JSON"),
    "an unfinished text": (b'{"a":', "it is not JSON: EOF while parsing a value"),
    "single quotes": (b"{'a':1}", "it is not JSON: key must be a string"),
    "a comma too many": (b"[1,]", "it is not JSON: "),
    "a control character": (b'"\x01"', "it is not JSON: control character"),
    "two values": (b"{} {}", "it is more than one JSON value"),
    "lines": (b"1\n2\n", "it is more than one JSON value"),
    "a large integer": (b'{"a":18446744073709551616}', "an integer past 64 bits"),
    "a large float": (b"1e400", "out of the range of a double"),
    "many levels": (DEEP.encode(), "nested deeper than 127 levels"),
    "a very long text": (bytes((1 << 30) + 1), "it has more than 1073741824 bytes"),
    "a dict": (
        {"a": 1},
        "pass the text of one JSON value as bytes or str, not an object of type `dict`",
    ),
    "None": (None, "pass the text of one JSON value as bytes or str, not "),
}


@pytest.mark.parametrize("what", BAD)
async def test_what_is_no_json_is_refused_with_the_reason(what):
    bad, problem = BAD[what]
    async with SubscriptionManager([passthrough("feed", Any, channel="feed")]) as manager:
        with pytest.raises(PublishError) as told:
            await manager.publish_json("feed", bad)
        assert str(told.value).startswith("json: ") and problem in str(told.value)
        assert not told.value.retryable
        with pytest.raises(PublishError) as told:
            await manager.publish_many([("feed", 1), {"channel": "feed", "json": bad}])
        assert str(told.value).startswith("events[1].json: ") and problem in str(told.value)
        assert manager.metrics().events_accepted == 0


async def test_other_parameters_are_refused_as_those_of_publish():
    async with SubscriptionManager([passthrough("feed", Any, channel="feed")]) as manager:
        with pytest.raises(PublishError, match="the channel is empty"):
            await manager.publish_json("", "1")
        with pytest.raises(PublishError, match=r"^channel: pass a string, not "):
            await manager.publish_json(1, "1")  # type: ignore[call-overload]
        with pytest.raises(PublishError, match="`data` and `json` are both given"):
            await manager.publish_many([{"channel": "feed", "data": 1, "json": "1"}])
        with pytest.raises(PublishError, match=r"events\[0\]: `data` is missing"):
            await manager.publish_many([{"channel": "feed"}])


async def test_the_deepest_text_and_one_of_a_megabyte_arrive():
    sdl = "scalar JSON type Query { ok: Int } type Subscription { feed: JSON }"
    manager = SubscriptionManager([passthrough("feed", Any, channel="feed")], schema=sdl)
    large = json.dumps([{"n": number, "text": "é\n" * 50} for number in range(5_000)])
    async with manager, manager.subscribe("subscription { feed }") as results:
        for text in ["[" * 127 + "]" * 127, large]:
            await manager.publish_json("feed", text.encode())
            assert await take(results) == [json.loads(text)]


async def test_a_thread_without_an_event_loop_publishes():
    async with SubscriptionManager([passthrough("feed", Order, channel="feed")]) as manager:
        async with manager.subscribe("subscription { feed { id } }") as results:
            await asyncio.to_thread(manager.publish_json, "feed", TEXT)
            assert await take(results) == [{"id": 7}]
