"""Clients of event streams that resume, by `Last-Event-ID` or by the ids in results."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from support import PATIENCE
from support.event_streams import EVENTS, PARTS, Body, opened
from support.node import NodeProcess
from support.progress import clients_left, recorded
from support.servers import SERVERS
from support.urls import http_url

from fraiseql_subs import History, SubscriptionManager, passthrough, subscription

FEED = "subscription { feed }"


@subscription(channel="feed", name="feed", concurrency=4)
async def called(event) -> int:
    for _ in range(event.data % 3):
        await asyncio.sleep(0)
    return event.data


KINDS = {"passthrough": passthrough("feed", int, channel="feed"), "resolver": called}

every_kind = pytest.mark.parametrize("kind", KINDS)


async def next_event(body: Body) -> dict[str, str]:
    """Return the next event by its fields; comments are left out."""
    while True:
        lines = (await body.read_until("\n\n")).splitlines()
        fields = dict(line.split(": ", 1) for line in lines if line and not line.startswith(":"))
        if fields:
            return fields


@every_kind
async def test_a_client_resumes_by_its_last_id(kind, serve, within):
    count = 600
    manager = SubscriptionManager([KINDS[kind]], history=History(events=count))
    server = await serve(manager)
    begun = asyncio.Event()

    async def publish() -> None:
        await begun.wait()
        for number in range(count):
            await manager.publish("feed", number)
            await asyncio.sleep(0)

    async def follow() -> list[int]:
        seen: list[int] = []
        headers: dict[str, str] = {}
        for ending in itertools.count(1):
            async with opened(server.http_url, FEED, EVENTS, **headers) as (_, body):
                begun_with = len(seen)
                while len(seen) < begun_with + ending * 7:
                    event = await next_event(body)
                    headers = {"last_event_id": event["id"]}
                    begun.set()
                    if "data" in event:
                        seen.append(json.loads(event["data"])["data"]["feed"])
                        if seen[-1] == count - 1:
                            return seen
        raise AssertionError

    seen, _ = await within(asyncio.gather(follow(), publish()))
    assert seen == list(range(count))
    assert manager.metrics().subscriptions_resumed > 5


async def test_a_result_says_too_late_and_has_an_id_to_continue_from(serve):
    manager = SubscriptionManager([KINDS["passthrough"]], history=History(events=2))
    server = await serve(manager)
    first = await manager.publish("feed", 0)
    for number in (1, 2, 3):
        last = await manager.publish("feed", number)
    await recorded(manager)
    stream = opened(server.http_url, FEED, EVENTS, last_event_id=first.event_id)
    async with stream as (_, body):
        event = await next_event(body)
        resume = {"id": last.event_id, "missed": True}
        assert event["id"] == last.event_id
        assert event["event"] == "next"
        assert json.loads(event["data"]) == {"data": None, "extensions": {"resume": resume}}
        receipt = await manager.publish("feed", 4)
        assert await next_event(body) == {
            "id": receipt.event_id,
            "event": "next",
            "data": '{"data":{"feed":4}}',
        }


async def test_parts_contain_ids_if_the_client_asks(serve):
    manager = SubscriptionManager([KINDS["passthrough"]])
    server = await serve(manager)

    async def part(body: Body) -> dict[str, Any]:
        text = await body.read_until("}\r\n--graphql")
        return json.loads(text[text.index("{") : text.rindex("}") + 1])["payload"]

    async with opened(server.http_url, FEED, PARTS, extensions={"resume": {}}) as (_, body):
        stands = (await part(body))["extensions"]["resume"]["id"]
    await manager.publish("feed", 1)
    extensions = {"resume": {"after": stands}}
    async with opened(server.http_url, FEED, PARTS, extensions=extensions) as (_, body):
        receipt = await manager.publish("feed", 2)
        assert (await part(body))["data"] == {"feed": 1}
        extensions = {"resume": {"id": receipt.event_id}}
        assert await part(body) == {"data": {"feed": 2}, "extensions": extensions}


class Reserved:
    """A reserved stream, single connection mode, and its operations by their fields."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self.client = client

    async def start(self, field: str, after: str | None, how: str) -> None:
        resume = {"after": after} if how == "extension" else {}
        headers = {"last-event-id": after} if after and how == "header" else {}
        extensions = {"operationId": field, "resume": resume}
        request = {"query": f"subscription {{ {field} }}", "extensions": extensions}
        response = await self.client.post(self.url, json=request, headers=headers)
        assert response.status_code == 202

    @contextlib.asynccontextmanager
    async def opened(self, stands: dict[str, str | None], how: str) -> AsyncIterator[Body]:
        token = (await self.client.put(self.url)).text
        self.client.headers["x-graphql-event-stream-token"] = token
        for field, after in stands.items():
            await self.start(field, after, how)
        accept = {"accept": EVENTS}
        async with self.client.stream("GET", self.url, headers=accept) as response:
            yield Body(response)


@pytest.mark.parametrize("how", ["header", "extension"])
async def test_operations_of_one_stream_go_on_each_where_it_was(how, serve):
    manager = SubscriptionManager([called, passthrough("other", int, channel="other")])
    server = await serve(manager)
    stands: dict[str, str | None] = {"feed": None, "other": None}

    async def receive(body: Body, count: int) -> dict[str, list[int]]:
        received: dict[str, list[int]] = {field: [] for field in stands}
        for _ in range(count):
            event = json.loads((await next_event(body))["data"])
            field, result = event["id"], event["payload"]
            stands[field] = result["extensions"]["resume"]["id"]
            if result["data"] is not None:
                received[field].append(result["data"][field])
        return received

    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        stream = Reserved(server.http_url, client)
        async with stream.opened(stands, how) as body:
            assert await receive(body, 2) == {"feed": [], "other": []}
            await manager.publish("feed", 1)
            assert await receive(body, 1) == {"feed": [1], "other": []}
        await clients_left(manager)
        await manager.publish("other", 1)
        await manager.publish("feed", 2)
        async with stream.opened(stands, how) as body:
            await manager.publish("other", 2)
            assert await receive(body, 3) == {"feed": [2], "other": [1, 2]}


async def test_an_adapter_resumes_by_the_header(stack):
    manager = SubscriptionManager([KINDS["passthrough"]])
    url = await stack.enter_async_context(SERVERS["starlette"](manager))
    url = http_url(url)
    receipt = await manager.publish("feed", 1)
    await manager.publish("feed", 2)
    stream = opened(url, FEED, EVENTS, last_event_id=receipt.event_id)
    async with stream as (_, body):
        assert json.loads((await next_event(body))["data"]) == {"data": {"feed": 2}}


@every_kind
@pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse"])
async def test_a_client_that_connects_again_by_itself_misses_nothing(client, kind, serve):
    manager = SubscriptionManager([KINDS[kind]])
    server = await serve(manager)
    async with NodeProcess.run("resume.mjs", client, server.http_url, FEED) as node:
        assert await node.read() == {"data": None, "missed": False}
        for number in range(0, 30, 3):
            await manager.publish("feed", number)
            assert await node.read() == {"data": {"feed": number}}
            [connection] = manager.connections()
            ending = {"connection_id": connection.connection_id, "code": 4000}
            assert (await manager.disconnect(**ending, reason="Try again")).closed == 1
            # Before it is back, or after.
            for missed in (number + 1, number + 2):
                await manager.publish("feed", missed)
            for missed in (number + 1, number + 2):
                assert await node.read() == {"data": {"feed": missed}}
    assert manager.metrics().resumes_too_late == 0
