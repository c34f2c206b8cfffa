"""Memory that the operations of a connection keep for their requests: `max_retained_bytes`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from support import PATIENCE, eventually

from fraiseql_subs import Limits, SubscriptionManager, passthrough, subscription

pytestmark = pytest.mark.attack

KEPT = "subscription($ids: [Int!]) { kept(ids: $ids) }"
PLAIN = "subscription($ids: [Int!]) { plain(ids: $ids) }"


def manager_of(**limits: Any) -> SubscriptionManager:
    @subscription(channel="ticks")
    async def kept(event, ids: list[int] | None = None) -> int:
        return len(ids or [])

    return SubscriptionManager(
        [kept, passthrough("plain", int, channel="ticks", arguments={"ids": list[int] | None})],
        limits=Limits(**limits),
    )


async def test_past_the_limit_an_operation_is_refused_until_another_has_ended(serve, connect):
    async with manager_of(max_retained_bytes=20_000) as manager:
        client = await connect((await serve(manager)).url)
        # As objects, 40 bytes each.
        variables = {"ids": [1000] * 400}
        first = await client.subscribe(KEPT, variables)
        (error,) = await client.receive_errors(await client.subscribe(KEPT, variables))
        assert "more than 20000 bytes" in error["message"]
        assert "max_retained_bytes" in error["message"]
        await client.complete(first)
        await client.subscribe(KEPT, variables)
        await manager.publish("ticks", 1)
        assert await client.receive_data() == {"kept": 400}


async def test_an_operation_that_ends_by_itself_makes_room(serve, connect):
    @subscription
    async def once(ids: list[int] | None = None) -> AsyncIterator[int]:
        yield len(ids or [])

    async with SubscriptionManager([once], limits=Limits(max_retained_bytes=20_000)) as manager:
        client = await connect((await serve(manager)).url)
        for _ in range(5):
            query = "subscription($ids: [Int!]) { once(ids: $ids) }"
            id = await client.subscribe(query, {"ids": [1000] * 400})
            assert await client.receive_data(id) == {"once": 400}
            assert await client.receive() == {"id": id, "type": "complete"}


@pytest.mark.parametrize("what", ["id", "document", "operation"])
async def test_ids_and_documents_count_as_well(what, serve, connect):
    async with manager_of(max_retained_bytes=20_000) as manager:
        client = await connect((await serve(manager)).url)
        # An id counts twice: it is also part of each result.
        long = "x" * (4_500 if what == "id" else 9_000)
        for number in range(3):
            query, id = "subscription { kept }", str(number)
            if what == "id":
                id += long
            elif what == "document":
                query += " #" + long
            else:
                query = f"subscription {long[:1000]} {{ kept }}" + " " * 7_000
            await client.subscribe(query, id=id)
        (error,) = await client.receive_errors(id)
        assert "max_retained_bytes" in error["message"]


async def test_a_list_of_a_hundred_thousand_numbers_is_taken(serve, connect):
    async with manager_of() as manager:
        server = await serve(manager)
        client = await connect(server.url)
        await client.subscribe(KEPT, {"ids": list(range(100_000))})
        await manager.publish("ticks", 1)
        assert await client.receive_data() == {"kept": 100_000}
        other = await connect(server.url)
        await other.subscribe(PLAIN, {"ids": list(range(100_000))})
        await manager.publish("ticks", 2)
        assert await other.receive_data() == {"plain": 2}


async def test_a_megabyte_of_records_is_taken_by_a_resolver(serve, connect):
    @subscription(channel="ticks", name="stored")
    async def stored(event, variables: dict[str, Any]) -> int:
        return len(variables["records"])

    sdl = "scalar JSON type Query { a: Int } type Subscription { stored(records: JSON): Int }"
    async with SubscriptionManager([stored], schema=sdl) as manager:
        client = await connect((await serve(manager)).url)
        names = ["identifier", "first_name", "last_name", "email", "created_at"]
        record = {name: f"the {name} of a record" for name in names}
        records = [record] * 4_800
        assert 900_000 < len(json.dumps(records)) < 1_040_000
        query = "subscription($records: JSON) { stored(records: $records) }"
        await client.subscribe(query, {"records": records})
        await manager.publish("ticks", 1)
        assert await client.receive_data() == {"stored": 4_800}


async def test_what_arguments_would_take_while_they_are_coerced_is_bounded(serve, connect):
    async with manager_of() as manager:
        client = await connect((await serve(manager)).url)
        id = await client.subscribe(PLAIN, {"ids": [1] * 300_000})
        (error,) = await client.receive_errors(id)
        assert "too many values" in error["message"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_each_request_over_http_has_the_limit_for_itself(serve):
    async with manager_of(max_retained_bytes=20_000) as manager:
        server = await serve(manager)
        url = f"http://{server.host}:{server.port}/graphql"
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            asked = {"query": KEPT, "variables": {"ids": [1000] * 400}}
            accept = {"accept": "text/event-stream"}
            async with client.stream("POST", url, json=asked, headers=accept) as first:
                async with client.stream("POST", url, json=asked, headers=accept) as second:
                    assert first.status_code == second.status_code == 200
                    running = lambda: manager.metrics().subscriptions == 2  # noqa: E731
                    await eventually(running, "both run")
            asked["variables"] = {"ids": [1000] * 800}
            refused = await client.post(url, json=asked, headers=accept)
            assert "max_retained_bytes" in refused.text


async def test_in_process_there_is_no_limit():
    async with manager_of(max_retained_bytes=1) as manager:
        stream = manager.subscribe(KEPT, {"ids": [1000] * 400})
        first = asyncio.ensure_future(anext(stream))
        await eventually(lambda: manager.metrics().subscriptions == 1, "it runs")
        await manager.publish("ticks", 1)
        assert (await first).data == {"kept": 400}
