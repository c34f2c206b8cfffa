"""Uncommon HTTP: clients of HTTP/1.0, HEAD, paths with a trailing slash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import graphql
import httpx
import pytest
from fastapi import FastAPI
from support.protocol_client import PATIENCE, ProtocolClient
from support.servers import HTTP_SERVERS, SERVERS, uvicorn
from support.urls import http_url

from fraiseql_subs import SubscriptionManager, passthrough, subscription
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory

QUERY = "{ __typename }"
JSON = {"accept": "application/json"}
STREAMS = ["text/event-stream", "multipart/mixed"]
PAGES = ["/health", "/health/live", "/health/ready", "/metrics"]

feed = passthrough("feed", int, channel="feed")


@subscription
async def countdown(*, start: int) -> AsyncIterator[int]:
    for number in range(start, 0, -1):
        yield number


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([feed, countdown])


async def ask_http_1_0(url: str, accept: str, query: str) -> tuple[bytes, bytes]:
    """Send an HTTP/1.0 request; returns head and body, which ends with the connection."""
    address = httpx.URL(http_url(url))
    reader, writer = await asyncio.open_connection(address.host, address.port)
    body = f'{{"query":"{query}"}}'.encode()
    lines = [
        f"POST {address.path} HTTP/1.0",
        f"host: {address.host}",
        f"accept: {accept}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.lower(), body


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_stream_for_a_client_of_http_1_0_has_no_chunks_and_ends_with_the_connection(name):
    async with SERVERS[name](make_manager()) as url:
        for accept in STREAMS:
            head, body = await ask_http_1_0(url, accept, "subscription { countdown(start: 2) }")
            assert b"transfer-encoding" not in head, head
            assert b" 200 " in head
            if accept == "text/event-stream":
                results = b"".join(
                    b'event: next\ndata: {"data":{"countdown":%d}}\n\n' % number
                    for number in (2, 1)
                )
                assert body == b":\n\n" + results + b"event: complete\ndata:\n\n"
            else:
                assert body.startswith(b"\r\n--graphql\r\n"), body
                assert body.endswith(b"--graphql--\r\n"), body


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_query_of_a_client_of_http_1_0_has_its_length(name):
    async with SERVERS[name](make_manager()) as url:
        head, body = await ask_http_1_0(url, "application/json", QUERY)
    assert body == b'{"data":{"__typename":"Query"}}'
    assert b"content-length: %d" % len(body) in head
    assert b"transfer-encoding" not in head


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_large_answer_has_its_length(name):
    """The body is larger than a part that is passed between threads."""
    schema = graphql.build_schema("type Query { text: String } type Subscription { text: String }")
    text = "x" * 300_000
    schema.query_type.fields["text"].resolve = lambda *_: text
    manager = SubscriptionManager(schema=schema)
    async with SERVERS[name](manager) as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        asked = {"query": "{ text }"}
        response = await client.post(http_url(url), json=asked)
        assert response.json() == {"data": {"text": text}}
        assert response.headers["content-length"] == str(len(response.content))
        await ask_head(client, http_url(url), headers=JSON, params=asked)


async def ask_head(client: httpx.AsyncClient, url: str, **options: Any) -> None:
    """A HEAD has status and headers of the GET, and its connection no further byte."""
    expected = await client.get(url, **options)
    for _ in range(2):
        # A client would read a body as the next response.
        response = await client.head(url, **options)
        assert response.content == b""
        assert response.status_code == expected.status_code
        for name in ("content-type", "content-length", "allow", "cache-control"):
            assert response.headers.get(name) == expected.headers.get(name), name


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_that_is_watched_answers_head(page, serve):
    server = await serve(make_manager())
    async with httpx.AsyncClient(base_url=f"http://{server.host}:{server.port}") as client:
        if page == "/metrics":
            response = await client.head(page)
            assert response.status_code == 200 and response.content == b""
            assert int(response.headers["content-length"]) > 100
        else:
            await ask_head(client, page)
            await ask_head(client, f"{page}/")
        refused = await client.post(page)
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_head_is_answered_wherever_get_is(name):
    html = {"accept": "text/html"}
    async with SERVERS[name](make_manager()) as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        url = http_url(url)
        await ask_head(client, url, headers=html)
        await ask_head(client, url, headers=JSON, params={"query": QUERY})
        await ask_head(client, url, headers=JSON, params={"query": "{ nothing }"})
        await ask_head(client, url, headers=JSON, params={"query": "subscription { feed }"})
        await ask_head(client, url, headers=JSON)


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_slash_at_the_end_of_the_path_makes_no_difference(name):
    async with SERVERS[name](make_manager()) as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        http = http_url(f"{url}/")
        for response in (
            await client.get(http, params={"query": QUERY}),
            await client.post(http, json={"query": QUERY}),
        ):
            assert response.json() == {"data": {"__typename": "Query"}}
        assert (await client.put(http)).status_code == 201
        assert (await client.head(http, params={"query": QUERY})).status_code == 200
        socket = await ProtocolClient.connect(f"{url}/")
        await socket.init()
        await socket.close()


@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a/b/"])
async def test_any_path_is_served_in_both_spellings(path, serve):
    server = await serve(make_manager(), path=path)
    bare = path.rstrip("/")
    async with httpx.AsyncClient(base_url=f"http://{server.host}:{server.port}") as client:
        for spelling in {bare or "/", f"{bare}/"}:
            response = await client.post(spelling, json={"query": QUERY})
            assert response.status_code == 200, spelling
            socket = await ProtocolClient.connect(f"ws://{server.host}:{server.port}{spelling}")
            await socket.init()
            await socket.close()
        assert (await client.post("/elsewhere", json={"query": QUERY})).status_code == 404


@pytest.mark.parametrize("prefix, path", [("", "/graphql/"), ("/api", ""), ("/api", "/graphql")])
async def test_a_fastapi_router_is_served_in_both_spellings(prefix, path):
    manager, app = make_manager(), FastAPI(redirect_slashes=False)
    router = SubscriptionRouterFactory(manager).create_router(path)
    app.include_router(router, prefix=prefix)
    bare = f"{prefix}{path}".rstrip("/")
    async with manager, uvicorn(app) as host, httpx.AsyncClient(timeout=PATIENCE) as client:
        for spelling in (bare, f"{bare}/"):
            response = await client.post(f"http://{host}{spelling}", json={"query": QUERY})
            assert response.status_code == 200, spelling
            socket = await ProtocolClient.connect(f"ws://{host}{spelling}")
            await socket.init()
            await socket.close()
