"""Starlette: an application to run alone or to mount."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from .._callables import check_callable
from .._ownership import Ownership
from .._settings import check_drain, check_route
from ..config import DRAIN, Drain
from ._handle import handle_of
from .asgi import GraphQLApp, Scope, spellings

if TYPE_CHECKING:
    from ..manager import SubscriptionManager


def create_subscription_app(
    manager: SubscriptionManager,
    *,
    path: str | None = None,
    context: Callable[[HTTPConnection], Any] | None = None,
    drain: float | Drain = DRAIN,
) -> Starlette:
    """Create an application for WebSocket and HTTP clients.

    Run alone, it starts the manager when the server starts, and closes it when the server ends. The
    lifespan of a mounted application does not run: then the first client starts the manager, and
    the owner of the manager closes it.

    Args:
        manager: The manager to serve.
        path: The only path to serve; None: every path below its mount, so that
            `app.mount("/graphql", create_subscription_app(manager))` serves `/graphql/`.
        context: Function, async or not, that takes the connection. Resolvers find its result as
            `context.value`, and `Security.authenticate` as `params.context`. None: no value.
        drain: Time that operations under way have when the server is asked to end (seconds), or
            `Drain(...)`, which also sets how clients are sent away.

    Raises:
        ConfigurationError: An argument is out of its range.
    """
    handle = handle_of(manager)
    settings = check_drain(drain)
    if path is not None:
        check_route(path)
    if context is not None:
        check_callable("context", context, "connection")

    async def read_context(scope: Scope) -> Any:
        if context is None:
            return None
        value = context(HTTPConnection(scope))
        return await value if inspect.isawaitable(value) else value

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        ownership = Ownership.enter(handle)
        try:
            yield
        finally:
            # No client can come any more.
            await ownership.leave(settings.announced())

    served = GraphQLApp(manager, context=read_context, drain=drain)
    if path is None:
        return Starlette(routes=[Mount("", app=served)], lifespan=lifespan)
    routes: list[BaseRoute] = []
    for spelling in spellings(path):
        routes += [Route(spelling, endpoint=served), WebSocketRoute(spelling, endpoint=served)]
    return Starlette(routes=routes, lifespan=lifespan)
