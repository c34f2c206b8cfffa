"""What routers of federated graphs send, by their documentation and sources, and what they need.

The routers themselves are not run.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
import strawberry
from support import PATIENCE
from support.paths import ROOT
from support.protocol_client import ProtocolClient
from support.tokens import SECRET, token
from websockets.exceptions import ConnectionClosed

from fraiseql_subs import (
    JWT,
    ConnectionParams,
    Identity,
    Security,
    SubscriptionManager,
    passthrough,
)

PAGE = (ROOT / "docs/how-to/federation/apollo-router.md").read_text()
(SCHEMA,) = re.findall(r'^SCHEMA = """\n(.*?)"""$', PAGE, re.MULTILINE | re.DOTALL)
ID = "6bf8b4c0-2d9e-4a0e-9f0d-1f3ad57e7f5b"
QUERY = "subscription OrderChanged__events__0 { orderChanged { __typename id } }"
REQUEST = {"query": QUERY, "operationName": "OrderChanged__events__0"}
EVENT = {"id": "7", "status": "paid"}
RESULT = {"data": {"orderChanged": {"__typename": "Order", "id": "7"}}}


class Hook:
    """Lets all clients in, and keeps what they have sent."""

    def __init__(self) -> None:
        self.seen: list[ConnectionParams] = []

    async def __call__(self, params: ConnectionParams) -> Identity:
        self.seen.append(params)
        return Identity("router")


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def manager(hook: Hook) -> SubscriptionManager:
    fields = [passthrough("orderChanged", channel="orders")]
    return SubscriptionManager(fields, schema=SCHEMA, security=Security(authenticate=hook))


async def test_apollo_router_subscribes_and_leaves(manager, hook, serve):
    server = await serve(manager)
    headers = {"authorization": "Bearer x"}
    client = await ProtocolClient.connect(server.url, additional_headers=headers)
    async with client.socket:
        # The value of the header that it propagates is here as well.
        payload = {"connectionParams": {"token": "Bearer x"}}
        await client.send({"type": "connection_init", "payload": payload})
        assert await client.receive() == {"type": "connection_ack"}
        await client.send({"type": "subscribe", "id": ID, "payload": REQUEST})
        await client.settle()
        await manager.publish("orders", EVENT)
        assert await client.receive() == {"id": ID, "type": "next", "payload": RESULT}
        await client.send({"type": "ping"})
        assert await client.receive() == {"type": "pong"}
        await client.send({"type": "complete", "id": ID})
        await client.socket.close(1000)
    assert client.socket.close_code == 1000
    assert (hook.seen[0].payload, hook.seen[0].headers["authorization"]) == (payload, "Bearer x")


async def test_parameters_of_apollo_router_are_nested(manager, hook, serve):
    server = await serve(manager)
    client = await ProtocolClient.connect(server.url)
    async with client.socket:
        await client.init({"connectionParams": {"token": "XXX"}})
    assert hook.seen[0].payload == {"connectionParams": {"token": "XXX"}}


async def test_a_token_that_apollo_router_propagates_is_read_from_the_header(hook, serve):
    fields = [passthrough("orderChanged", channel="orders")]
    jwt = JWT(key=SECRET, algorithms=["HS256"])
    manager = SubscriptionManager(
        fields, schema=SCHEMA, security=Security(jwt=jwt, authenticate=hook)
    )
    server = await serve(manager)
    bearer = f"Bearer {token()}"
    headers = {"authorization": bearer}
    client = await ProtocolClient.connect(server.url, additional_headers=headers)
    async with client.socket:
        await client.init({"connectionParams": {"token": bearer}})
    assert hook.seen[0].identity.user_id == "ada"


async def test_apollo_router_subscribes_by_the_older_subprotocol(manager, serve):
    server = await serve(manager)
    client = await ProtocolClient.connect(server.url, subprotocols=["graphql-ws"])
    async with client.socket:
        # Without parameters of the connection the member is there, and null.
        await client.send({"type": "connection_init", "payload": None})
        assert await client.receive() == {"type": "connection_ack"}
        assert await client.receive() == {"type": "ka"}
        await client.send({"type": "start", "id": ID, "payload": REQUEST})
        # Its answer says that the server has read what came before.
        await client.send({"type": "stop", "id": "none"})
        await client.send({"type": "start", "id": "2", "payload": {"query": "{ __typename }"}})
        while (await client.receive())["type"] != "complete":
            pass
        await manager.publish("orders", EVENT)
        assert await client.receive() == {"id": ID, "type": "data", "payload": RESULT}
        await client.send({"type": "stop", "id": ID})
        assert await client.receive() == {"id": ID, "type": "complete"}
        await client.send({"type": "connection_terminate"})
        with pytest.raises(ConnectionClosed):
            await client.receive()
    assert client.socket.close_code == 1000


async def test_apollo_router_reads_a_list_of_errors_and_the_close_of_a_drain(manager, serve):
    server = await serve(manager)
    client = await ProtocolClient.connect(server.url)
    async with client.socket:
        await client.init()
        wrong = {"query": "subscription { nothing }"}
        await client.send({"type": "subscribe", "id": ID, "payload": wrong})
        refused = await client.receive()
        assert (refused["id"], refused["type"]) == (ID, "error")
        assert [set(error) >= {"message"} for error in refused["payload"]] == [True]
        await manager.close(drain=0)
        with pytest.raises(ConnectionClosed):
            await client.receive()
    assert client.socket.close_code == 1001


async def test_cosmo_router_gets_the_first_of_the_subprotocols_that_it_offers(manager, serve):
    server = await serve(manager)
    offered = ["graphql-ws", "graphql-transport-ws"]
    for subprotocols in (offered, offered[::-1]):
        client = await ProtocolClient.connect(server.url, subprotocols=subprotocols)
        async with client.socket:
            assert client.socket.subprotocol == subprotocols[0]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_cosmo_router_subscribes_over_sse(method, manager, serve):
    server = await serve(manager)
    extensions: dict[str, Any] = {"upgradeHeaders": {"Authorization": "Bearer x"}}
    request = {**REQUEST, "extensions": extensions}
    texts = {**REQUEST, "extensions": json.dumps(extensions)}
    body = {"json": request} if method == "POST" else {"params": texts}
    headers = {"accept": "text/event-stream", "cache-control": "no-cache"}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream(method, server.http_url, headers=headers, **body) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        await manager.publish("orders", EVENT)
        lines = (line async for line in response.aiter_lines() if line.startswith("data: {"))
        data = await anext(lines)
    assert json.loads(data.removeprefix("data: ")) == RESULT


def test_the_schema_keeps_what_composition_reads(manager):
    # Definitions of the directives follow, as the programs that compose accept them.
    assert manager.sdl().startswith(SCHEMA.rstrip())
    assert "directive @key(fields: federation__FieldSet!" in manager.sdl()


@strawberry.federation.type(keys=["id"])
class Product:
    id: strawberry.ID
    name: str = "tea"

    @classmethod
    def resolve_reference(cls, id: strawberry.ID) -> Product:
        return Product(id=id)


@strawberry.type
class Query:
    product: Product | None = None


async def test_a_schema_of_strawberry_answers_what_routers_ask(serve):
    schema = strawberry.federation.Schema(Query)
    manager = SubscriptionManager(schema=schema)
    server = await serve(manager)
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        introspect = {"query": "query SubgraphIntrospectQuery { _service { sdl } }"}
        answer = (await client.post(server.http_url, json=introspect)).json()
        assert '@key(fields: "id")' in answer["data"]["_service"]["sdl"]
        entities = {
            "query": "query ($representations: [_Any!]!) { _entities(representations: "
            "$representations) { ... on Product { name } } }",
            "variables": {"representations": [{"__typename": "Product", "id": "1"}]},
        }
        answer = (await client.post(server.http_url, json=entities)).json()
        assert answer == {"data": {"_entities": [{"name": "tea"}]}}
