"""The ASGI application: alone, and mounted in frameworks without a separate adapter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asking import ask, ask_by_http, whoami
from support.progress import clients_left
from support.protocol_client import ProtocolClient
from support.raw_http import handshake
from support.servers import granian, hypercorn, uvicorn, ws_url
from support.urls import address_of

from fraiseql_subs import Limits, ManagerClosed, SubscriptionManager, passthrough
from fraiseql_subs.adapters.asgi import GraphQLApp


async def test_a_client_of_the_older_subprotocol_that_answers_no_ping_is_ended_by_uvicorn(within):
    """In that subprotocol a client answers no message, so pings of uvicorn find dead clients."""
    manager = SubscriptionManager(
        [passthrough("feed", int, channel="feed")], limits=Limits(keepalive=None)
    )
    pings = {"ws_ping_interval": 0.1, "ws_ping_timeout": 0.1}
    async with manager, uvicorn(GraphQLApp(manager), **pings) as host:
        answering = await ProtocolClient.connect(ws_url(host), subprotocols=["graphql-ws"])
        await answering.init()
        reader, writer = await asyncio.open_connection(*address_of(ws_url(host)))
        writer.write(handshake(subprotocol="graphql-ws"))
        await within(reader.read())
        writer.close()
        await clients_left(manager, 1)
        await answering.send({"type": "start", "id": "1", "payload": {"query": "{ __typename }"}})
        assert (await answering.receive())["type"] == "data"
        await answering.close()


def litestar_app(app: Any) -> Any:
    from litestar import Litestar, asgi

    @asgi("/graphql", is_mount=True, copy_scope=True)
    async def graphql(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    # Its default configures the root logger of the process.
    return Litestar([graphql], logging_config=None)


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


async def test_the_lifespan_of_a_server_starts_and_closes_the_manager(within):
    """Views that run in threads publish before there is a client."""
    manager = SubscriptionManager([passthrough("feed", int, channel="feed")])
    told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    served = GraphQLApp(manager)({"type": "lifespan"}, told.get, answers.put)
    serving = asyncio.ensure_future(served)
    await told.put({"type": "lifespan.startup"})
    assert await within(answers.get()) == {"type": "lifespan.startup.complete"}
    await asyncio.to_thread(manager.publish, "feed", 1)
    await told.put({"type": "lifespan.shutdown"})
    assert await within(answers.get()) == {"type": "lifespan.shutdown.complete"}
    await within(serving)
    with pytest.raises(ManagerClosed):
        await asyncio.to_thread(manager.publish, "feed", 2)
