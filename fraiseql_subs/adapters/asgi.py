"""Plain ASGI: WebSocket and HTTP for any framework that mounts an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .._callables import check_callable
from .._core import CLOSE_TIMEOUT
from .._core_handle import CoreHandle
from .._ownership import Ownership
from .._settings import check_drain
from ..config import DRAIN, Drain
from ..errors import FraiseQLSubsError
from ._handle import handle_of
from ._shutdown import watch_shutdown
from ._sockets import Ends, cut, cut_unless_closed, ends_of, limit
from ._tasks import Peer, first_of, last_word, within
from .websocket import TextAdapter, serve_socket

if TYPE_CHECKING:
    from .._core import Response
    from ..manager import SubscriptionManager

# Frameworks have types of their own for these mappings, such as TypedDicts, that fit no other type.
Scope: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]


class GraphQLApp:
    """An ASGI application that serves a manager at every path below where it is mounted.

    Args:
        manager: The manager to serve. If the application has the lifespan of the server, as when it
            is run alone, the manager is started and closed with the server; if it is mounted, its
            first client starts it, and the owner of the manager closes it.
        context: Function, async or not, that takes the ASGI scope. Resolvers find its result as
            `context.value`, and `Security.authenticate` as `params.context`. None: no value.
        drain: Time that operations under way have when the server is asked to end (seconds), or
            `Drain(...)`, which also sets how clients are sent away.

    Raises:
        ConfigurationError: An argument is out of its range.
    """

    def __init__(
        self,
        manager: SubscriptionManager,
        *,
        context: Callable[[Scope], Any] | None = None,
        drain: float | Drain = DRAIN,
    ) -> None:
        self._handle = handle_of(manager)
        if context is not None:
            check_callable("context", context, "scope")
        self._context = context
        self._drain = check_drain(drain)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, request or lifespan."""
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        context = None if self._context is None else self._context(scope)
        if inspect.isawaitable(context):
            context = await context
        call = ASGICall(self._handle, scope, receive, send, context, self._drain)
        if scope["type"] == "websocket":
            await serve_websocket(call)
        elif scope["type"] == "http":
            await serve_http(call)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            ownership = Ownership.enter(self._handle)
        except FraiseQLSubsError as error:
            # An exception would tell the server that the application has no lifespan.
            return await send({"type": "lifespan.startup.failed", "message": str(error)})
        await send({"type": "lifespan.startup.complete"})
        await receive()
        # No client can come any more.
        await ownership.leave(self._drain.announced())
        await send({"type": "lifespan.shutdown.complete"})


@dataclass(frozen=True, slots=True)
class ASGICall:
    """One call of an ASGI application.

    Attributes:
        handle: The manager to serve.
        scope: As in ASGI, like `receive` and `send`.
        context: Value that resolvers find as `context.value`.
        drain: Time that operations under way have when the server is asked to end (seconds).
    """

    handle: CoreHandle
    scope: Scope
    receive: Receive
    send: Send
    context: Any
    drain: Drain


async def serve_websocket(call: ASGICall) -> None:
    """Serve one `websocket` scope until it ends."""
    adapter = ASGIWebSocket(call.scope, call.receive, call.send)
    # A server that shuts down cancels this task, and would log `CancelledError` as an error.
    with contextlib.suppress(asyncio.CancelledError):
        await serve_socket(call.handle, adapter, call.context, call.drain)


async def serve_http(call: ASGICall) -> None:
    """Answer one `http` scope: a query, a mutation, or a subscription as a stream."""
    watch_shutdown(call.handle, call.drain)
    sending = _Sending(call.send)
    try:
        if not call.handle.core.is_closed:
            await _answer(call, sending)
        else:
            await sending.end()
    except asyncio.CancelledError:
        await last_word(sending.end())


async def _answer(call: ASGICall, send: _Sending) -> None:
    scope, handle = call.scope, call.handle
    peer = Peer(_headers(scope), _address(scope), call.context, _query_string(scope))
    admission = handle.core.admit(scope["method"], peer)
    refusal = admission.refusal()
    if refusal is not None:
        # `receive` is not called, as it would make the server request the body from the client.
        with contextlib.suppress(OSError):
            await _respond(refusal, send)
        return
    reading = _body(call.receive, handle.max_message_bytes)
    try:
        body = await within(handle.request_timeout, reading)
    except asyncio.TimeoutError:
        with contextlib.suppress(OSError):
            await _respond(admission.late(), send, is_last=not _is_shared(scope))
        return
    if body is None:
        return admission.abandoned()
    # The operation is cancelled if the client disconnects before the response.
    leaving = asyncio.ensure_future(_departure(call.receive))
    answering = asyncio.ensure_future(admission.answer(body))
    try:
        either: list[asyncio.Future[Any]] = [answering, leaving]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            await _hand_over(call, answering.result(), send, leaving)
    finally:
        answering.cancel()
        leaving.cancel()


async def _hand_over(
    call: ASGICall, response: Response, send: _Sending, leaving: asyncio.Task[None]
) -> None:
    try:
        await first_of(response.ended, _respond(response, send), leaving)
        if response.ended.done():
            await _cut_response(call, send)
        elif response.is_cut_short:
            # Otherwise the end of the response would wait forever for a client that reads nothing.
            limit(_ends(call.scope))
    except OSError:
        # Some servers raise when the application writes to a client that has disconnected.
        pass
    finally:
        response.closed()


async def _cut_response(call: ASGICall, send: _Sending) -> None:
    """End a response whose client reads nothing, or whose manager has ended."""
    core = call.handle.core
    if core.is_closed:
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(send.end(), CLOSE_TIMEOUT)
    if not (_is_shared(call.scope) or await cut(_ends(call.scope))):
        core.not_cut()
    await _until(_departure(call.receive))


class _Sending:
    """Sends a response, and remembers which part has been sent."""

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
        """Wait until the server has noticed: it logs an error if the application ends first."""
        if not self._has_begun:
            headers = [(b"content-length", b"0"), (b"retry-after", b"1")]
            await self({"type": "http.response.start", "status": 503, "headers": headers})
        if not self._is_over:
            await self({"type": "http.response.body", "body": b""})


async def _body(receive: Receive, limit: int) -> bytes | None:
    """Read a body, up to just above the size limit; None if the client has disconnected."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > limit:
            return bytes(body)
    return None


async def _respond(response: Response, send: Send, *, is_last: bool = False) -> None:
    headers = _encoded(response.headers)
    if is_last:
        # What the client still sends is no further request.
        headers.append((b"connection", b"close"))
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
    while not (await receive())["type"].endswith(".disconnect"):
        pass


NOTICE_TIMEOUT = 1.0
"""Seconds that a server needs to notice that its socket was shut down."""


async def _until(departure: Awaitable[None]) -> None:
    """Wait until the server has noticed; it logs an error if the application ends earlier."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(departure, NOTICE_TIMEOUT)


_SERVICE_RESTART = 1012
"""Close code that uvicorn sends to applications when it shuts down."""


class ASGIWebSocket(TextAdapter):
    """The socket of one `websocket` scope."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.subprotocols = scope.get("subprotocols", ())
        self.headers = _headers(scope)
        self.remote_address = _address(scope)
        self.query_string = _query_string(scope)
        self._ends, self._is_shared = _ends(scope), _is_shared(scope)
        self._can_respond = "websocket.http.response" in scope.get("extensions", ())
        self._receive = receive
        self._send = send
        self._connected = True
        self._is_accepted = False

    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""
        message = await self._receive()
        if message["type"] == "websocket.connect":
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol})
            self._is_accepted = True

    async def refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
        """Answer the handshake with a response, if the server supports it."""
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
            if message.get("code") == _SERVICE_RESTART:
                # The server has closed it, and waits until the client reads the close frame.
                cut_unless_closed(self._ends)
            return None
        text: str | None = message.get("text")
        return text if text is not None else bytes(message["bytes"])

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
        if self._is_accepted:
            # The server has buffered the close frame, and waits until the client reads it.
            cut_unless_closed(self._ends)

    async def abort(self) -> bool:
        """Shut down the socket without the server."""
        is_cut = self._is_shared or await cut(self._ends)
        self._connected = False
        await _until(_departure(self._receive))
        return is_cut

    def is_connected(self) -> bool:
        """Whether the socket is open."""
        return self._connected


def _headers(scope: Scope) -> list[tuple[str, str]]:
    return [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]


def spellings(path: str) -> list[str]:
    """List a path with and without a trailing slash, which people and proxies add."""
    bare = path.rstrip("/")
    return ["/"] if path == "/" else [bare, f"{bare}/"]


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers]


def _query_string(scope: Scope) -> str:
    query: bytes = scope.get("query_string", b"")
    return query.decode(errors="replace")


_FORWARDED = (b"x-forwarded-for", b"x-real-ip", b"forwarded")


def _ends(scope: Scope) -> Ends | None:
    """Return the addresses of the client's socket; None: unknown, or shared with other clients."""
    if _is_shared(scope) or any(name in _FORWARDED for name, _ in scope["headers"]):
        # A server may trust such a header, in which a client can write another client's address.
        return None
    return ends_of(scope.get("client"), scope.get("server"))


def _is_shared(scope: Scope) -> bool:
    """Whether it is one of several streams of a socket; the server resets such a stream itself."""
    return str(scope.get("http_version", "")).startswith(("2", "3"))


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    if client is None:
        return None
    host, port = client
    return spell_address(host, port)


def spell_address(host: str, port: int) -> str:
    """Spell the address of a client as `host:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
