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
from ..config import DRAIN
from ._handle import handle_of
from .asgi import GraphQLApp, Scope, spellings

if TYPE_CHECKING:
    from ..manager import SubscriptionManager


def create_subscription_app(
    manager: SubscriptionManager,
    *,
    path: str | None = None,
    context: Callable[[HTTPConnection], Any] | None = None,
    drain: float = DRAIN,
) -> Starlette:
    """Make an application for WebSocket and HTTP clients.

    Run alone, it starts the manager with the server and closes it with it. Mounted, its
    lifespan is not run: the first client starts the manager, and its owner closes it.

    Args:
        manager: What is served.
        path: The one path that is served; None: every path below where it is mounted, so that
            `app.mount("/graphql", create_subscription_app(manager))` serves `/graphql/`.
        context: Function of the connection, async or not, that returns what resolvers find as
            `context.value` and `Security.authenticate` as `params.context`; None: nothing.
        drain: Time that operations under way have when the server is asked to end (seconds).

    Raises:
        ConfigurationError: An argument is out of its range.
    """
    handle = handle_of(manager)
    check_drain(drain)
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
            await ownership.leave(drain)

    served = GraphQLApp(manager, context=read_context, drain=drain)
    if path is None:
        return Starlette(routes=[Mount("", app=served)], lifespan=lifespan)
    routes: list[BaseRoute] = []
    for spelling in spellings(path):
        routes += [Route(spelling, endpoint=served), WebSocketRoute(spelling, endpoint=served)]
    return Starlette(routes=routes, lifespan=lifespan)
