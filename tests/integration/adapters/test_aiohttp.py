"""The routes of aiohttp: their context, and clients that leave.

The protocols, limits and drains are tested with those of every server.
"""

from __future__ import annotations

import gzip
import logging

import httpx
import pytest
from aiohttp import web
from asking import ask, ask_by_http, whoami
from support import PATIENCE, eventually
from support.progress import clients_left
from support.raw_http import BODY, handshake, post, request
from support.raw_http import ask as send
from support.servers import aiohttp_runner, ws_url
from support.urls import http_url

from fraiseql_subs import ConfigurationError, SubscriptionManager
from fraiseql_subs.adapters.aiohttp import create_routes


async def user(request: web.Request) -> str:
    if "x-user" not in request.headers:
        raise web.HTTPUnauthorized
    return f"user {request.headers['x-user']}"


@pytest.fixture
def manager():
    return SubscriptionManager([whoami])


async def serve(stack, manager: SubscriptionManager, *, middlewares=(), **options) -> str:
    app = web.Application(middlewares=middlewares)
    app.add_routes(create_routes(manager, **options))
    await stack.enter_async_context(manager)
    # As `web.run_app` runs it: bodies are decompressed.
    return ws_url(await stack.enter_async_context(aiohttp_runner(app, auto_decompress=True)))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]


async def test_the_context_of_a_request_reaches_resolvers(manager, stack):
    url = await serve(stack, manager, context=user)
    assert await ask(url, "whoami", additional_headers={"x-user": "ada"}) == "user ada"
    assert await ask_by_http(url, "whoami", **{"x-user": "ada"}) == "user ada"
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await ask_by_http(url, "whoami")


async def test_a_stream_whose_client_leaves_is_ended(manager, stack):
    url = http_url(await serve(stack, manager))
    body, accept = {"query": "subscription { whoami }"}, {"accept": "text/event-stream"}
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        async with client.stream("POST", url, json=body, headers=accept) as response:
            assert response.status_code == 200
            await eventually(lambda: manager.metrics().subscriptions == 1, "it is subscribed")
    await clients_left(manager, 0)


def encoded(coding: str, body: bytes) -> bytes:
    fields = (f"Content-Encoding: {coding}", f"Content-Length: {len(body)}")
    return request("Content-Type: application/json", *fields) + body


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(encoded("gzip", b"abcde"), id="not gzip"),
        pytest.param(encoded("gzip", b"abcde")[:-1], id="a part of what is not gzip"),
        pytest.param(encoded("gzip", gzip.compress(b" " * 50_000_000)), id="a bomb"),
        pytest.param(encoded("gzip", gzip.compress(BODY)), id="small"),
        pytest.param(encoded("gzip", gzip.compress(BODY)[:-9]), id="a part of gzip"),
        pytest.param(encoded("Identity, GZIP", b"abcde"), id="two"),
        pytest.param(encoded("deflate", b"abcde"), id="deflate"),
        pytest.param(encoded("compress", b"abcde"), id="unknown to aiohttp"),
    ],
)
async def test_a_compressed_body_is_refused_unread(manager, stack, caplog, sent):
    url = await serve(stack, manager)
    answer = await send(url, sent)
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "identity")
    assert b"without content-encoding" in answer.body
    # The server still answers, and has logged all of the first request.
    assert (await send(url, post("Content-Encoding: identity"))).status == 200
    assert warnings(caplog) == []


async def test_the_connection_of_a_compressed_body_is_closed(manager, stack):
    url = await serve(stack, manager)
    bomb = encoded("gzip", gzip.compress(b" " * 50_000_000))
    answer = await send(url, bomb, to_end=True)
    assert (answer.status, answer.headers["connection"]) == (415, "close")


@web.middleware
async def broken(request: web.Request, handler) -> web.StreamResponse:
    """Do what aiohttp does when the framing of a body is found to be wrong after its head."""
    if request.can_read_body:
        request.content.set_exception(web.RequestPayloadError("broken"))
    return await handler(request)


async def test_a_body_that_aiohttp_cannot_read_is_a_400(manager, stack, caplog):
    url = await serve(stack, manager, middlewares=[broken])
    head = request("Content-Type: application/json", "Content-Length: 5")
    answer = await send(url, head + b"abc", to_end=True)
    assert (answer.status, answer.body) == (400, b"The body of the request is malformed")
    assert warnings(caplog) == []


@pytest.mark.parametrize("offered", ["graphql-never", ",", "\xe9"])
async def test_a_subprotocol_that_is_unknown_is_not_logged(manager, stack, caplog, offered):
    url = await serve(stack, manager)
    answer = await send(url, handshake("X-Name: \xe9", subprotocol=offered))
    assert answer.status == 101
    assert "sec-websocket-protocol" not in answer.headers
    assert warnings(caplog) == []


async def test_subprotocols_may_be_in_several_fields(manager, stack, caplog):
    url = await serve(stack, manager)
    more = "Sec-WebSocket-Protocol: graphql-transport-ws"
    answer = await send(url, handshake(more, subprotocol="graphql-never"))
    assert answer.status == 101
    assert answer.headers["sec-websocket-protocol"] == "graphql-transport-ws"
    assert warnings(caplog) == []


@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws", "graphql-never"])
async def test_a_handshake_whose_key_is_not_ascii_is_a_400(manager, stack, caplog, subprotocol):
    url = await serve(stack, manager)
    sent = handshake(subprotocol=subprotocol).replace(b"dGhl", b"dGh\xe9")
    assert (await send(url, sent)).status == 400
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    "wrong", [{"path": "graphql"}, {"context": 1}, {"context": lambda: None}, {"drain": -1}]
)
def test_wrong_arguments_are_refused(manager, wrong):
    with pytest.raises(ConfigurationError):
        create_routes(manager, **wrong)
