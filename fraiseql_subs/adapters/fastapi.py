"""FastAPI: a router, with dependency injection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request, Response, WebSocket, params

from .._core_handle import CoreHandle
from .._settings import check_drain, check_route, items
from ..config import DRAIN, Drain, refuse
from ._handle import handle_of
from .asgi import ASGICall, Receive, Scope, Send, serve_http, serve_websocket, spellings

if TYPE_CHECKING:
    from ..manager import SubscriptionManager

# Includes methods that are refused, so that the refusal is the same behind every server.
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class SubscriptionRouterFactory:
    """Creates routers that serve a manager; `app.include_router(factory.create_router())`.

    Args:
        manager: The manager to serve. The first client starts it; close it in the application's
            lifespan.
        context: A dependency. Resolvers find its value as `context.value`, and
            `Security.authenticate` as `params.context`. It may have dependencies, and takes
            `fastapi.requests.HTTPConnection` if it needs the request or socket.
        drain: Time that operations under way have when the server is asked to end (seconds), or
            `Drain(...)`, which also sets how clients are sent away.

    Raises:
        ConfigurationError: An argument is out of its range.
    """

    def __init__(
        self,
        manager: SubscriptionManager,
        *,
        context: Callable[..., Any] | None = None,
        drain: float | Drain = DRAIN,
    ) -> None:
        self._handle = handle_of(manager)
        self._drain = check_drain(drain)
        if not (context is None or callable(context)):
            refuse(
                "context", context, "pass a dependency: a function, or a class, that FastAPI calls"
            )
        self._context = context or _nothing

    def create_router(
        self, path: str = "/graphql", *, dependencies: Sequence[params.Depends] | None = None
    ) -> APIRouter:
        """Create a router for WebSocket and HTTP clients.

        Args:
            path: Path of the GraphQL endpoint.
            dependencies: Dependencies of both routes, whose values are not used, such as checks
                that raise.

        Raises:
            ConfigurationError: `path` is not a path, or an item is not a dependency.
        """
        check_route(path, may_be_empty=True)
        if dependencies is not None:
            for dependency in items("dependencies", dependencies, "[Depends(check)]"):
                if not isinstance(dependency, params.Depends):
                    refuse("one of dependencies", dependency, "pass Depends(...) of FastAPI")
        router = APIRouter(dependencies=dependencies)
        handle, drain = self._handle, self._drain
        provided = Depends(self._context)

        async def http(request: Request, context: Any = provided) -> Response:
            return _Answer(handle, context, drain)

        async def websocket(websocket: WebSocket, context: Any = provided) -> None:
            scope, receive, send = websocket.scope, websocket.receive, websocket.send
            await serve_websocket(ASGICall(handle, scope, receive, send, context, drain))

        # FastAPI needs the annotations as objects, but local names cannot be resolved from strings.
        http.__annotations__ = {"request": Request, "context": Any, "return": Response}
        websocket.__annotations__ = {"websocket": WebSocket, "context": Any, "return": None}
        for spelling in spellings(path):
            router.add_api_route(spelling, http, methods=METHODS, include_in_schema=False)
            router.add_api_websocket_route(spelling, websocket)
        return router


def _nothing() -> None:
    return None


class _Answer(Response):
    """A response that the manager writes."""

    def __init__(self, handle: CoreHandle, context: Any, drain: Drain) -> None:
        super().__init__()
        self._drain = drain
        self._handle = handle
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = ASGICall(self._handle, scope, receive, send, self._context, self._drain)
        await serve_http(call)
