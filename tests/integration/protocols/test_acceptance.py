"""Messages to a client that is accepted, and to one that is refused."""

from __future__ import annotations

import json
from typing import Any

import graphql
import httpx
import pytest
from support.protocol_client import ProtocolClient
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url

from fraiseql_subs import (
    Accepted,
    ConnectionParams,
    Context,
    GraphQLError,
    Identity,
    Security,
    SubscriptionManager,
    subscription,
)

REFUSED = {"message": "token expired", "extensions": {"code": "TOKEN_EXPIRED"}}


@subscription
async def who(context: Context):
    yield context.identity.user_id if context.identity else "nobody"


who.__annotations__["return"] = "AsyncIterator[str]"

SDL = "type Subscription { who: String }"


def make_manager(authenticate: Any) -> SubscriptionManager:
    security = Security(authenticate=authenticate)
    return SubscriptionManager([who], schema=SDL, security=security)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws", "graphql-ws"])
async def test_the_acknowledgement_carries_a_payload(server, subprotocol):
    async def authenticate(params: ConnectionParams) -> Accepted:
        return Accepted(Identity("ada"), ack_payload={"region": "eu", "at": [1, None]})

    async with SERVERS[server](make_manager(authenticate)) as url:
        client = await ProtocolClient.connect(url, subprotocols=[subprotocol])
        ack = await client.init()
        assert ack == {"type": "connection_ack", "payload": {"region": "eu", "at": [1, None]}}
        await client.close()


async def test_a_client_may_be_accepted_without_an_identity(serve, connect):
    async def authenticate(params: ConnectionParams) -> Accepted:
        return Accepted(ack_payload=None)

    server = await serve(make_manager(authenticate))
    client = await ProtocolClient.connect(server.url)
    assert await client.init() == {"type": "connection_ack"}
    id = await client.subscribe("subscription { who }")
    assert await client.receive_data(id) == {"who": "nobody"}
    await client.close()


async def test_a_payload_that_is_no_json_object_refuses(serve, caplog):
    async def authenticate(params: ConnectionParams) -> Accepted:
        return Accepted(Identity("ada"), ack_payload={"at": object()})

    server = await serve(make_manager(authenticate))
    client = await ProtocolClient.connect(server.url)
    await client.send({"type": "connection_init"})
    await client.expect_close(4403, "Forbidden")
    assert "Accepted.ack_payload" in caplog.text


@pytest.mark.parametrize("error", [GraphQLError, graphql.GraphQLError])
@pytest.mark.parametrize("server", SERVERS)
async def test_a_refusal_says_why(server, error):
    async def authenticate(params: ConnectionParams) -> Identity:
        raise error(REFUSED["message"], extensions=REFUSED["extensions"])

    async with SERVERS[server](make_manager(authenticate)) as url:
        client = await ProtocolClient.connect(url)
        await client.send({"type": "connection_init"})
        await client.expect_close(4403, "token expired")
        client = await ProtocolClient.connect(url, subprotocols=["graphql-ws"])
        await client.send({"type": "connection_init"})
        assert await client.receive() == {"type": "connection_error", "payload": REFUSED}
        await client.expect_close(4403, "token expired")
        if server not in HTTP_SERVERS:
            return
        url = http_url(url)
        async with httpx.AsyncClient() as http:
            for send in (
                lambda: http.post(url, json={"query": "subscription { who }"}),
                lambda: http.get(url, params={"query": "{ __typename }"}),
                lambda: http.put(url),
            ):
                response = await send()
                assert (response.status_code, response.json()) == (403, {"errors": [REFUSED]})
                assert response.headers["content-type"].startswith("application/json")


async def test_a_long_reason_is_cut_in_the_close_and_whole_elsewhere(serve):
    reason = "é" * 200

    async def authenticate(params: ConnectionParams) -> Identity:
        raise GraphQLError(reason)

    server = await serve(make_manager(authenticate))
    client = await ProtocolClient.connect(server.url, subprotocols=["graphql-ws"])
    await client.send({"type": "connection_init"})
    assert (await client.receive())["payload"] == {"message": reason}
    await client.expect_close(4403, reason[:61])
    async with httpx.AsyncClient() as http:
        response = await http.post(server.http_url, json={"query": "subscription { who }"})
    assert json.loads(response.text) == {"errors": [{"message": reason}]}


async def test_other_exceptions_tell_nothing(serve, caplog):
    async def authenticate(params: ConnectionParams) -> Identity:
        raise RuntimeError("postgres://admin:secret@db")

    server = await serve(make_manager(authenticate))
    client = await ProtocolClient.connect(server.url, subprotocols=["graphql-ws"])
    await client.send({"type": "connection_init"})
    assert (await client.receive())["payload"] == {"message": "Forbidden"}
    await client.expect_close(4403, "Forbidden")
    assert "postgres://admin" in caplog.text
