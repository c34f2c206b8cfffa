"""The application of Starlette: alone, mounted, and behind its authentication."""

from __future__ import annotations

import httpx
from asking import ask, ask_by_http
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Mount
from support.protocol_client import ProtocolClient
from support.servers import uvicorn, ws_url

from fraiseql_subs import (
    Context,
    Identity,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)
from fraiseql_subs.adapters.starlette import create_subscription_app

feed = passthrough("feed", int, channel="feed")


@subscription(channel="identity", initial=lambda context: context.identity.user_id)
async def identity(event, context: Context) -> str:
    return context.identity.user_id


async def test_the_authentication_of_starlette_reaches_the_hook_and_resolvers():
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser

    class Header(AuthenticationBackend):
        async def authenticate(self, connection):
            name = connection.headers.get("x-user")
            return name and (AuthCredentials(["authenticated"]), SimpleUser(name))

    async def authenticate(params) -> Identity | None:
        user = params.context
        return Identity(user.username) if user.is_authenticated else None

    security = Security(authenticate=authenticate)
    manager = SubscriptionManager([identity], security=security)
    served = create_subscription_app(manager, context=lambda connection: connection.user)
    app = Starlette(
        routes=[Mount("/", served)],
        middleware=[Middleware(AuthenticationMiddleware, backend=Header())],
    )
    async with manager, uvicorn(app) as host:
        url = ws_url(host)
        assert await ask(url, "identity", additional_headers={"x-user": "ada"}) == "ada"
        assert await ask_by_http(url, "identity", **{"x-user": "eve"}) == "eve"
        refused = await ProtocolClient.connect(url)
        await refused.send({"type": "connection_init"})
        await refused.expect_close(4403, "Forbidden")


async def test_a_starlette_application_that_runs_alone_starts_and_closes_its_manager():
    manager = SubscriptionManager([feed])
    app = create_subscription_app(manager)
    async with app.router.lifespan_context(app):
        assert manager._core.is_running
    assert not manager._core.is_running


async def test_a_mounted_application_serves_every_path_below():
    manager = SubscriptionManager([feed])
    app = Starlette(routes=[Mount("/graphql", create_subscription_app(manager))])
    async with manager, uvicorn(app) as host, httpx.AsyncClient() as client:
        response = await client.post(f"http://{host}/graphql/", json={"query": "{ __typename }"})
        assert response.status_code == 200
        socket = await ProtocolClient.connect(f"ws://{host}/graphql/")
        await socket.init()
        await socket.close()
