"""Managers behind other servers: HTTP, context, back-pressure, frameworks.

The rules of the protocols are in `tests/conformance`, which runs over the same servers.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.requests import HTTPConnection
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Mount
from support import PATIENCE, eventually
from support.protocol_client import ProtocolClient
from support.servers import SERVERS, granian, hypercorn, uvicorn, ws_url
from websockets.exceptions import InvalidStatus

from fraiseql_subs import (
    Context,
    Identity,
    Limits,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory
from fraiseql_subs.adapters.starlette import create_subscription_app

EVENTS = {"accept": "text/event-stream"}

feed = passthrough("feed", int, channel="feed")
blob = passthrough("blob", str, channel="blob")


@subscription(channel="whoami", initial=lambda context: f"{context.value}")
async def whoami(event, context: Context) -> str:
    return f"{context.value}"


@subscription(channel="identity", initial=lambda context: context.identity.user_id)
async def identity(event, context: Context) -> str:
    return context.identity.user_id


async def settled(manager: SubscriptionManager) -> None:
    """Return when no client is connected and nothing runs."""
    await eventually(lambda: not manager.metrics().connections, "no client is connected")
    await eventually(lambda: not manager.metrics().subscriptions, "nothing runs")


@pytest.mark.parametrize("name", SERVERS)
async def test_a_client_that_never_reads_is_ended_and_harms_nobody(name):
    limits = Limits(max_pending_bytes=200_000)
    manager = SubscriptionManager([blob, feed], limits=limits)
    async with SERVERS[name](manager) as url:
        options = {"max_queue": 1, "ping_interval": None}
        deaf = await ProtocolClient.connect(url, **options)
        await deaf.init()
        await deaf.subscribe("subscription { blob }")
        healthy = await ProtocolClient.connect(url)
        await healthy.init()
        await healthy.subscribe("subscription { feed }")
        # What both sides buffer is filled first.
        published = 0
        while manager.metrics().slow_consumer_disconnects == 0:
            await manager.publish("blob", "x" * 50_000)
            published += 1
            assert published < 20_000, "more than any network keeps"
            await asyncio.sleep(0)
        await manager.publish("feed", 1)
        assert await healthy.receive_data() == {"feed": 1}
        await eventually(lambda: manager.metrics().connections == 1, "the deaf one is ended")
        deaf.socket.transport.abort()
        await healthy.close()
        await settled(manager)


async def test_a_client_of_the_older_subprotocol_that_answers_no_ping_is_ended_by_uvicorn(within):
    """That subprotocol has nothing that a client must answer, so it is for the server to ask."""
    manager = SubscriptionManager([feed], limits=Limits(keepalive=None))
    pings = {"ws_ping_interval": 0.1, "ws_ping_timeout": 0.1}
    async with manager, uvicorn(GraphQLApp(manager), **pings) as host:
        answering = await ProtocolClient.connect(ws_url(host), subprotocols=["graphql-ws"])
        await answering.init()
        name, _, port = host.partition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(
            b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: graphql-ws\r\n\r\n"
        )
        await within(reader.read())
        writer.close()
        await eventually(lambda: manager.metrics().connections == 1, "the silent one is ended")
        await answering.send({"type": "start", "id": "1", "payload": {"query": "{ __typename }"}})
        assert (await answering.receive())["type"] == "data"
        await answering.close()


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "embedded"])
async def test_a_page_of_another_origin_is_refused(name):
    security = Security(origins=["https://app.example.com"])
    async with SERVERS[name](SubscriptionManager([feed], security=security)) as url:
        with pytest.raises(InvalidStatus) as refused:
            await ProtocolClient.connect(url, origin="https://evil.example")
        assert refused.value.response.status_code == 403
        client = await ProtocolClient.connect(url, origin="https://app.example.com")
        await client.init()
        await client.close()


async def ask(url: str, field: str, **options: Any) -> Any:
    """Return the initial value of a field over a WebSocket."""
    client = await ProtocolClient.connect(url, **options)
    await client.init()
    await client.subscribe(f"subscription {{ {field} }}")
    data = await client.receive_data()
    await client.close()
    return data[field]


async def ask_by_http(url: str, field: str, **headers: str) -> Any:
    """Return the initial value of a field over an event stream."""
    url, body = url.replace("ws:", "http:"), {"query": f"subscription {{ {field} }}"}
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", url, json=body, headers={**EVENTS, **headers}) as response,
    ):
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))["data"][field]


def token(connection: HTTPConnection) -> str:
    if "x-user" not in connection.headers:
        raise HTTPException(401, "who are you?")
    return connection.headers["x-user"]


async def user(name: Annotated[str, Depends(token)]) -> str:
    return f"user {name}"


async def test_a_dependency_of_fastapi_reaches_resolvers():
    manager = SubscriptionManager([whoami])
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory(manager, context=user).create_router())
    async with manager, uvicorn(app) as host:
        url = ws_url(host)
        assert await ask(url, "whoami", additional_headers={"x-user": "ada"}) == "user ada"
        assert await ask_by_http(url, "whoami", **{"x-user": "ada"}) == "user ada"
        with pytest.raises(InvalidStatus):
            await ProtocolClient.connect(url)
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await ask_by_http(url, "whoami")


async def test_dependencies_of_a_fastapi_router_may_refuse():
    def closed() -> None:
        raise HTTPException(402, "pay first")

    manager = SubscriptionManager([feed])
    app = FastAPI()
    factory = SubscriptionRouterFactory(manager)
    app.include_router(factory.create_router("/live", dependencies=[Depends(closed)]))
    async with manager, uvicorn(app) as host, httpx.AsyncClient() as client:
        response = await client.post(f"http://{host}/live", json={"query": "{ __typename }"})
        assert response.status_code == 402


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


def litestar_app(app: Any) -> Any:
    from litestar import Litestar, asgi

    @asgi("/graphql", is_mount=True, copy_scope=True)
    async def graphql(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return Litestar([graphql])


def quart_app(app: Any) -> Any:
    from hypercorn.middleware import DispatcherMiddleware
    from quart import Quart

    return DispatcherMiddleware({"/graphql": app, "": Quart(__name__)})


@pytest.mark.parametrize("framework", [litestar_app, quart_app])
@pytest.mark.parametrize("server", [uvicorn, hypercorn, granian])
async def test_a_framework_mounts_the_asgi_application(framework, server):
    manager = SubscriptionManager([whoami])
    app = framework(GraphQLApp(manager, context=lambda scope: scope["type"]))
    async with manager, server(app) as host:
        url = f"ws://{host}/graphql/"
        assert await ask(url, "whoami") == "websocket"
        assert await ask_by_http(url, "whoami") == "http"


async def test_many_messages_cross_into_python_at_once():
    manager = SubscriptionManager([feed])
    async with manager:
        from fraiseql_subs.adapters._tasks import Peer

        connection = manager._core.connect(["graphql-transport-ws"], Peer())
        connection.receive_text('{"type":"connection_init"}')
        request = {"type": "subscribe", "id": "1", "payload": {"query": "subscription { feed }"}}
        connection.receive_text(json.dumps(request))
        while isinstance(batch := connection.take(), asyncio.Future):
            await batch
        assert batch == [b'{"type":"connection_ack"}']
        await eventually(lambda: manager.metrics().subscriptions, "it is subscribed")
        await manager.publish_many([("feed", number) for number in range(64)])
        sizes, received = [], 0
        while received < 64:
            batch = connection.take()
            if isinstance(batch, asyncio.Future):
                await batch
                continue
            received += len(batch)
            sizes.append(len(batch))
        assert len(sizes) <= 4
        connection.closed()
        await settled(manager)
