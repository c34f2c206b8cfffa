"""aiohttp: routes for WebSocket and HTTP."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web
from multidict import CIMultiDict

from .._callables import check_callable
from .._settings import check_drain, check_route
from ..config import DRAIN, Drain
from ._handle import handle_of
from .asgi import ASGICall, Scope, serve_http, spell_address, spellings
from .websocket import TextAdapter, serve_socket

if TYPE_CHECKING:
    from ..manager import SubscriptionManager

PINGS = 20.0
"""Interval of pings (seconds): clients of the older subprotocol answer to nothing else."""

POLL = 1.0
"""Interval at which a request looks whether its client has left (seconds)."""


def create_routes(
    manager: SubscriptionManager,
    *,
    path: str = "/graphql",
    context: Callable[[web.Request], Any] | None = None,
    drain: float | Drain = DRAIN,
) -> list[web.RouteDef]:
    """Create the routes for WebSocket and HTTP clients; `app.add_routes(create_routes(manager))`.

    Args:
        manager: The manager to serve. The first client starts it; enter it in `app.cleanup_ctx`,
            which starts and closes it with the application.
        path: Path of the GraphQL endpoint, with and without a slash at its end.
        context: Function, async or not, that takes the request. Resolvers find its result as
            `context.value`, and `Security.authenticate` as `params.context`. None: no value.
        drain: Time that operations under way have when the program is asked to end (seconds), or
            `Drain(...)`, which also sets how clients are sent away.

    Raises:
        ConfigurationError: An argument is out of its range.
    """
    handle = handle_of(manager)
    settings = check_drain(drain)
    check_route(path)
    if context is not None:
        check_callable("context", context, "request")

    async def serve(request: web.Request) -> web.StreamResponse:
        value = None if context is None else context(request)
        if inspect.isawaitable(value):
            value = await value
        if _is_handshake(request):
            socket = AiohttpWebSocket(request, handle.max_message_bytes)
            await serve_socket(handle, socket, value, settings)
            return socket.response
        exchange = _Exchange(request)
        call = ASGICall(handle, exchange.scope, exchange.receive, exchange.send, value, settings)
        await serve_http(call)
        await exchange.end()
        return exchange.response

    return [web.route("*", way, serve, expect_handler=_expect) for way in spellings(path)]


def _is_handshake(request: web.Request) -> bool:
    return request.method == "GET" and request.headers.get("upgrade", "").lower() == "websocket"


async def _expect(request: web.Request) -> None:
    """Leave `Expect: 100-continue` to the exchange: a request may be refused by its head."""
    if request.headers.get("expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed


class AiohttpWebSocket(TextAdapter):
    """The socket of one request.

    Attributes:
        response: What the handler returns to aiohttp.
    """

    def __init__(self, request: web.Request, max_message_bytes: int) -> None:
        offered = ",".join(request.headers.getall("sec-websocket-protocol", []))
        self.subprotocols = [name for part in offered.split(",") if (name := part.strip())]
        self.headers = [(name.lower(), value) for name, value in request.headers.items()]
        self.remote_address = _address(request)
        self.query_string = request.rel_url.raw_query_string
        self.response: web.StreamResponse = web.Response(status=403)
        # The runtime refuses a message past its limit; aiohttp does so only for much larger ones.
        self._options: dict[str, Any] = {"heartbeat": PINGS, "max_msg_size": 2 * max_message_bytes}
        self._request = request
        self._socket: web.WebSocketResponse | None = None

    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""
        protocols = () if subprotocol is None else (subprotocol,)
        socket = web.WebSocketResponse(protocols=protocols, compress=False, **self._options)
        self.response = self._socket = socket
        try:
            await socket.prepare(_offering(self._request, protocols))
        except ValueError as error:
            # Such as a key with a character that is not ASCII.
            raise web.HTTPBadRequest(text="The handshake is malformed") from error

    async def refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
        """Answer the handshake with this response."""
        self.response = web.Response(status=status, headers=CIMultiDict(headers), body=body)
        return True

    async def receive_text(self) -> str | bytes | None:
        """Wait for the next message."""
        assert self._socket is not None
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        return bytes(message.data) if message.type is WSMsgType.BINARY else None

    async def send_bytes(self, payload: bytes) -> None:
        """Send one serialised message."""
        assert self._socket is not None
        await self._socket.send_str(payload.decode())

    async def send_json(self, message: Any) -> None:
        """Send a JSON value."""
        await self.send_bytes(json.dumps(message).encode())

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; before `accept`, the response refuses the handshake."""
        if self._socket is not None:
            await self._socket.close(code=code, message=reason.encode())

    async def abort(self) -> bool:
        """Abort the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return True

    def is_connected(self) -> bool:
        """Whether the socket is open."""
        return self._socket is not None and not self._socket.closed


HANDSHAKE = ("connection", "upgrade", "sec-websocket-key", "sec-websocket-version")


def _offering(request: web.Request, protocols: tuple[str, ...]) -> web.Request:
    """Offer what was chosen: aiohttp reads one field, and logs a name that it does not know."""
    # A request is cloned only if its fields are UTF-8, which may be wrong of the others.
    fields = [item for item in request.headers.items() if item[0].lower() in HANDSHAKE]
    fields += [("sec-websocket-protocol", name) for name in protocols]
    return request.clone(headers=CIMultiDict(fields))


class _Exchange:
    """One request and its response, as an ASGI application sees them."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._is_encoded = _is_encoded(request)
        self._is_read = self._is_asked_for = self._is_broken = False
        self.response = web.StreamResponse(status=503)

    @property
    def scope(self) -> Scope:
        """The request as an `http` scope."""
        request = self._request
        transport = request.transport
        return {
            "type": "http",
            "http_version": f"{request.version.major}.{request.version.minor}",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.raw_headers],
            "query_string": request.rel_url.raw_query_string.encode(),
            "client": _ends(transport, "peername"),
            "server": _ends(transport, "sockname"),
        }

    async def receive(self) -> MutableMapping[str, Any]:
        """Wait for a part of the body, and after the last one until the client has left."""
        if self._is_read:
            # aiohttp tells of it by cancelling the handler, if at all.
            while not self._has_left:  # noqa: ASYNC110
                await asyncio.sleep(POLL)
            return {"type": "http.disconnect"}
        if self._is_encoded:
            # It is refused by its head. Reading it would make aiohttp decompress it.
            self._is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}
        try:
            await self._ask()
            part = await self._request.content.readany()
        except OSError:
            return {"type": "http.disconnect"}
        except web.RequestPayloadError:
            self._is_broken = True
            return {"type": "http.disconnect"}
        self._is_read = self._request.content.at_eof()
        return {"type": "http.request", "body": part, "more_body": not self._is_read}

    async def _ask(self) -> None:
        """Tell a client that waits for it to send the body."""
        request = self._request
        if not self._is_asked_for and "expect" in request.headers and request.version >= (1, 1):
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # The response has not begun.
            request.writer.output_size = 0
        self._is_asked_for = True

    @property
    def _has_left(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send the head, or a part of the body, of the response."""
        if message["type"] == "http.response.start":
            headers = CIMultiDict(
                (name.decode(), value.decode("latin-1")) for name, value in message["headers"]
            )
            self.response = web.StreamResponse(status=message["status"], headers=headers)
            if self._is_left_unread:
                self.response.force_close()
            await self.response.prepare(self._request)
        elif message.get("more_body", False):
            await self.response.write(message["body"])
        else:
            await self.response.write_eof(message.get("body", b""))

    async def end(self) -> None:
        """Answer a broken body, and close the connection after a body that is not to be read."""
        if self._is_broken and not self._has_left:
            self.response = web.Response(status=400, text="The body of the request is malformed")
            self.response.force_close()
            await self.response.prepare(self._request)
            await self.response.write_eof()
        if self._is_left_unread:
            # Otherwise aiohttp would read the rest, and log what it cannot read as an error.
            self._request.protocol.force_close()

    @property
    def _is_left_unread(self) -> bool:
        return (self._is_encoded or self._is_broken) and not self._request.content.is_eof()


def _is_encoded(request: web.Request) -> bool:
    """Whether a body has a content coding, by the rule by which the runtime refuses it."""
    codings = ",".join(request.headers.getall("content-encoding", ())).split(",")
    return any(coding.strip().lower() not in ("", "identity") for coding in codings)


def _ends(transport: asyncio.Transport | None, name: str) -> tuple[str, int] | None:
    found = None if transport is None else transport.get_extra_info(name)
    return (found[0], found[1]) if isinstance(found, tuple) and len(found) >= 2 else None


def _address(request: web.Request) -> str | None:
    ends = _ends(request.transport, "peername")
    return None if ends is None else spell_address(*ends)
