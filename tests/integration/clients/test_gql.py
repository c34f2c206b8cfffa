"""The client gql of PyPI over the embedded server.

Subscriptions here have an initial value: when a client has it, every later event reaches it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from client_manager import make_manager
from gql import Client, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

from fraiseql_subs import SubscriptionManager


@pytest.fixture
def manager() -> SubscriptionManager:
    return make_manager()


@asynccontextmanager
async def gql_session(url: str, **options: Any) -> AsyncIterator[AsyncClientSession]:
    protocols = [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    transport = WebsocketsTransport(url=url, subprotocols=protocols, **options)
    async with Client(transport=transport) as session:
        yield session


async def test_gql_holds_several_subscriptions_on_one_connection(manager, serve, within):
    server = await serve(manager)
    document = "subscription { numbers(parity: %s) }"
    async with gql_session(server.url) as session:
        streams = {
            parity: session.subscribe(gql(document % json.dumps(parity)))
            for parity in ("even", "odd")
        }
        for stream in streams.values():
            assert await within(anext(stream)) == {"numbers": -1}
        for number in range(1000, 1100):
            await manager.publish(f"numbers.{'odd' if number % 2 else 'even'}", number)
        for rest, stream in enumerate(streams.values()):
            received = [(await within(anext(stream)))["numbers"] for _ in range(50)]
            assert received == list(range(1000 + rest, 1100, 2))
        # One subscription ends, the other continues.
        await streams["even"].aclose()
        await manager.publish("numbers.odd", 7)
        assert await within(anext(streams["odd"])) == {"numbers": 7}
        await streams["odd"].aclose()


async def test_gql_sees_the_end_of_a_stream(manager, serve):
    server = await serve(manager)
    async with gql_session(server.url) as session:
        stream = session.subscribe(gql("subscription { countdown(start: 3) }"))
        assert [result["countdown"] async for result in stream] == [3, 2, 1]


async def test_gql_raises_what_is_wrong_with_a_document(manager, serve, within):
    server = await serve(manager)
    async with gql_session(server.url) as session:
        with pytest.raises(TransportQueryError, match="nothing"):
            await within(anext(session.subscribe(gql("subscription { nothing }"))))
        # The connection still works.
        async with aclosing(session.subscribe(gql("subscription { whoami }"))) as stream:
            assert await within(anext(stream)) == {"whoami": "guest"}


async def test_gql_raises_the_error_of_an_event(manager, serve, within):
    server = await serve(manager)
    async with gql_session(server.url) as session:
        stream = session.subscribe(gql('subscription { numbers(parity: "x") }'))
        await within(anext(stream))
        await manager.publish("numbers.x", 13)
        with pytest.raises(TransportQueryError, match="unlucky"):
            await within(anext(stream))


async def test_gql_builds_its_schema_by_introspection(manager, serve):
    server = await serve(manager)
    protocols = [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    transport = WebsocketsTransport(url=server.url, subprotocols=protocols)
    client = Client(transport=transport, fetch_schema_from_transport=True)
    async with client as session:
        assert client.schema is not None
        assert client.schema.subscription_type is not None
        fields = client.schema.subscription_type.fields
        assert list(fields) == ["numbers", "whoami", "countdown", "feed"]
        stream = session.subscribe(gql("subscription { countdown(start: 1) }"))
        assert [result async for result in stream] == [{"countdown": 1}]


async def test_gql_speaks_the_older_subprotocol(manager, serve, within):
    server = await serve(manager)
    protocols = [WebsocketsTransport.APOLLO_SUBPROTOCOL]
    transport = WebsocketsTransport(url=server.url, subprotocols=protocols)
    async with Client(transport=transport) as session:
        stream = session.subscribe(gql('subscription { numbers(parity: "odd") }'))
        assert await within(anext(stream)) == {"numbers": -1}
        await manager.publish("numbers.odd", 7)
        assert await within(anext(stream)) == {"numbers": 7}
        # The client waits until the server confirms the end of an operation that it stops.
        await within(stream.aclose())
        ended = session.subscribe(gql("subscription { countdown(start: 2) }"))
        assert [result["countdown"] async for result in ended] == [2, 1]
        with pytest.raises(TransportQueryError, match="nothing"):
            await within(anext(session.subscribe(gql("subscription { nothing }"))))


async def test_gql_asks_over_http(manager, serve):
    server = await serve(manager)
    async with Client(
        transport=HTTPXAsyncTransport(server.http_url), fetch_schema_from_transport=True
    ) as session:
        assert await session.execute(gql("{ __typename }")) == {"__typename": "Query"}
        assert session.client.schema.subscription_type is not None
