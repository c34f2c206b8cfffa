"""Plain ASGI: WebSocket and HTTP for any framework that mounts an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..config import DRAIN
from ._shutdown import watch_shutdown
from ._tasks import Peer, first_of, last_word
from .websocket import GraphQLTransportWSHandler, WebSocketAdapter

if TYPE_CHECKING:
    from .._core import Response
    from ..manager import SubscriptionManager

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class GraphQLApp:
    """An ASGI application that serves a manager at every path below where it is mounted.

    Args:
        manager: What is served. It is started by the first client, and closed when a server
            runs this application alone and ends; where it is mounted, its owner closes it.
        context: Function of the ASGI scope, async or not, that gives what resolvers find as
            `context.value` and `Security.authenticate` as `params.context`; None: nothing.
        drain: Time that operations under way have when the server is told to end (seconds).
    """

    def __init__(
        self,
        manager: SubscriptionManager,
        *,
        context: Callable[[Scope], Any] | None = None,
        drain: float = DRAIN,
    ) -> None:
        self._manager = manager
        self._context = context
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, request or life."""
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        context = None if self._context is None else self._context(scope)
        if inspect.isawaitable(context):
            context = await context
        if scope["type"] == "websocket":
            await serve_websocket(self._manager, scope, receive, send, context, self._drain)
        elif scope["type"] == "http":
            await serve_http(self._manager, scope, receive, send, context, self._drain)

    async def _live(self, receive: Receive, send: Send) -> None:
        is_owner = True
        while (await receive())["type"] == "lifespan.startup":
            # Whoever has started the manager closes it.
            is_owner = not self._manager._core.is_running
            await send({"type": "lifespan.startup.complete"})
        if is_owner:
            await self._manager.close(drain=self._drain)
        await send({"type": "lifespan.shutdown.complete"})


async def serve_websocket(
    manager: SubscriptionManager,
    scope: Scope,
    receive: Receive,
    send: Send,
    context: Any,
    drain: float,
) -> None:
    """Serve one `websocket` scope until it ends."""
    adapter = ASGIWebSocket(scope, receive, send)
    handler = GraphQLTransportWSHandler(manager, drain=drain)
    # A server that ends cancels, and would log that as an error.
    with contextlib.suppress(asyncio.CancelledError):
        await handler.handle_connection(adapter, context=context)


async def serve_http(
    manager: SubscriptionManager,
    scope: Scope,
    receive: Receive,
    send: Send,
    context: Any,
    drain: float,
) -> None:
    """Answer one `http` scope: a query, a mutation, or a subscription as a stream."""
    watch_shutdown(manager, drain)
    sending = _Sending(send)
    try:
        if not manager._core.is_closed:
            await _answer(manager, scope, receive, sending, context)
        else:
            await sending.end()
    except asyncio.CancelledError:
        await last_word(sending.end())


async def _answer(
    manager: SubscriptionManager, scope: Scope, receive: Receive, send: Send, context: Any
) -> None:
    peer = Peer(_headers(scope), _address(scope), context, _query_string(scope))
    admission = manager._core.admit(scope["method"], peer)
    refusal = admission.refusal()
    if refusal is not None:
        # Nothing is received: servers ask clients for a body when the application does.
        return await _respond(refusal, send)
    body = await _body(receive, manager._limits.max_message_bytes)
    if body is None:
        return
    # A client may leave before it is answered: what runs for it ends then.
    leaving = asyncio.ensure_future(_departure(receive))
    answering = asyncio.ensure_future(admission.answer(body))
    try:
        either: list[asyncio.Future[Any]] = [answering, leaving]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            await _hand_over(answering.result(), send, leaving)
    finally:
        answering.cancel()
        leaving.cancel()


async def _hand_over(response: Response, send: Send, leaving: asyncio.Task[None]) -> None:
    try:
        await first_of(response.ended, _respond(response, send), leaving)
    except OSError:
        # Servers differ in whether writing to a client that has left is an error.
        pass
    finally:
        response.closed()


class _Sending:
    """Sends a response, and knows what is missing of it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = self._is_over = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
        else:
            self._is_over = not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        """End a response that was cut short: what has begun without a word, else with 503."""
        if not self._has_begun:
            headers = [(b"content-length", b"0"), (b"retry-after", b"1")]
            await self({"type": "http.response.start", "status": 503, "headers": headers})
        if not self._is_over:
            await self({"type": "http.response.body", "body": b""})


async def _body(receive: Receive, limit: int) -> bytes | None:
    """Read a body, as far as its size can matter; None when the client has left."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > limit:
            return bytes(body)
    return None


async def _respond(response: Response, send: Send) -> None:
    headers = _encoded(response.headers)
    start = {"type": "http.response.start", "status": response.status, "headers": headers}
    if response.is_whole:
        await send(start)
        await send({"type": "http.response.body", "body": response.take()})
        return
    await send(start)
    while (part := response.take()) is not None:
        if isinstance(part, bytes):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        else:
            await part
    await send({"type": "http.response.body", "body": b""})


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class ASGIWebSocket(WebSocketAdapter):
    """The socket of one `websocket` scope."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.subprotocols = scope.get("subprotocols", ())
        self.headers = _headers(scope)
        self.remote_address = _address(scope)
        self.query_string = _query_string(scope)
        self._can_respond = "websocket.http.response" in scope.get("extensions", ())
        self._receive = receive
        self._send = send
        self._connected = True

    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""
        message = await self._receive()
        if message["type"] == "websocket.connect":
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
        """Answer the handshake, where the server has a message for that."""
        if self._can_respond:
            start = {"status": status, "headers": _encoded(headers)}
            await self._send({"type": "websocket.http.response.start", **start})
            await self._send({"type": "websocket.http.response.body", "body": body})
        return self._can_respond

    async def receive_text(self) -> str | bytes | None:
        """Wait for the next message."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._connected = False
            return None
        text: str | None = message.get("text")
        return text if text is not None else bytes(message["bytes"])

    async def receive_json(self) -> Any:
        """Wait for the next message and decode it."""
        message = await self.receive_text()
        return json.loads(message) if isinstance(message, str) else message

    async def send_bytes(self, payload: bytes) -> None:
        """Send one serialised message."""
        await self._send({"type": "websocket.send", "text": payload.decode()})

    async def send_json(self, message: Any) -> None:
        """Send a JSON value."""
        await self._send({"type": "websocket.send", "text": json.dumps(message)})

    async def close(self, code: int, reason: str) -> None:
        """Close the socket."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        self._connected = False

    def is_connected(self) -> bool:
        """Whether the socket is open."""
        return self._connected


def _headers(scope: Scope) -> list[tuple[str, str]]:
    return [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]


def spellings(path: str) -> list[str]:
    """List a path without and with a slash at its end, which people and proxies add."""
    bare = path.rstrip("/")
    return ["/"] if path == "/" else [bare, f"{bare}/"]


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers]


def _query_string(scope: Scope) -> str:
    query: bytes = scope.get("query_string", b"")
    return query.decode(errors="replace")


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    if client is None:
        return None
    host, port = client
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
