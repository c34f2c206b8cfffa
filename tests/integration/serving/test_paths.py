"""Paths with and without a trailing slash, and below a prefix, on every server and protocol."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from support import PATIENCE
from support.certificates import Credentials
from support.publishing import KEY
from support.servers import HTTP_SERVERS, SERVERS, hypercorn, uvicorn
from support.urls import http_url

from fraiseql_subs import ConfigurationError, SubscriptionManager, passthrough
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory
from fraiseql_subs.adapters.starlette import create_subscription_app

QUERY = "{ __typename }"
ANSWER = {"data": {"__typename": "Query"}}
SPELLINGS = ["/graphql", "/graphql/", "/graphql?a=b", "/graphql/?a=b"]
STATUS = ["/health", "/health/live", "/health/ready", "/metrics"]


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("ticks", int, channel="ticks")])


async def check(client: httpx.AsyncClient, url: str) -> None:
    """A page, a query, an event stream and the token of a stream are answered, not redirected."""
    page = await client.get(url, headers={"accept": "text/html"})
    assert page.status_code == 200 and "<title>GraphiQL</title>" in page.text, url
    assert (await client.post(url, json={"query": QUERY})).json() == ANSWER
    assert (await client.get(url, params={"query": QUERY})).json() == ANSWER
    asked, events = {"query": "subscription { ticks }"}, {"accept": "text/event-stream"}
    async with client.stream("POST", url, json=asked, headers=events) as stream:
        assert stream.status_code == 200, url
        assert stream.headers["content-type"].startswith("text/event-stream")
    assert (await client.put(url)).status_code == 201, url


async def check_all(connect: Any, host: str, paths: list[str], scheme: str = "http") -> None:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        for path in paths:
            await check(client, f"{scheme}://{host}{path}")
            await connect(f"ws://{host}{path}")


@pytest.mark.parametrize("name", HTTP_SERVERS)
async def test_a_slash_makes_no_difference(name, connect):
    async with SERVERS[name](make_manager()) as url:
        host = httpx.URL(http_url(url)).netloc.decode()
        await check_all(connect, host, SPELLINGS)


@pytest.mark.parametrize("root", ["", "/shop"])
async def test_nor_over_http_2(root, serve, connect, tmp_path):
    credentials = Credentials(tmp_path)
    server = await serve(make_manager(), tls=credentials.tls, root_path=root)
    options = {"http2": True, "verify": credentials.trusting, "timeout": PATIENCE}
    async with httpx.AsyncClient(**options) as client:
        for path in SPELLINGS:
            await check(client, f"https://127.0.0.1:{server.port}{root}{path}")
            url = f"wss://127.0.0.1:{server.port}{root}{path}"
            await connect(url, ssl=credentials.trusting)


@pytest.mark.parametrize("root_path", ["/shop", "/shop/", "/a/b"])
async def test_all_paths_are_served_below_a_prefix_too(root_path, serve, connect):
    server = await serve(make_manager(), root_path=root_path, publish_key=KEY)
    root, host = root_path.rstrip("/"), f"127.0.0.1:{server.port}"
    assert server.root_path == root
    await check_all(connect, host, [f"{root}{path}" for path in SPELLINGS])
    await check_all(connect, host, SPELLINGS)
    authorized = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=f"http://{host}", timeout=PATIENCE) as client:
        for path in ("", root):
            for slash in ("", "/"):
                for page in STATUS:
                    assert (await client.get(f"{path}{page}{slash}")).status_code == 200
                event = {"channel": "ticks", "data": 1}
                for more in ({}, {"expect": "100-continue"}):
                    where = f"{path}/publish{slash}"
                    answer = await client.post(where, json=event, headers=authorized | more)
                    assert answer.status_code == 200, where
        for path in (root, f"{root}{root}/graphql", f"{root}x/graphql", "/other/graphql"):
            assert (await client.post(path, json={"query": QUERY})).status_code == 404, path


async def test_urls_have_the_prefix(serve, tmp_path):
    server = await serve(make_manager(), root_path="/shop", publish_key=KEY)
    host = f"127.0.0.1:{server.port}"
    assert server.url == f"ws://{host}/shop/graphql"
    assert server.http_url == f"http://{host}/shop/graphql"
    assert server.publish_url == f"http://{host}/shop/publish"
    assert (server.path, server.publish_path) == ("/graphql", "/publish")
    at_path = make_manager().serve(unix=tmp_path / "s", root_path="/shop")
    assert at_path.url == f"ws+unix:{tmp_path}/s:/shop/graphql"
    assert at_path.http_url.endswith("/shop/graphql")


async def test_the_root_itself_may_be_below_a_prefix(serve, connect):
    server = await serve(make_manager(), path="/", root_path="/shop")
    assert server.url == f"ws://127.0.0.1:{server.port}/shop/"
    await check_all(connect, f"127.0.0.1:{server.port}", ["/", "/shop", "/shop/"])


async def test_a_header_changes_no_path(serve):
    """A proxy that forwards one path alone must not be talked into another one."""
    server = await serve(make_manager(), trusted_proxies=["127.0.0.1"], root_path="/shop")
    headers = {"X-Forwarded-Prefix": "/graphql", "X-Forwarded-For": "203.0.113.7"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        for path in ("/graphql/metrics", "/graphql/graphql", "/shop/graphql/metrics"):
            assert (await client.get(path, headers=headers)).status_code == 404
        assert (await client.get("/shop/metrics", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"root_path": "/shop", "path": "/shop/health"}, "/shop/health would be two things"),
        ({"root_path": "/metrics"}, "root_path is '/metrics'"),
        (
            {"root_path": "/a", "path": "/a/b", "publish_path": "/b", "publish_key": KEY},
            "/a/b would be two things",
        ),
        ({"root_path": "/health", "path": "/live"}, "root_path is '/health'"),
    ],
)
def test_a_prefix_below_which_two_things_would_have_one_path_is_refused(settings, text):
    with pytest.raises(ConfigurationError, match=text):
        make_manager().serve(**settings)


def starlette_app(manager: SubscriptionManager) -> Any:
    return create_subscription_app(manager, path="/graphql")


def mounted_app(manager: SubscriptionManager) -> Any:
    hello = Route("/hello", lambda _: PlainTextResponse("hello"))
    return Starlette(routes=[hello, Mount("", create_subscription_app(manager, path="/graphql"))])


def routed_app(manager: SubscriptionManager) -> Any:
    hello = Route("/hello", lambda _: PlainTextResponse("hello"))
    return Starlette(routes=[*create_subscription_app(manager, path="/graphql").routes, hello])


def fastapi_app(manager: SubscriptionManager) -> Any:
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory(manager).create_router(path="/graphql"))
    return app


APPLICATIONS = {
    "starlette": starlette_app,
    "mounted": mounted_app,
    "routed": routed_app,
    "fastapi": fastapi_app,
    "asgi": GraphQLApp,
}


@pytest.mark.parametrize("name", APPLICATIONS)
async def test_an_application_behind_a_proxy_that_removes_the_prefix(name, connect):
    manager = make_manager()
    async with manager, uvicorn(APPLICATIONS[name](manager), root_path="/shop") as host:
        await check_all(connect, host, SPELLINGS)


@pytest.mark.parametrize("name", APPLICATIONS)
async def test_an_application_behind_a_proxy_that_passes_the_prefix_on(name, connect):
    manager = make_manager()
    application = APPLICATIONS[name](manager)

    async def below(scope: Any, receive: Any, send: Any) -> None:
        # As hypercorn with `root_path` does.
        await application({**scope, "root_path": "/shop"}, receive, send)

    async with manager, hypercorn(below) as host:
        await check_all(connect, host, [f"/shop{path}" for path in SPELLINGS])


@pytest.mark.parametrize("name", ["mounted", "routed"])
async def test_an_application_leaves_other_routes_alone(name):
    manager = make_manager()
    async with manager, uvicorn(APPLICATIONS[name](manager)) as host, httpx.AsyncClient() as client:
        assert (await client.get(f"http://{host}/hello")).text == "hello"
        assert (await client.get(f"http://{host}/elsewhere")).status_code == 404
