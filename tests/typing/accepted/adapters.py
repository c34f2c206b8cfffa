"""Adapters of frameworks, and a transport of one's own."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from typing_extensions import assert_type

from fraiseql_subs import Drain, SubscriptionManager
from fraiseql_subs.adapters.asgi import GraphQLApp
from fraiseql_subs.adapters.fastapi import SubscriptionRouterFactory
from fraiseql_subs.adapters.starlette import create_subscription_app
from fraiseql_subs.adapters.websocket import GraphQLTransportWSHandler, WebSocketAdapter

manager = SubscriptionManager()

asgi = GraphQLApp(manager, context=lambda scope: scope["client"], drain=1.0)
slower = GraphQLApp(manager, drain=Drain(1.0, ready_delay=5))


def user(connection: HTTPConnection) -> str | None:
    return connection.headers.get("x-user")


async def named(name: Annotated[str, Depends(user)]) -> str:
    return name.title()


starlette = create_subscription_app(manager, path="/graphql", context=user)
assert_type(starlette, Starlette)

fastapi = FastAPI()
factory = SubscriptionRouterFactory(manager, context=named)
fastapi.include_router(factory.create_router("/live"))
fastapi.mount("/graphql", asgi)


class Pipe(WebSocketAdapter):
    """A transport of the application's own."""

    def __init__(self, offered: list[str]) -> None:
        self.subprotocols = offered
        self.remote_address = "127.0.0.1"
        self.sent: list[Any] = []

    async def accept(self, subprotocol: str | None) -> None:
        self.sent.append(subprotocol)

    async def receive_json(self) -> Any:
        return None

    async def send_json(self, message: Any) -> None:
        self.sent.append(message)

    async def close(self, code: int, reason: str) -> None:
        self.sent.append((code, reason))

    def is_connected(self) -> bool:
        return not self.sent


async def handle() -> None:
    await GraphQLTransportWSHandler(manager).handle_connection(Pipe(["graphql-ws"]), context=1)
