"""Transports that a manager has disabled: `transports=`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from support.protocol_client import ProtocolClient
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url
from websockets.exceptions import ConnectionClosed

from fraiseql_subs import ConfigurationError, SubscriptionManager, subscription

SDL = "type Subscription { number: Int }"


@subscription
async def number():
    yield 7


def make_manager(*transports: Any) -> SubscriptionManager:
    return SubscriptionManager([number], schema=SDL, transports=transports)


async def close_code(url: str, *subprotocols: str) -> int | str:
    """Offer subprotocols; return the selected one, or the close code."""
    client = await ProtocolClient.connect(url, subprotocols=list(subprotocols))
    try:
        if client.socket.subprotocol is not None:
            return client.socket.subprotocol
        with pytest.raises(ConnectionClosed) as closed:
            await client.socket.recv()
        return closed.value.rcvd.code
    finally:
        await client.close()


@pytest.mark.parametrize("server", SERVERS)
async def test_a_subprotocol_that_is_off_is_not_picked(server):
    async with SERVERS[server](make_manager("graphql-transport-ws")) as url:
        assert await close_code(url, "graphql-ws") == 4406
        both = ("graphql-ws", "graphql-transport-ws")
        assert await close_code(url, *both) == "graphql-transport-ws"
    async with SERVERS[server](make_manager("graphql-ws")) as url:
        assert await close_code(url, "graphql-transport-ws") == 4406
        assert await close_code(url, *both) == "graphql-ws"
    async with SERVERS[server](make_manager("post")) as url:
        assert await close_code(url, *both) == 4406


@pytest.mark.parametrize("server", HTTP_SERVERS)
async def test_a_method_or_a_stream_that_is_off_is_refused(server):
    asked = {"query": "subscription { number }"}
    stream = {"accept": "text/event-stream"}
    parts = {"accept": "multipart/mixed"}

    async def statuses(*transports: str) -> dict[str, int]:
        async with (
            SERVERS[server](make_manager(*transports)) as url,
            httpx.AsyncClient() as http,
        ):
            url = http_url(url)
            answers = {
                "get": await http.get(url, params={"query": "{ __typename }"}),
                "post": await http.post(url, json={"query": "{ __typename }"}),
                "sse by get": await http.get(url, params=asked, headers=stream),
                "sse": await http.post(url, json=asked, headers=stream),
                "multipart": await http.post(url, json=asked, headers=parts),
                "put": await http.put(url),
                "page": await http.get(url, headers={"accept": "text/html"}),
            }
            for answer in answers.values():
                if answer.status_code == 405:
                    assert answer.headers["allow"] == (await http.options(url)).headers["allow"]
                    assert answer.json()["errors"][0]["message"]
            return {name: answer.status_code for name, answer in answers.items()}

    everything = await statuses("get", "post", "sse", "multipart")
    assert everything == {
        "get": 200,
        "post": 200,
        "sse by get": 200,
        "sse": 200,
        "multipart": 200,
        "put": 201,
        "page": 200,
    }
    assert await statuses("post", "sse", "multipart") == {
        **everything,
        "get": 405,
        "sse by get": 405,
    }
    off = {"sse by get": 406, "sse": 406, "put": 405}
    assert await statuses("get", "post", "multipart") == {**everything, **off}
    assert await statuses("get", "post", "sse") == {**everything, "multipart": 406}
    assert await statuses("get", "sse", "multipart") == {
        **everything,
        "post": 405,
        "sse": 405,
        "multipart": 405,
    }
    assert await statuses("graphql-transport-ws") == {
        "get": 405,
        "post": 405,
        "sse by get": 405,
        "sse": 405,
        "multipart": 405,
        "put": 405,
        "page": 200,
    }


async def test_what_is_off_is_not_advised(serve):
    server = await serve(make_manager("post", "multipart"))
    async with httpx.AsyncClient() as http:
        response = await http.post(server.http_url, json={"query": "subscription { number }"})
        assert response.status_code == 406
        message = response.json()["errors"][0]["message"]
        assert "multipart/mixed" in message
        assert "event-stream" not in message and "WebSocket" not in message
        preflight = await http.options(
            server.http_url,
            headers={"origin": "https://a.example", "access-control-request-method": "POST"},
        )
        assert preflight.headers["access-control-allow-methods"] == "POST, OPTIONS"


@pytest.mark.parametrize(
    ("transports", "message"),
    [
        ([], "nothing could be asked"),
        ("sse", "pass a list of strings"),
        (["ws"], 'use some of "graphql-transport-ws"'),
        ([1], "pass a list of strings"),
        (["sse"], 'needs "get" or "post"'),
        (["graphql-ws", "multipart"], 'needs "get" or "post"'),
    ],
)
def test_invalid_transports_are_refused(transports, message):
    with pytest.raises(ConfigurationError, match=message):
        SubscriptionManager([number], schema=SDL, transports=transports)
