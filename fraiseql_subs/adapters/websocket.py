"""WebSockets of any server: subclass `WebSocketAdapter`, and pass it to the handler."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .._core import CLOSE_TIMEOUT
from .._core_handle import CoreHandle
from .._settings import check_drain
from ..config import DRAIN, Drain
from ._handle import handle_of
from ._shutdown import watch_shutdown
from ._tasks import Peer, first_of, last_word

if TYPE_CHECKING:
    from .._core import Connection, Core
    from ..manager import SubscriptionManager


class WebSocketAdapter(ABC):
    """One WebSocket of any server. Subclass it: implement five methods, and set the attributes.

    Attributes:
        subprotocols: Subprotocols that the client offered in `Sec-WebSocket-Protocol`, in its
            order.
        headers: Headers of the handshake; names in lower case.
        remote_address: Address of the client as `host:port`; None: unknown.
        query_string: The part of the handshake's target after the `?`, undecoded.
    """

    subprotocols: Sequence[str] = ()
    headers: Iterable[tuple[str, str]] = ()
    remote_address: str | None = None
    query_string: str = ""

    @abstractmethod
    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake; with None without a subprotocol."""

    @abstractmethod
    async def receive_json(self) -> Any:
        """Wait for the next text message and decode it.

        Returns:
            Its JSON value; None if the client has disconnected; `bytes` for a binary message.

        Raises:
            json.JSONDecodeError: It is not JSON; the client receives an error.
        """

    @abstractmethod
    async def send_json(self, message: Any) -> None:
        """Send a JSON value as a text frame. Wait while the socket's buffer is full."""

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Close the socket; before `accept`, refuse the handshake."""

    @abstractmethod
    def is_connected(self) -> bool:
        """Whether the socket is open. Exceptions of a closed socket are ignored."""

    async def refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
        """Answer the handshake with a response, before `accept`; override it if the server can.

        Args:
            status: 403, 429 past a rate, or 503 when there are too many connections or the
                manager closes.
            headers: Names in lower case, and values, including the length of the body.
            body: JSON that says why.

        Returns:
            Whether it was answered. If not, which is the default, a client that may retry later is
            accepted and closed with 1013, and any other client is refused by `close`.
        """
        return False

    async def abort(self) -> bool:
        """Abort the connection at once, even with unsent data; override it if the server can.

        It is called for clients that do not read their close frame. If the socket has an asyncio
        transport, call its `abort()`.

        Returns:
            Whether it was aborted. If not, which is the default, the connection is counted in
            `connections_not_cut`, and your server keeps the socket until TCP times out.
        """
        return False

    async def receive_text(self) -> str | bytes | None:
        """Wait for the next message without decoding it; override it to avoid decoding in Python.

        Returns:
            Its text; None if the client has disconnected; `bytes` for a binary message.
        """
        try:
            message = await self.receive_json()
        except json.JSONDecodeError as error:
            return error.doc
        return message if message is None or isinstance(message, bytes) else json.dumps(message)

    async def send_bytes(self, payload: bytes) -> None:
        """Send one serialised JSON message as a **text** frame; override it to avoid decoding."""
        await self.send_json(json.loads(payload))


class TextAdapter(WebSocketAdapter):
    """A socket that passes text on; the runtime decodes it."""

    @abstractmethod
    async def receive_text(self) -> str | bytes | None:
        """Wait for the next message."""

    async def receive_json(self) -> Any:
        """Wait for the next message and decode it."""
        message = await self.receive_text()
        return json.loads(message) if isinstance(message, str) else message


class GraphQLTransportWSHandler:
    """Serves the WebSockets of any server with the same protocols as the embedded server.

    These are `graphql-transport-ws` and the older `graphql-ws`.

    Args:
        manager: The manager to serve. The first connection starts it if it was never started.
        drain: Time that running operations have when the program is asked to end (seconds). SIGTERM
            starts the drain if uvicorn or the event loop handles it (`loop.add_signal_handler`),
            and is passed on when all connections are closed; otherwise call
            `SubscriptionManager.close`.

    Raises:
        ConfigurationError: An argument is out of its range.
    """

    def __init__(self, manager: SubscriptionManager, *, drain: float | Drain = DRAIN) -> None:
        self._handle = handle_of(manager)
        self._drain = check_drain(drain)

    async def handle_connection(self, adapter: WebSocketAdapter, *, context: Any = None) -> None:
        """Serve one socket until it ends.

        Args:
            adapter: The socket, not yet accepted.
            context: Value that resolvers find as `context.value`, and `Security.authenticate` as
                `params.context`, such as the user that the application knows.

        It closes the socket with 1001 if it is cancelled or the manager is closed.

        Raises:
            ManagerClosed: The manager was started by a process that has forked this one.
        """
        await serve_socket(self._handle, adapter, context, self._drain)


async def serve_socket(
    handle: CoreHandle, adapter: WebSocketAdapter, context: Any, drain: Drain
) -> None:
    """Serve one socket until it ends; see `GraphQLTransportWSHandler.handle_connection`."""
    watch_shutdown(handle, drain)
    headers = [(name.lower(), value) for name, value in adapter.headers]
    peer = Peer(headers, adapter.remote_address, context, adapter.query_string)
    core = handle.core
    connection = core.connect(list(adapter.subprotocols), peer)
    try:
        if connection.refusal is not None:
            return await _refuse(core, adapter, connection.subprotocol, *connection.refusal)
        await adapter.accept(connection.subprotocol)
        closing: list[tuple[int, str]] = []
        await first_of(
            connection.ended,
            _receive(adapter, connection),
            _send(adapter, connection, closing),
        )
        # Only after the last receive has ended: in granian a close waits for it.
        for code, reason in closing:
            await _close(core, adapter, code, reason)
        if connection.ended.done() and not closing:
            if core.is_closed:
                await _close(core, adapter, 1001, "Going away")
            else:
                await _cut(core, adapter)
    except asyncio.CancelledError:
        # The server is shutting down, and would send an error code after which clients do not
        # reconnect.
        if adapter.is_connected():
            await last_word(adapter.close(1001, "Going away"))
        raise
    except Exception:
        if adapter.is_connected():
            raise
    finally:
        connection.closed()


async def _refuse(
    core: Core,
    adapter: WebSocketAdapter,
    subprotocol: str | None,
    status: int,
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    if await adapter.refuse(status, headers, body):
        return
    if status in (429, 503):
        # A client cannot see why a handshake is refused, but a close code tells it to retry later.
        await adapter.accept(subprotocol)
        await _close(core, adapter, 1013, "Try again later")
    else:
        await _close(core, adapter, 4403, "Forbidden")


async def _close(core: Core, adapter: WebSocketAdapter, code: int, reason: str) -> None:
    """Close a socket; abort it if the client does not read the close frame."""
    try:
        await asyncio.wait_for(adapter.close(code, reason), CLOSE_TIMEOUT)
    except asyncio.TimeoutError:
        await _cut(core, adapter)


async def _cut(core: Core, adapter: WebSocketAdapter) -> None:
    if not await adapter.abort():
        core.not_cut()


async def _receive(adapter: WebSocketAdapter, connection: Connection) -> None:
    # No reference to a message is kept while waiting for the next one.
    while (room := await _hand_in(adapter, connection)) is not False:
        if room is not None:
            await room


async def _hand_in(
    adapter: WebSocketAdapter, connection: Connection
) -> asyncio.Future[None] | Literal[False] | None:
    """Wait for a message and pass it on; return a future to await next, or False at the end."""
    message = await adapter.receive_text()
    if message is None:
        return False
    if isinstance(message, bytes):
        connection.receive_binary()
        return None
    return connection.receive_text(message)


async def _send(
    adapter: WebSocketAdapter, connection: Connection, closing: list[tuple[int, str]]
) -> None:
    while (batch := connection.take()) is not None:
        if isinstance(batch, asyncio.Future):
            await batch
            continue
        for message in batch:
            if isinstance(message, bytes):
                await adapter.send_bytes(message)
            else:
                closing.append(message)
                return
