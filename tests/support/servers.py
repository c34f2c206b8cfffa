"""The servers that a manager can run behind, each on a free port of the running loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from fraiseql_subs import SubscriptionManager
from fraiseql_subs.adapters.aiohttp import create_routes
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory
from fraiseql_subs.adapters.starlette import create_subscription_app
from support.waiting import eventually

Serve = Callable[[SubscriptionManager], AbstractAsyncContextManager[str]]
Run = Callable[..., AbstractAsyncContextManager[str]]


def listen() -> socket.socket:
    """Listen on a free port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


@asynccontextmanager
async def uvicorn(app: Any, **options: Any) -> AsyncIterator[str]:
    """Run an ASGI application under uvicorn; return its host and port."""
    import uvicorn

    # httptools, if it is installed, answers clients of HTTP/1.0 with chunks.
    fixed = {"log_level": "error", "lifespan": "off", "ws": "websockets-sansio", "http": "h11"}
    options = {**fixed, **options}
    config = uvicorn.Config(app, **options)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    with listen() as listener:
        serving = asyncio.ensure_future(server._serve([listener]))
        await eventually(lambda: server.started, "uvicorn has started")
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            await serving


@asynccontextmanager
async def hypercorn(app: Any) -> AsyncIterator[str]:
    """Run an ASGI application under hypercorn; return its host and port."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    listener = listen()
    port = listener.getsockname()[1]
    config = Config()
    # It closes what it is given.
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.1
    config.errorlog = None
    stopped = asyncio.Event()
    serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=stopped.wait))
    try:
        yield f"127.0.0.1:{port}"
    finally:
        stopped.set()
        # With some versions of Python, it ends by cancelling its lifespan and its own task.
        await asyncio.wait([serving])
        if not serving.cancelled():
            serving.result()


@asynccontextmanager
async def granian(app: Any) -> AsyncIterator[str]:
    """Run an ASGI application under granian; return its host and port."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    with listen() as listener:
        port = listener.getsockname()[1]
    server = Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL)
    serving = asyncio.ensure_future(server.serve())

    async def is_open() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True

    await eventually(is_open, "granian has started")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop()
        await serving


def ws_url(host: str) -> str:
    return f"ws://{host}/graphql"


@asynccontextmanager
async def embedded(manager: SubscriptionManager) -> AsyncIterator[str]:
    async with manager.serve(port=0, drain=0.0) as server:
        yield server.url


def starlette_app(manager: SubscriptionManager) -> Any:
    return create_subscription_app(manager, path="/graphql")


def fastapi_app(manager: SubscriptionManager) -> Any:
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory(manager).create_router(path="/graphql"))
    return app


ASGI: dict[str, tuple[Run, Callable[[SubscriptionManager], Any]]] = {
    "starlette": (uvicorn, starlette_app),
    "fastapi": (uvicorn, fastapi_app),
    "asgi-hypercorn": (hypercorn, GraphQLApp),
    "asgi-granian": (granian, GraphQLApp),
}
"""The function that runs an application, and the one that creates it from a manager."""


def _serving(name: str) -> Serve:
    run, make_app = ASGI[name]

    @asynccontextmanager
    async def serve(manager: SubscriptionManager) -> AsyncIterator[str]:
        async with manager, run(make_app(manager)) as host:
            yield ws_url(host)

    return serve


@asynccontextmanager
async def aiohttp(manager: SubscriptionManager) -> AsyncIterator[str]:
    from aiohttp import web

    app = web.Application()
    app.add_routes(create_routes(manager))
    async with manager, aiohttp_runner(app) as host:
        yield ws_url(host)


@asynccontextmanager
async def aiohttp_runner(app: Any, *, auto_decompress: bool = False) -> AsyncIterator[str]:
    """Run an application of aiohttp; return its host and port."""
    from aiohttp import web

    runner = web.AppRunner(app, shutdown_timeout=0.1, auto_decompress=auto_decompress)
    await runner.setup()
    listener = listen()
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    await web.SockSite(runner, listener).start()
    try:
        yield host
    finally:
        await runner.cleanup()


@asynccontextmanager
async def custom(manager: SubscriptionManager) -> AsyncIterator[str]:
    """The server of the example: a `WebSocketAdapter`, without HTTP."""
    import custom_server

    async with aiohttp_runner(custom_server.create_app(manager)) as host, manager:
        yield ws_url(host)


SERVERS: dict[str, Serve] = {
    "embedded": embedded,
    **{name: _serving(name) for name in ASGI},
    "aiohttp": aiohttp,
}
"""Functions that serve a manager; each returns the URL for WebSocket clients."""

HTTP_SERVERS = list(SERVERS)
"""The servers that also offer the protocols over HTTP."""
