"""A real browser: headless Chromium with WebSocket, EventSource and GraphiQL."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from support import eventually
from support.node import NodeProcess
from support.proxies import nginx
from support.redis_server import free_port
from support.servers import HTTP_SERVERS, SERVERS
from support.urls import http_url

from fraiseql_subs import ConnectionInfo, Security, SubscriptionManager, subscription


@subscription(channel="numbers", initial=lambda: -1)
async def numbers(event) -> int:
    return event.data


@subscription(channel="texts", initial=lambda: "")
async def texts(event) -> str:
    return event.data


@subscription
async def countdown(*, start: int) -> AsyncIterator[int]:
    for number in range(start, 0, -1):
        yield number


@pytest.fixture
def manager() -> SubscriptionManager:
    return SubscriptionManager([numbers, countdown])


@pytest.fixture
async def server(manager, serve):
    return await serve(manager)


def browse(what: str, url: str, query: str, *more: str) -> Any:
    return NodeProcess.run("browser.mjs", what, url, query, *more)


@asynccontextmanager
async def served(
    name: str, manager: SubscriptionManager, what: str, query: str
) -> AsyncIterator[NodeProcess]:
    async with (
        SERVERS[name](manager) as url,
        browse(what, http_url(url), query) as page,
    ):
        yield page


@pytest.mark.parametrize("name", ["embedded", "starlette"])
async def test_a_websocket_of_a_browser_receives_events(name):
    manager = SubscriptionManager([numbers, countdown])
    async with served(name, manager, "websocket", "subscription { numbers }") as page:
        assert await page.read() == {"data": {"numbers": -1}}
        await manager.publish("numbers", 7)
        assert await page.read() == {"data": {"numbers": 7}}
        await manager.close(drain=5.0)
        assert await page.read() == {"code": 1001, "reason": "Going away"}


async def test_a_browser_agrees_on_compression_and_reads_compressed_results(serve):
    manager = SubscriptionManager([texts])
    server = await serve(manager, compression=True)
    async with browse("compression", server.http_url, "subscription { texts }") as page:
        assert (await page.read()).startswith("permessage-deflate; server_no_context_takeover")
        assert await page.read() == {"data": {"texts": ""}}
        for number in range(3):
            text = f"grüße {number} " * 1_000
            await manager.publish("texts", text)
            assert await page.read() == {"data": {"texts": text}}


@pytest.mark.parametrize("name", ["embedded", "starlette"])
async def test_an_eventsource_of_a_browser_receives_events(name):
    manager = SubscriptionManager([numbers, countdown])
    async with served(name, manager, "eventsource", "subscription { numbers }") as page:
        first = await page.read()
        assert first["data"] == {"numbers": -1}
        receipt = await manager.publish("numbers", 7)
        run = receipt.event_id.rpartition("-")[0]
        assert first["lastEventId"] == f"{run}-0"
        expected = {"data": {"numbers": 7}, "lastEventId": receipt.event_id}
        assert await page.read() == expected


def only_subscriber(manager: SubscriptionManager) -> ConnectionInfo:
    """Return the one connection that has a subscription; raises if there are more."""
    [connection] = [c for c in manager.connections() if c.subscriptions]
    return connection


async def test_an_eventsource_of_a_browser_returns_and_misses_nothing(manager, server):
    query = "subscription { numbers }"
    async with browse("eventsource", server.http_url, query) as page:
        assert (await page.read())["data"] == {"numbers": -1}
        for number in range(0, 30, 3):
            await manager.publish("numbers", number)
            assert (await page.read())["data"] == {"numbers": number}
            connection = await eventually(
                lambda: only_subscriber(manager), "one connection is left"
            )
            await manager.disconnect(connection_id=connection.connection_id)
            await eventually(lambda: not manager.metrics().subscriptions, "it is ended")
            for missed in (number + 1, number + 2):
                await manager.publish("numbers", missed)
            # The browser reconnects by itself, with the last id that it has received.
            for missed in (number + 1, number + 2):
                assert (await page.read())["data"] == {"numbers": missed}
    assert manager.metrics().subscriptions_resumed == 10


async def test_an_eventsource_of_a_browser_sees_the_end(server):
    query = "subscription { countdown(start: 1) }"
    async with browse("eventsource", server.http_url, query) as page:
        assert (await page.read())["data"] == {"countdown": 1}
        assert await page.read() == {"complete": ""}


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_graphiql_subscribes_and_shows_an_event(scheme, manager, server):
    query = "subscription Numbers { numbers }"
    # `SCREENSHOTS=docs/images` writes those of the documents.
    folder = os.environ.get("SCREENSHOTS")
    more = [scheme, *([f"{folder}/graphiql-{scheme}.png"] if folder else [])]
    async with browse("graphiql", server.http_url, query, *more) as page:
        assert (await page.read())["result"] == {"data": {"numbers": -1}}
        await manager.publish("numbers", 7)
        shown = await page.read()
        assert shown["result"] == {"data": {"numbers": 7}}
        assert shown["foreign"] == shown["refused"] == []
        red, green, blue = json.loads(shown["background"].replace("rgb(", "[").replace(")", "]"))
        assert (red + green + blue > 3 * 128) == (scheme == "light")


async def test_graphiql_needs_no_origin_of_its_own_where_hosts_are_listed(serve):
    security = Security(origins=["https://app.example.com"], hosts=["127.0.0.1"])
    server = await serve(SubscriptionManager([numbers], security=security))
    query = "subscription Numbers { numbers }"
    async with browse("graphiql", server.http_url, query, "light") as page:
        assert (await page.read())["result"] == {"data": {"numbers": -1}}


@pytest.mark.parametrize("target", ["", "/"], ids=["passed-on", "removed"])
async def test_graphiql_works_below_a_prefix(target, manager, serve, tmp_path):
    server = await serve(manager, root_path="/shop")
    port = free_port()
    settings = f"""
        http {{
            access_log off;
            server {{
                listen 127.0.0.1:{port};
                location /shop/ {{
                    proxy_pass http://127.0.0.1:{server.port}{target};
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection upgrade;
                    proxy_set_header Host $http_host;
                }}
            }}
        }}
    """
    async with nginx(tmp_path, port, settings):
        url = f"http://127.0.0.1:{port}/shop/graphql"
        async with browse("graphiql", url, "subscription Numbers { numbers }", "light") as page:
            assert (await page.read())["result"] == {"data": {"numbers": -1}}
            await manager.publish("numbers", 7)
            shown = await page.read()
            assert shown["result"] == {"data": {"numbers": 7}}
            assert shown["foreign"] == shown["refused"] == []


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_browsers_are_served_the_page_where_others_are_not(name):
    async with SERVERS[name](SubscriptionManager([numbers])) as url:
        url = http_url(url)
        async with httpx.AsyncClient() as client:
            page = await client.get(url, headers={"accept": "text/html,*/*;q=0.8"})
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "<title>GraphiQL</title>" in page.text
            assert (await client.get(url)).status_code == 400


async def test_the_page_may_be_switched_off(serve):
    server = await serve(SubscriptionManager([numbers], graphiql=False))
    async with httpx.AsyncClient() as client:
        response = await client.get(server.http_url, headers={"accept": "text/html"})
    assert response.status_code == 400
