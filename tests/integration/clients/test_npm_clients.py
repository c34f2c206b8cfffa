"""Clients of npm over the embedded server.

Subscriptions here have an initial value: when a client has it, every later event reaches it.
"""

from __future__ import annotations

import json

import pytest
from client_manager import make_manager
from support import eventually
from support.node import subscribe

from fraiseql_subs import SubscriptionManager, passthrough


@pytest.fixture
def manager() -> SubscriptionManager:
    return make_manager()


CLIENTS = [
    "graphql-ws",
    "subscriptions-transport-ws",
    "graphql-sse",
    "graphql-sse-single",
    "apollo-multipart",
    "urql-sse",
]


@pytest.mark.parametrize("client", [*CLIENTS, "apollo-ws", "urql"])
async def test_a_client_receives_every_event_in_order(client, manager, serve):
    server = await serve(manager)
    query = 'subscription { numbers(parity: "all") }'
    async with subscribe(client, server.http_url, query, count=101) as node:
        assert await node.read() == {"data": {"numbers": -1}}
        for number in range(100, 200):
            await manager.publish("numbers.all", number)
        for number in range(100, 200):
            assert await node.read() == {"data": {"numbers": number}}


@pytest.mark.parametrize("client", [name for name in CLIENTS if "sse" in name])
async def test_a_client_does_not_treat_an_id_alone_as_a_result(client, serve):
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
    server = await serve(manager)
    async with subscribe(client, server.http_url, "subscription { feed }", count=2) as node:
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        for number in (1, 2):
            await manager.publish("feed", number)
            assert await node.read() == {"data": {"feed": number}}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_sees_the_end_of_a_stream(client, manager, serve):
    server = await serve(manager)
    query = "subscription { countdown(start: 3) }"
    # urql returns its results when the response ends.
    async with subscribe(client, server.http_url, query, count=3) as node:
        received = [(await node.read())["data"]["countdown"] for _ in range(3)]
        assert received == [3, 2, 1]
        assert await node.read() == {"ended": {"complete": True}}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_is_told_what_is_wrong_with_a_document(client, manager, serve):
    server = await serve(manager)
    async with subscribe(client, server.http_url, "subscription { nothing }") as node:
        line = await node.read()
    # graphql-sse returns a result with errors as a result.
    errors = line.get("errors") or line["ended"]["errors"]
    # In its single connection mode, it returns only the status.
    told = "400: Bad Request" if client == "graphql-sse-single" else "nothing"
    assert told in json.dumps(errors)


async def test_graphql_ws_receives_ten_thousand_events_in_order(manager, serve):
    server, count = await serve(manager), 10_000
    query = "subscription ($p: String!) { numbers(parity: $p) }"
    options = {"variables": {"p": "all"}, "count": count + 1}
    async with subscribe("graphql-ws", server.url, query, **options) as client:
        assert await client.read() == {"data": {"numbers": -1}}
        for number in range(count):
            await manager.publish("numbers.all", number + 100)
        for number in range(count):
            assert await client.read() == {"data": {"numbers": number + 100}}
        assert await client.read() == {"ended": {"complete": True}}


async def test_several_graphql_ws_clients_receive_their_own(manager, serve):
    server = await serve(manager)
    query = "subscription ($p: String!) { numbers(parity: $p) }"
    even = subscribe("graphql-ws", server.url, query, variables={"p": "even"}, count=6)
    odd = subscribe("graphql-ws", server.url, query, variables={"p": "odd"}, count=6)
    async with even as even_client, odd as odd_client:
        for client in (even_client, odd_client):
            assert await client.read() == {"data": {"numbers": -1}}
        for number in range(10):
            await manager.publish(f"numbers.{'odd' if number % 2 else 'even'}", number)
        for client, rest in ((even_client, 0), (odd_client, 1)):
            received = [(await client.read())["data"]["numbers"] for _ in range(5)]
            assert received == [rest, rest + 2, rest + 4, rest + 6, rest + 8]
            assert await client.read() == {"ended": {"complete": True}}


async def test_graphql_ws_sees_an_error_of_one_event_and_stays_subscribed(manager, serve):
    server = await serve(manager)
    query = 'subscription { numbers(parity: "x") }'
    async with subscribe("graphql-ws", server.url, query, count=3) as client:
        await client.read()
        await manager.publish("numbers.x", 13)
        await manager.publish("numbers.x", 14)
        failed = await client.read()
        assert failed["data"] is None
        assert failed["errors"][0]["message"] == "unlucky"
        assert await client.read() == {"data": {"numbers": 14}}
        assert await client.read() == {"ended": {"complete": True}}


async def test_graphql_ws_is_told_when_a_stream_ends(manager, serve):
    server = await serve(manager)
    query = "subscription { countdown(start: 3) }"
    async with subscribe("graphql-ws", server.url, query) as client:
        assert [(await client.read())["data"]["countdown"] for _ in range(3)] == [3, 2, 1]
        assert await client.read() == {"ended": {"complete": True}}


async def test_graphql_ws_is_told_what_is_wrong_with_a_document(manager, serve):
    server = await serve(manager)
    async with subscribe("graphql-ws", server.url, "subscription { nothing }") as client:
        (error,) = (await client.read())["ended"]["errors"]
        assert "nothing" in error["message"]
        assert error["locations"] == [{"line": 1, "column": 16}]


async def test_graphql_ws_answers_a_query_once(manager, serve):
    server = await serve(manager)
    query = "{ __schema { subscriptionType { name } } }"
    async with subscribe("graphql-ws", server.url, query) as client:
        name = {"__schema": {"subscriptionType": {"name": "Subscription"}}}
        assert await client.read() == {"data": name}
        assert await client.read() == {"ended": {"complete": True}}


async def test_graphql_ws_hands_over_its_connection_parameters(manager, serve):
    server = await serve(manager)
    query = "subscription { whoami }"
    options = {"count": 1, "connectionParams": {"token": "ada"}}
    async with subscribe("graphql-ws", server.url, query, **options) as client:
        assert await client.read() == {"data": {"whoami": "ada"}}


async def test_graphql_ws_that_is_refused_sees_why(manager, serve):
    server = await serve(manager)
    query, params = "subscription { whoami }", {"token": "wrong"}
    async with subscribe("graphql-ws", server.url, query, connectionParams=params) as client:
        assert await client.read() == {"ended": {"code": 4403, "reason": "Forbidden"}}


async def test_graphql_ws_is_closed_and_not_completed_when_the_server_drains(manager):
    query = 'subscription { numbers(parity: "x") }'
    async with manager.serve(port=0) as server:
        async with subscribe("graphql-ws", server.url, query) as client:
            await client.read()
            await manager.publish("numbers.x", 1)
            await manager.close(drain=5.0)
            assert await client.read() == {"data": {"numbers": 1}}
            assert await client.read() == {"ended": {"code": 1001, "reason": "Going away"}}
