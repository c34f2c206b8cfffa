"""The routes of aiohttp: their context, and clients that leave.

The protocols, limits and drains are tested with those of every server.
"""

from __future__ import annotations

import httpx
import pytest
from aiohttp import web
from asking import ask, ask_by_http, whoami
from support import PATIENCE, eventually
from support.progress import clients_left
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


async def serve(stack, manager: SubscriptionManager, **options) -> str:
    app = web.Application()
    app.add_routes(create_routes(manager, **options))
    await stack.enter_async_context(manager)
    return ws_url(await stack.enter_async_context(aiohttp_runner(app)))


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


@pytest.mark.parametrize(
    "wrong", [{"path": "graphql"}, {"context": 1}, {"context": lambda: None}, {"drain": -1}]
)
def test_wrong_arguments_are_refused(manager, wrong):
    with pytest.raises(ConfigurationError):
        create_routes(manager, **wrong)
