"""Bring your own server: subscriptions over aiohttp, with a `WebSocketAdapter` of 40 lines.

    pip install aiohttp 'fraiseql-subs[cli]'
    python examples/custom_server.py
    fraiseql-subs subscribe ws://127.0.0.1:8000/graphql 'subscription { orderUpdated { id } }'

The adapter moves messages; the protocol, the limits and the slow-consumer policy are those of the
embedded server.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from fraiseql_subs import Context, Event, SubscriptionManager, subscription
from fraiseql_subs.adapters import GraphQLTransportWSHandler, WebSocketAdapter


class AiohttpAdapter(WebSocketAdapter):
    """A WebSocket of aiohttp."""

    def __init__(self, request: web.Request) -> None:
        offered = request.headers.get("sec-websocket-protocol", "")
        self.subprotocols = [name.strip() for name in offered.split(",")]
        self.headers = [(name.lower(), value) for name, value in request.headers.items()]
        self.remote_address = request.remote
        self.query_string = request.rel_url.raw_query_string
        self.response: web.StreamResponse = web.Response(status=403)
        self._request = request
        self._socket = web.WebSocketResponse()
        self._is_accepted = False

    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""
        protocols = () if subprotocol is None else (subprotocol,)
        # Clients of the older subprotocol answer to pings only.
        self.response = self._socket = web.WebSocketResponse(protocols=protocols, heartbeat=20.0)
        self._is_accepted = True
        await self._socket.prepare(self._request)

    async def refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
        """Answer the handshake with this response."""
        self.response = web.Response(status=status, headers=headers, body=body)
        return True

    async def receive_text(self) -> str | bytes | None:
        """Wait for the next message."""
        message = await self._socket.receive()
        return message.data if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) else None

    async def receive_json(self) -> Any:
        """Wait for the next message and decode it."""
        message = await self.receive_text()
        return json.loads(message) if isinstance(message, str) else message

    async def send_bytes(self, payload: bytes) -> None:
        """Send one serialised message as text."""
        await self._socket.send_str(payload.decode())

    async def send_json(self, message: Any) -> None:
        """Send a JSON value."""
        await self._socket.send_json(message)

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, if it was accepted; else the handshake is answered with 403."""
        if self._is_accepted:
            await self._socket.close(code=code, message=reason.encode())

    async def abort(self) -> bool:
        """Cut the socket of a client that does not take its close."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()
        return True

    def is_connected(self) -> bool:
        """Whether the socket is open."""
        return self._is_accepted and not self._socket.closed


def create_app(manager: SubscriptionManager, path: str = "/graphql") -> web.Application:
    """Make an application that serves a manager."""
    handler = GraphQLTransportWSHandler(manager)

    async def graphql(request: web.Request) -> web.StreamResponse:
        adapter = AiohttpAdapter(request)
        # What the application knows about the client reaches resolvers as `context.value`.
        await handler.handle_connection(adapter, context=request.get("user"))
        return adapter.response

    app = web.Application()
    app.router.add_get(path, graphql)
    return app


@dataclass
class Order:
    """An order as clients see it."""

    id: int
    status: str


@subscription(channel="orders")
async def order_updated(event: Event, variables: dict[str, Any], context: Context) -> Order:
    """Tell about each order."""
    return event.data


async def publish(manager: SubscriptionManager) -> None:
    """Publish an order each second."""
    for number in itertools.count():
        await manager.publish("orders", {"id": number, "status": "PAID"})
        await asyncio.sleep(1)


def main() -> None:
    """Serve, and publish an order each second."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    manager = SubscriptionManager(subscriptions=[order_updated])

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        async with manager:
            publishing = asyncio.create_task(publish(manager))
            yield
            publishing.cancel()

    app = create_app(manager)
    app.cleanup_ctx.append(lifespan)
    # Port 0 stands for a free one.
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        print(f"serving on ws://127.0.0.1:{listener.getsockname()[1]}/graphql", flush=True)
        # Handles SIGTERM and Ctrl-C; the handler above drains before.
        web.run_app(app, sock=listener, print=None)


if __name__ == "__main__":
    main()
