"""Refusals are equal on every server, and readable by pages of allowed origins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from support import PATIENCE
from support.progress import clients_left
from support.protocol_client import ProtocolClient
from support.servers import HTTP_SERVERS, SERVERS, hypercorn, uvicorn, ws_url
from support.urls import http_url
from websockets.exceptions import InvalidStatus

from fraiseql_subs import Identity, Limits, Security, SubscriptionManager, passthrough
from fraiseql_subs.adapters import GraphQLTransportWSHandler
from fraiseql_subs.adapters.asgi import ASGIWebSocket, GraphQLApp

ORIGIN = "https://app.example.com"
QUERY = {"query": "{ __typename }"}

feed = passthrough("feed", int, channel="feed")


def make_manager(**options: Any) -> SubscriptionManager:
    return SubscriptionManager([feed], **options)


async def refused(url: str, **options: Any) -> Any:
    """The response to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as raised:
        await ProtocolClient.connect(url, **options)
    return raised.value.response


@pytest.mark.parametrize("name", SERVERS)
async def test_past_max_connections_a_handshake_is_a_503(name):
    manager = make_manager(limits=Limits(max_connections=1))
    async with SERVERS[name](manager) as url:
        client = await ProtocolClient.connect(url)
        await client.init()
        response = await refused(url)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert b"too many connections" in response.body
        await client.close()
        await clients_left(manager)
        again = await ProtocolClient.connect(url)
        await again.init()
        await again.close()


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_past_max_connections_a_request_is_a_503(name):
    manager = make_manager(limits=Limits(max_connections=1))
    async with SERVERS[name](manager) as url, httpx.AsyncClient(timeout=PATIENCE) as http:
        client = await ProtocolClient.connect(url)
        await client.init()
        response = await http.post(http_url(url), json=QUERY)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        await client.close()


@pytest.mark.parametrize("name", SERVERS)
async def test_a_handshake_of_another_origin_is_a_403(name):
    manager = make_manager(security=Security(origins=[ORIGIN]))
    async with SERVERS[name](manager) as url:
        response = await refused(url, origin="https://evil.example")
        assert response.status_code == 403
        assert b"origin" in response.body


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
async def test_every_websocket_implementation_of_uvicorn_answers_with_the_503(ws):
    manager = make_manager(limits=Limits(max_connections=1))
    async with manager, uvicorn(GraphQLApp(manager), ws=ws) as host:
        client = await ProtocolClient.connect(ws_url(host))
        await client.init()
        assert (await refused(ws_url(host))).status_code == 503
        await client.close()


class Plain(ASGIWebSocket):
    """A socket of a server that cannot answer a handshake with a response."""

    async def refuse(self, *_: Any) -> bool:
        return False


@asynccontextmanager
async def without_responses(manager: SubscriptionManager) -> AsyncIterator[str]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await GraphQLTransportWSHandler(manager).handle_connection(Plain(scope, receive, send))

    async with manager, hypercorn(app) as host:
        yield ws_url(host)


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws"])
async def test_where_no_response_can_be_sent_a_close_says_to_come_back_later(protocol):
    manager = make_manager(limits=Limits(max_connections=1))
    async with without_responses(manager) as url:
        client = await ProtocolClient.connect(url)
        await client.init()
        late = await ProtocolClient.connect(url, subprotocols=[protocol])
        assert late.socket.subprotocol == protocol
        await late.expect_close(1013, "Try again later")
        await client.close()


async def test_where_no_response_can_be_sent_another_origin_is_refused_still():
    async with without_responses(make_manager(security=Security(origins=[ORIGIN]))) as url:
        response = await refused(url, origin="https://evil.example")
        assert response.status_code == 403


async def authenticate(params: Any) -> Identity | None:
    return None if params.query.get("as") == "stranger" else Identity("ada")


JSON = {"content-type": "application/json"}

# The request, and the status of the answer.
ERRORS: dict[str, tuple[int, str, str, dict[str, str], bytes]] = {
    "no json": (400, "POST", "", JSON, b"{"),
    "refused": (403, "POST", "?as=stranger", JSON, b'{"query":"{ __typename }"}'),
    "no stream": (404, "DELETE", "", {}, b""),
    "method": (405, "PATCH", "", {}, b""),
    "accept": (406, "GET", "?query={__typename}", {"accept": "image/png"}, b""),
    "too large": (413, "POST", "", JSON, b"x" * 2000),
    "media type": (415, "POST", "", {"content-type": "text/plain"}, b"{}"),
    "coding": (415, "POST", "", {**JSON, "content-encoding": "compress"}, b"{}"),
}


@pytest.mark.parametrize("what", ERRORS)
@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_page_of_an_allowed_origin_may_read_every_error(name, what):
    status, method, query, headers, body = ERRORS[what]
    security = Security(origins=[ORIGIN], authenticate=authenticate)
    manager = make_manager(security=security, limits=Limits(max_message_bytes=1000))
    headers = {"origin": ORIGIN, **headers}
    async with SERVERS[name](manager) as url, httpx.AsyncClient(timeout=PATIENCE) as http:
        url = http_url(url) + query
        response = await http.request(method, url, headers=headers, content=body)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["vary"] == "origin"
    assert response.json()["errors"]


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_page_of_an_allowed_origin_may_read_a_503(name):
    security = Security(origins=[ORIGIN])
    manager = make_manager(security=security, limits=Limits(max_connections=1))
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(SERVERS[name](manager))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE))
        client = await ProtocolClient.connect(url)
        stack.push_async_callback(client.close)
        await client.init()
        headers = {"origin": ORIGIN}
        url = http_url(url)
        response = await http.post(url, json=QUERY, headers=headers)
    assert response.status_code == 503
    assert response.headers["access-control-allow-origin"] == ORIGIN


async def test_a_body_that_is_cut_off_is_told_to_the_page_as_well(serve):
    """The embedded server parses it itself."""
    server = await serve(make_manager(security=Security(origins=[ORIGIN])))
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = (
        f"POST /graphql HTTP/1.1\r\nhost: x\r\norigin: {ORIGIN}\r\ntransfer-encoding: chunked\r\n"
    )
    writer.write(f"{head}\r\nnonsense\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws"])
async def test_a_closed_manager_says_to_come_back_later_where_no_response_can_be_sent(protocol):
    manager = make_manager()
    async with without_responses(manager) as url:
        await manager.close(drain=0)
        late = await ProtocolClient.connect(url, subprotocols=[protocol])
        assert late.socket.subprotocol == protocol
        await late.expect_close(1013, "Try again later")
