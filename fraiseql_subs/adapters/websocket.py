"""WebSockets of any server: subclass `WebSocketAdapter`, hand it to the handler."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .._core import CLOSE_TIMEOUT
from .._core_handle import CoreHandle
from .._settings import check_drain
from ..config import DRAIN
from ._handle import handle_of
from ._shutdown import watch_shutdown
from ._tasks import Peer, first_of, last_word

if TYPE_CHECKING:
    from .._core import Connection, Core
    from ..manager import SubscriptionManager


class WebSocketAdapter(ABC):
    """One WebSocket of some server. Subclass it: five methods, and what is known of the client.

    Attributes:
        subprotocols: What the client offered in `Sec-WebSocket-Protocol`, in its order.
        headers: Headers of the handshake; names in lower case.
        remote_address: Address of the client as `host:port`; None: unknown.
        query_string: What follows the `?` of the handshake's target, undecoded.
    """

    subprotocols: Sequence[str] = ()
    headers: Iterable[tuple[str, str]] = ()
    remote_address: str | None = None
    query_string: str = ""

    @abstractmethod
    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake; with None no subprotocol is named in it."""

    @abstractmethod
    async def receive_json(self) -> Any:
        """Wait for the next text message and decode it.

        Returns:
            Its JSON value; None when the client has left; `bytes` for a binary message.

        Raises:
            json.JSONDecodeError: It is not JSON; the client is told so.
        """

    @abstractmethod
    async def send_json(self, message: Any) -> None:
        """Send a JSON value as a text frame. Waits while the socket takes nothing."""

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Close the socket; before `accept` it refuses the handshake."""

    @abstractmethod
    def is_connected(self) -> bool:
        """Whether the socket is open. Errors of a socket that is not are no errors."""

    async def refuse(self, status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
        """Answer the handshake with a response, before `accept`; override it where you can.

        Args:
            status: 403, 429 past a rate, or 503 when there are too many connections or the
                manager closes.
            headers: Names in lower case, and values; among them the length of the body.
            body: JSON that says why.

        Returns:
            Whether it was answered. If not, as by default, a client that may come back later is
            accepted and closed with 1013, and any other is refused by `close`.
        """
        return False

    async def abort(self) -> bool:
        """Cut the socket at once, whatever waits to be sent; override it where you can.

        It is called for clients that do not take their close. Where sockets have an asyncio
        transport, call its `abort()`.

        Returns:
            Whether it was cut. If not, as by default, `connections_not_cut` counts, and your
            server holds the socket until the network gives up.
        """
        return False

    async def receive_text(self) -> str | bytes | None:
        """Wait for the next message as it is; override it to save the decoding.

        Returns:
            Its text; None when the client has left; `bytes` for a binary message.
        """
        try:
            message = await self.receive_json()
        except json.JSONDecodeError as error:
            return error.doc
        return message if message is None or isinstance(message, bytes) else json.dumps(message)

    async def send_bytes(self, payload: bytes) -> None:
        """Send one serialised JSON message as a **text** frame; override it to save decoding."""
        await self.send_json(json.loads(payload))


class GraphQLTransportWSHandler:
    """Serves the sockets of any server; the protocol is that of the embedded one.

    Clients of the older `graphql-ws` subprotocol are served as well.

    Args:
        manager: What is served. It is started with the first connection if it never was.
        drain: Time that operations under way have when the program is asked to end (seconds).
            SIGTERM is noticed where uvicorn or the event loop handles it
            (`loop.add_signal_handler`), and handed on when all connections have left; elsewhere
            call `SubscriptionManager.close`.

    Raises:
        ConfigurationError: An argument is out of its range.
    """

    def __init__(self, manager: SubscriptionManager, *, drain: float = DRAIN) -> None:
        self._handle = handle_of(manager)
        check_drain(drain)
        self._drain = drain

    async def handle_connection(self, adapter: WebSocketAdapter, *, context: Any = None) -> None:
        """Serve one socket until it ends.

        Args:
            adapter: The socket; not accepted yet.
            context: What resolvers find as `context.value` and `Security.authenticate` as
                `params.context`, such as the user that the application knows.

        Cancelled, it closes the socket with 1001; so it does when the manager is closed.

        Raises:
            ManagerClosed: The manager was started by a process that has forked this one.
        """
        await serve_socket(self._handle, adapter, context, self._drain)


async def serve_socket(
    handle: CoreHandle, adapter: WebSocketAdapter, context: Any, drain: float
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
        # Not before the last receive has ended: granian lets a close wait for that.
        for code, reason in closing:
            await _close(core, adapter, code, reason)
        if connection.ended.done() and not closing:
            if core.is_closed:
                await _close(core, adapter, 1001, "Going away")
            else:
                await _cut(core, adapter)
    except asyncio.CancelledError:
        # The server ends. What it would say for us is an error, after which no client returns.
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
        # Of a refused handshake clients learn nothing, of a close that they may come back.
        await adapter.accept(subprotocol)
        await _close(core, adapter, 1013, "Try again later")
    else:
        await _close(core, adapter, 4403, "Forbidden")


async def _close(core: Core, adapter: WebSocketAdapter, code: int, reason: str) -> None:
    """Close a socket; cut it if the client does not take the close."""
    try:
        await asyncio.wait_for(adapter.close(code, reason), CLOSE_TIMEOUT)
    except asyncio.TimeoutError:
        await _cut(core, adapter)


async def _cut(core: Core, adapter: WebSocketAdapter) -> None:
    if not await adapter.abort():
        core.not_cut()


async def _receive(adapter: WebSocketAdapter, connection: Connection) -> None:
    # No message is held while the next one is waited for.
    while (room := await _hand_in(adapter, connection)) is not False:
        if room is not None:
            await room


async def _hand_in(
    adapter: WebSocketAdapter, connection: Connection
) -> asyncio.Future[None] | Literal[False] | None:
    """Wait for a message and hand it in; return what to await before the next, False at the end."""
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
