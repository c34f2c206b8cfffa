"""Real clients over the embedded server: graphql-ws from npm, and gql from PyPI.

Subscriptions here have an initial value: when a client has it, every later event reaches it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gql import Client, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

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

COLLECT = Path(__file__).parent.parent / "js" / "collect.mjs"


@subscription(channel="numbers.{parity}", initial=lambda: -1)
async def numbers(event, *, parity: str) -> int:
    if event.data == 13:
        raise GraphQLError("unlucky")
    return event.data


@subscription(channel="whoami", initial=lambda context: context.identity.user_id)
async def whoami(event, context: Context) -> str:
    return context.identity.user_id


@subscription
async def countdown(*, start: int) -> AsyncIterator[int]:
    for number in range(start, 0, -1):
        yield number


feed = passthrough("feed", int, channel="feed")


async def authenticate(params) -> Identity | None:
    token = (params.payload or {}).get("token", "guest")
    return None if token == "wrong" else Identity(user_id=token)


@pytest.fixture
def manager() -> SubscriptionManager:
    # A client that shares the processor with a publisher at full speed may fall behind.
    limits = Limits(max_pending_bytes=16 * 1024 * 1024)
    security = Security(authenticate=authenticate)
    subscriptions = [numbers, whoami, countdown, feed]
    return SubscriptionManager(subscriptions, limits=limits, security=security)


class NpmClient:
    """A Node.js process that subscribes with graphql-ws and prints what it receives."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def subscribe(cls, url: str, query: str, **options: Any) -> AsyncIterator[NpmClient]:
        node = shutil.which("node")
        assert node, "Node.js is missing: run `make test`, which installs it"
        request = json.dumps({"url": url, "query": query, **options})
        process = await asyncio.create_subprocess_exec(
            node, str(COLLECT), request, stdout=asyncio.subprocess.PIPE
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def read(self) -> dict[str, Any]:
        """Return what the next line says."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 30)
        assert line, "the client ended early"
        return json.loads(line)

    async def read_connected(self) -> None:
        assert await self.read() == {"connected": True}


async def test_graphql_ws_receives_ten_thousand_events_in_order(manager, serve):
    server, count = await serve(manager), 10_000
    query = "subscription ($p: String!) { numbers(parity: $p) }"
    options = {"variables": {"p": "all"}, "count": count + 1}
    async with NpmClient.subscribe(server.url, query, **options) as client:
        await client.read_connected()
        assert await client.read() == {"data": {"numbers": -1}}
        for number in range(count):
            await manager.publish("numbers.all", number + 100)
        for number in range(count):
            assert await client.read() == {"data": {"numbers": number + 100}}
        assert await client.read() == {"ended": {"complete": True}}


async def test_several_graphql_ws_clients_receive_their_own(manager, serve):
    server = await serve(manager)
    query = "subscription ($p: String!) { numbers(parity: $p) }"
    even = NpmClient.subscribe(server.url, query, variables={"p": "even"}, count=6)
    odd = NpmClient.subscribe(server.url, query, variables={"p": "odd"}, count=6)
    async with even as even_client, odd as odd_client:
        for client in (even_client, odd_client):
            await client.read_connected()
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
    async with NpmClient.subscribe(server.url, query, count=3) as client:
        await client.read_connected()
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
    async with NpmClient.subscribe(server.url, query) as client:
        await client.read_connected()
        assert [(await client.read())["data"]["countdown"] for _ in range(3)] == [3, 2, 1]
        assert await client.read() == {"ended": {"complete": True}}


async def test_graphql_ws_is_told_what_is_wrong_with_a_document(manager, serve):
    server = await serve(manager)
    async with NpmClient.subscribe(server.url, "subscription { nothing }") as client:
        await client.read_connected()
        (error,) = (await client.read())["ended"]["errors"]
        assert "nothing" in error["message"]
        assert error["locations"] == [{"line": 1, "column": 16}]


async def test_graphql_ws_answers_a_query_once(manager, serve):
    server = await serve(manager)
    query = "{ __schema { subscriptionType { name } } }"
    async with NpmClient.subscribe(server.url, query) as client:
        await client.read_connected()
        name = {"__schema": {"subscriptionType": {"name": "Subscription"}}}
        assert await client.read() == {"data": name}
        assert await client.read() == {"ended": {"complete": True}}


async def test_graphql_ws_hands_over_its_connection_parameters(manager, serve):
    server = await serve(manager)
    query, params = "subscription { whoami }", {"token": "ada"}
    async with NpmClient.subscribe(server.url, query, count=1, connectionParams=params) as client:
        await client.read_connected()
        assert await client.read() == {"data": {"whoami": "ada"}}


async def test_graphql_ws_that_is_refused_sees_why(manager, serve):
    server = await serve(manager)
    query, params = "subscription { whoami }", {"token": "wrong"}
    async with NpmClient.subscribe(server.url, query, connectionParams=params) as client:
        assert await client.read() == {"ended": {"code": 4403, "reason": "Forbidden"}}


async def test_graphql_ws_is_completed_when_the_server_drains(manager):
    query = 'subscription { numbers(parity: "x") }'
    async with manager.serve(port=0) as server:
        async with NpmClient.subscribe(server.url, query) as client:
            await client.read_connected()
            await client.read()
            await manager.publish("numbers.x", 1)
            await manager.close(drain=5.0)
            assert await client.read() == {"data": {"numbers": 1}}
            assert await client.read() == {"ended": {"complete": True}}


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
        # One leaves, the other goes on.
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
        # The connection is as good as before.
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
