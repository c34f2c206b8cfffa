"""What a client sees when its server drains: over every server, and without one.

The words of the protocols are in `tests/conformance`; processes that are restarted in
`test_restarts.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import graphql
import httpx
import pytest
from support import PATIENCE, eventually
from support.authentication import Waiting
from support.event_streams import EVENTS, PARTS, opened
from support.protocol_client import ProtocolClient
from support.resolvers import HeldCall
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fraiseql_subs import Security, SubscriptionManager, passthrough, subscription

FEED = "subscription { feed }"

feed = passthrough("feed", int, channel="feed")


class Held:
    """A mutation that publishes after the test allows it."""

    def __init__(self, **options: Any) -> None:
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()
        sdl = "type Query { a: Int } type Mutation { pay: Int } type Subscription { feed: Int }"
        schema = graphql.build_schema(sdl)
        assert schema.mutation_type
        schema.mutation_type.fields["pay"].resolve = self._pay
        served = passthrough("feed", channel="feed")
        self.manager = SubscriptionManager([served], schema=schema, **options)

    async def _pay(self, *_: Any) -> int:
        self.begun.set()
        await self.let_go.wait()
        await self.manager.publish("feed", 7)
        return 1


async def asked_to_come_back(url: str) -> httpx.Response:
    """Wait until the server refuses requests; return the response."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:

        async def refused() -> httpx.Response | None:
            response = await client.post(url, json={"query": "{ __typename }"})
            return None if response.status_code == 200 else response

        return await eventually(refused, "the server refuses requests")


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_mutation_under_way_may_publish_and_is_answered_over_http(name, within):
    held = Held()
    async with SERVERS[name](held.manager) as url:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            request = client.post(http_url(url), json={"query": "mutation { pay }"})
            asking = asyncio.ensure_future(request)
            await within(held.begun.wait())
            closing = asyncio.ensure_future(held.manager.close(drain=60))
            refused = await asked_to_come_back(http_url(url))
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            held.let_go.set()
            response = await asking
            assert (response.status_code, response.json()) == (200, {"data": {"pay": 1}})
            await within(closing)


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_an_operation_that_comes_too_late_gets_the_close_and_no_error(name, within):
    held = Held()
    async with SERVERS[name](held.manager) as url:
        client = await ProtocolClient.connect(url)
        await client.init()
        await client.subscribe("mutation { pay }", id="early")
        await within(held.begun.wait())
        closing = asyncio.ensure_future(held.manager.close(drain=60))
        await asked_to_come_back(http_url(url))
        await client.send({"id": "late", "type": "subscribe", "payload": {"query": FEED}})
        with pytest.raises(InvalidStatus) as refused:
            await ProtocolClient.connect(url)
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "1"
        held.let_go.set()
        assert await client.receive_data("early") == {"pay": 1}
        assert await client.receive() == {"id": "early", "type": "complete"}
        await client.expect_close(1001)
        await within(closing)


@pytest.mark.parametrize("name", HTTP_SERVERS)
@pytest.mark.parametrize(("accept", "last"), [(EVENTS, "}\n\n"), (PARTS, "--graphql")])
async def test_a_stream_over_http_has_its_events_and_ends_without_a_last_word(name, accept, last):
    manager = SubscriptionManager([feed])
    async with SERVERS[name](manager) as url, opened(http_url(url), FEED, accept) as (_, body):
        await eventually(lambda: manager.metrics().subscriptions, "the subscription runs")
        await manager.publish("feed", 41)
        await manager.publish("feed", 42)
        closing = asyncio.ensure_future(manager.close(drain=60))
        text = await body.read_until('{"feed":42}')
        while True:
            try:
                text += await body.read_until("\n")
            except StopAsyncIteration:
                break
        assert '{"feed":41}' in text
        assert "complete" not in text + body._text
        assert (text + body._text).endswith(last)
        await closing


@pytest.mark.parametrize("shared", [False, True])
async def test_events_under_way_are_resolved_before_the_close(shared, connect, within):
    call = HeldCall()
    manager = SubscriptionManager([call.declare(shared=shared)])
    async with manager.serve(port=0) as server:
        client = await connect(server.url)
        id = await client.subscribe("subscription { slow }")
        await manager.publish_many([("feed", 1), ("feed", 2)])
        await within(call.entered.wait())
        closing = asyncio.ensure_future(manager.close(drain=60))
        await asked_to_come_back(server.http_url)
        call.let_go.set()
        assert [await client.receive_data(id) for _ in range(2)] == [{"slow": 1}, {"slow": 2}]
        await client.expect_close(1001)
        await within(closing)


async def test_members_of_a_shared_call_leave_while_others_go_on_receiving(connect):
    @subscription(channel="feed", shared=True)
    async def doubled(event) -> int:
        return 2 * event.data

    async def until_the_close(client: ProtocolClient) -> None:
        with pytest.raises(ConnectionClosed):
            while True:
                assert await client.receive_data() == {"doubled": 2}
        assert client.socket.close_code == 1001

    async with SubscriptionManager([doubled]) as manager:

        async def publish() -> None:
            while True:
                await manager.publish("feed", 1)
                await asyncio.sleep(0.001)

        async with manager.subscribe("subscription { doubled }") as stays:
            async with manager.serve(port=0, drain=60) as server:
                clients = [await connect(server.url) for _ in range(3)]
                for client in clients:
                    await client.subscribe("subscription { doubled }")
                reading = [asyncio.create_task(until_the_close(client)) for client in clients]
                publishing = asyncio.create_task(publish())
                assert (await anext(stays)).data == {"doubled": 2}
            await asyncio.gather(*reading)
            assert (await anext(stays)).data == {"doubled": 2}
            publishing.cancel()


async def test_a_request_that_was_let_in_is_answered_though_its_client_is_still_examined(within):
    hook = Waiting()
    held = Held(security=Security(authenticate=hook))
    held.let_go.set()
    async with held.manager.serve(port=0) as server, httpx.AsyncClient(timeout=PATIENCE) as client:
        request = {"query": "mutation { pay }"}
        asking = asyncio.ensure_future(client.post(server.http_url, json=request))
        await within(hook.entered.wait())
        closing = asyncio.ensure_future(held.manager.close(drain=60))
        await asked_to_come_back(server.http_url)
        hook.let_in.set()
        assert (await asking).json() == {"data": {"pay": 1}}
        await within(closing)


async def test_clients_leave_one_after_the_other(connect):
    manager, count = SubscriptionManager([feed], workers=1), 20
    async with manager.serve(port=0) as server:
        clients = [await connect(server.url) for _ in range(count)]
        for client in clients:
            await client.subscribe(FEED)
        leaving = [asyncio.create_task(client.expect_close(1001)) for client in clients]
        begin = time.monotonic()
        await manager.close(drain=60)
        await asyncio.gather(*leaving)
        # 50 ms are between two connections. Timers may be late, but never early.
        assert time.monotonic() - begin > 0.9


async def test_an_endless_stream_has_the_drain_and_ends_without_complete(connect, within):
    ended = asyncio.Event()

    @subscription
    async def endless() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.set()

    manager = SubscriptionManager([endless])
    async with manager.serve(port=0) as server:
        client = await connect(server.url)
        await client.subscribe("subscription { endless }")
        assert await client.receive_data() == {"endless": 1}
        await manager.close(drain=0.05)
        await client.expect_close(1001)
        await within(ended.wait())


async def test_an_in_process_subscription_has_what_was_published_and_then_ends():
    manager = SubscriptionManager([feed])
    async with manager.subscribe(FEED) as stream:
        await manager.publish_many([("feed", number) for number in range(3)])
        await manager.close(drain=60)
        assert [result.data["feed"] async for result in stream] == [0, 1, 2]


async def test_an_in_process_stream_that_ends_in_the_drain_is_whole():
    let_go = asyncio.Event()

    @subscription
    async def finite() -> AsyncIterator[int]:
        yield 1
        await let_go.wait()
        yield 2

    manager = SubscriptionManager([finite])
    async with manager.subscribe("subscription { finite }") as stream:
        assert (await anext(stream)).data == {"finite": 1}
        closing = asyncio.ensure_future(manager.close(drain=60))
        await asyncio.sleep(0)
        let_go.set()
        assert [result.data["finite"] async for result in stream] == [2]
        await closing
