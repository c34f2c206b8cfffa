"""GraphQL over SSE and multipart subscriptions, with real clients and byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from endless import Endless
from event_stream_client import EVENTS, PARTS, Body, opened
from npm import subscribe

from fraiseql_subs import (
    Context,
    GraphQLError,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)

feed = passthrough("feed", int, channel="feed")


@subscription(channel="numbers", initial=lambda: -1)
async def numbers(event) -> int:
    if event.data == 13:
        raise GraphQLError("unlucky")
    return event.data


@subscription
async def countdown(*, start: int) -> AsyncIterator[int]:
    for number in range(start, 0, -1):
        yield number


@subscription(channel="whoami", initial=lambda context: context.identity.user_id)
async def whoami(event, context: Context) -> str:
    return context.identity.user_id


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
def manager(endless) -> SubscriptionManager:
    return SubscriptionManager([feed, numbers, countdown, endless.declare()])


CLIENTS = ["graphql-sse", "graphql-sse-single", "apollo-multipart", "urql-sse"]


@pytest.mark.parametrize("client", [*CLIENTS, "subscriptions-transport-ws", "apollo-ws", "urql"])
async def test_a_client_receives_every_event_in_order(client, manager, serve):
    server = await serve(manager)
    query = "subscription { numbers }"
    async with subscribe(client, server.http_url, query, count=101) as node:
        assert await node.read() == {"data": {"numbers": -1}}
        for number in range(100, 200):
            await manager.publish("numbers", number)
        for number in range(100, 200):
            assert await node.read() == {"data": {"numbers": number}}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_takes_an_id_alone_for_no_result(client, manager, serve):
    server = await serve(manager)
    async with subscribe(client, server.http_url, "subscription { feed }", count=2) as node:
        while not manager.metrics().subscriptions:
            await asyncio.sleep(0.001)
        for number in (1, 2):
            await manager.publish("feed", number)
            assert await node.read() == {"data": {"feed": number}}


@pytest.mark.parametrize("client", [*CLIENTS, "subscriptions-transport-ws"])
async def test_a_client_sees_the_end_of_a_stream(client, manager, serve):
    server = await serve(manager)
    query = "subscription { countdown(start: 3) }"
    # urql hands over what it has when the response ends.
    async with subscribe(client, server.http_url, query, count=3) as node:
        received = [(await node.read())["data"]["countdown"] for _ in range(3)]
        assert received == [3, 2, 1]
        assert await node.read() == {"ended": {"complete": True}}


@pytest.mark.parametrize("client", [*CLIENTS, "subscriptions-transport-ws"])
async def test_a_client_is_told_what_is_wrong_with_a_document(client, manager, serve):
    server = await serve(manager)
    async with subscribe(client, server.http_url, "subscription { nothing }") as node:
        line = await node.read()
    # graphql-sse hands a result with errors over as a result.
    errors = line.get("errors") or line["ended"]["errors"]
    assert "nothing" in json.dumps(errors)


async def test_a_result_has_the_id_of_its_event(manager, serve):
    server = await serve(manager)
    async with opened(server.http_url, "subscription { feed }", EVENTS) as (response, body):
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert await body.read_until("\n\n") == ":\n\n"
        stands = await body.read_until("\n\n")
        for number in (7, 8):
            receipt = await manager.publish("feed", number)
            expected = (
                f'id: {receipt.event_id}\nevent: next\ndata: {{"data":{{"feed":{number}}}}}\n\n'
            )
            assert await body.read_until("\n\n") == expected
        assert stands == f"id: {receipt.event_id.rpartition('-')[0]}-0\n\n"


async def test_the_end_has_an_empty_line_of_data(manager, serve):
    server = await serve(manager)
    query = "subscription { countdown(start: 1) }"
    async with opened(server.http_url, query, EVENTS) as (_, body):
        assert await body.read_until("\n\n") == ":\n\n"
        assert await body.read_until("\n\n") == 'event: next\ndata: {"data":{"countdown":1}}\n\n'
        assert await body.read_until("\n\n") == "event: complete\ndata:\n\n"
        with pytest.raises(StopAsyncIteration):
            await body.read_until("\n\n")


async def test_a_refused_document_is_one_event_with_errors_and_the_end(manager, serve):
    server = await serve(manager)
    async with opened(server.http_url, "subscription { nothing }", EVENTS) as (response, body):
        assert response.status_code == 200
        await body.read_until(":\n\n")
        failed = await body.read_until("\n\n")
        assert failed.startswith('event: next\ndata: {"errors":[{"message":')
        assert await body.read_until("\n\n") == "event: complete\ndata:\n\n"


async def test_a_request_that_is_none_is_a_400(manager, serve):
    server = await serve(manager)
    async with httpx.AsyncClient() as client:
        response = await client.post(server.http_url, json={}, headers={"accept": EVENTS})
    assert response.status_code == 400
    assert "query" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("accept", "heartbeat"),
    [(EVENTS, ":\n\n"), (PARTS, "\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql")],
    ids=["events", "parts"],
)
async def test_a_quiet_stream_shows_signs_of_life(accept, heartbeat, serve):
    server = await serve(SubscriptionManager([feed], limits=Limits(keepalive=0.05)))
    async with opened(server.http_url, "subscription { feed }", accept) as (_, body):
        await body.read_until("-0\n\n" if accept == EVENTS else "\r\n--graphql")
        for _ in range(3):
            assert await body.read_until(heartbeat) == heartbeat


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
async def test_a_client_that_leaves_ends_its_generator_at_once(
    accept, manager, endless, serve, within
):
    server = await serve(manager)
    async with opened(server.http_url, "subscription { endless }", accept) as (_, body):
        await body.read_until("begun")
    await within(endless.ended.wait())


async def test_parts_are_delimited_as_apollo_reads_them(manager, serve):
    server = await serve(manager)
    query = "subscription { countdown(start: 1) }"
    async with opened(server.http_url, query, PARTS) as (response, body):
        content_type = response.headers["content-type"]
        assert content_type == 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'
        text = await body.read_until("--graphql--\r\n")
    part = 'content-type: application/json\r\n\r\n{"payload":{"data":{"countdown":1}}}'
    assert text == f"\r\n--graphql\r\n{part}\r\n--graphql--\r\n"


async def test_the_last_part_says_why_a_subscription_was_ended(serve):
    async def authenticate(params):
        return Identity("ada")

    manager = SubscriptionManager([feed], security=Security(authenticate=authenticate))
    server = await serve(manager)
    async with opened(server.http_url, "subscription { feed }", PARTS) as (_, body):
        await body.read_until("--graphql")
        assert await manager.disconnect(identity=Identity("ada"), reason="Signed out") == 1
        text = await body.read_until("--graphql--\r\n")
    assert '{"payload":null,"errors":[{"message":"Signed out"}]}' in text


async def single(server: Any, client: httpx.AsyncClient) -> str:
    reserved = await client.put(server.http_url)
    assert reserved.status_code == 201
    assert reserved.headers["content-type"].startswith("text/plain")
    return reserved.text


def operation(query: str, id: str) -> dict[str, Any]:
    return {"query": query, "extensions": {"operationId": id}}


async def test_one_stream_carries_many_operations(manager, serve):
    server = await serve(manager)
    async with httpx.AsyncClient(timeout=30) as client:
        token = await single(server, client)
        client.headers["x-graphql-event-stream-token"] = token
        # Results that come before the stream is opened wait for it.
        first = operation("subscription { countdown(start: 1) }", "a")
        assert (await client.post(server.http_url, json=first)).status_code == 202
        async with client.stream("GET", server.http_url, headers={"accept": EVENTS}) as response:
            body = Body(response)
            await body.read_until(":\n\n")
            data = '{"id":"a","payload":{"data":{"countdown":1}}}'
            assert await body.read_until("\n\n") == f"event: next\ndata: {data}\n\n"
            assert await body.read_until("\n\n") == 'event: complete\ndata: {"id":"a"}\n\n'
            second = operation("subscription { feed }", "b")
            assert (await client.post(server.http_url, json=second)).status_code == 202
            assert (await client.post(server.http_url, json=second)).status_code == 409
            again = await client.get(server.http_url, headers={"accept": EVENTS})
            assert again.status_code == 409
            await manager.publish("feed", 5)
            assert '"payload":{"data":{"feed":5}}' in await body.read_until("\n\n")
            ended = await client.delete(server.http_url, params={"operationId": "b"})
            assert ended.status_code == 200
            assert (await client.post(server.http_url, json=second)).status_code == 202
        while manager.metrics().connections:
            await asyncio.sleep(0)
        assert (await client.post(server.http_url, json=second)).status_code == 404
    assert manager.metrics().subscriptions == 0


async def test_a_token_that_is_unknown_is_a_404(manager, serve):
    server = await serve(manager)
    async with httpx.AsyncClient() as client:
        for method in ("GET", "POST", "DELETE"):
            response = await client.request(
                method,
                server.http_url,
                params={"token": "guessed", "operationId": "a"},
                json=operation("subscription { feed }", "a"),
            )
            assert response.status_code == 404, method


async def test_a_stream_that_nobody_opens_is_given_up(serve):
    manager = SubscriptionManager([feed], limits=Limits(connection_init_timeout=0.05))
    server = await serve(manager)
    async with httpx.AsyncClient() as client:
        token = await single(server, client)
        while manager.metrics().connections:
            await asyncio.sleep(0)
        response = await client.get(server.http_url, params={"token": token})
    assert response.status_code == 404


async def test_the_application_decides_who_may_reserve_a_stream(serve):
    async def authenticate(params):
        user = params.headers.get("authorization")
        return None if user is None else Identity(user)

    manager = SubscriptionManager([whoami], security=Security(authenticate=authenticate))
    server = await serve(manager)
    async with httpx.AsyncClient() as client:
        assert (await client.put(server.http_url)).status_code == 403
    for accept in (EVENTS, PARTS):
        query = "subscription { whoami }"
        async with opened(server.http_url, query, accept) as (response, _):
            assert response.status_code == 403
        async with opened(server.http_url, query, accept, authorization="ada") as (_, body):
            assert '{"data":{"whoami":"ada"}}' in await body.read_until("}}")


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
async def test_a_client_that_never_reads_is_ended_and_harms_nobody(accept, serve):
    blob = passthrough("blob", str, channel="blob")
    manager = SubscriptionManager([blob, feed], limits=Limits(max_pending_bytes=100_000))
    server = await serve(manager)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    request = json.dumps({"query": "subscription { blob }"}).encode()
    head = f"POST {server.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    head += f"accept: {accept}\r\ncontent-length: {len(request)}\r\n\r\n"
    writer.write(head.encode() + request)
    await reader.readuntil(b"\r\n\r\n")
    async with opened(server.http_url, "subscription { feed }", EVENTS) as (_, body):
        await body.read_until("-0\n\n")
        reader._transport.pause_reading()
        while manager.metrics().slow_consumer_disconnects == 0:
            await manager.publish("blob", "x" * 50_000)
        await manager.publish("feed", 1)
        assert '{"feed":1}' in await body.read_until("\n\n")
        # Its socket is ended although it still has much to take.
        while manager.metrics().connections > 1:
            await asyncio.sleep(0.01)
    writer.close()
