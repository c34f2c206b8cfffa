"""A raw graphql-transport-ws client: sends any messages of a test, also invalid ones.

Built on `websockets`, which implements RFC 6455 and not GraphQL.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from typing import Any

from typing_extensions import Self
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from support.waiting import PATIENCE

SUBPROTOCOL = "graphql-transport-ws"


class ProtocolClient:
    """One WebSocket connection that speaks the protocol message by message."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._ids = itertools.count(1)
        self._received: deque[dict[str, Any]] = deque()

    @classmethod
    async def connect(
        cls, url: str, *, subprotocols: list[str] | None = None, **options: Any
    ) -> Self:
        """Open a socket without sending a message; `subprotocols=[]` offers none."""
        offered = [SUBPROTOCOL] if subprotocols is None else subprotocols
        options.setdefault("max_size", None)
        # With unread messages, closing would take the whole timeout.
        options.setdefault("close_timeout", 0.5)
        # A busy machine is slow.
        options.setdefault("open_timeout", PATIENCE)
        return cls(await open_websocket(url, subprotocols=offered or None, **options))

    async def init(self, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send `connection_init` and return the `connection_ack`."""
        message: dict[str, Any] = {"type": "connection_init"}
        if payload is not None:
            message["payload"] = payload
        await self.send(message)
        acknowledgement = await self.receive()
        assert acknowledgement["type"] == "connection_ack"
        return acknowledgement

    async def subscribe(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        *,
        id: str | None = None,
        operation_name: str | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> str:
        """Subscribe and return the id; an event published afterwards reaches the subscription."""
        id = str(next(self._ids)) if id is None else id
        payload: dict[str, Any] = {"query": query}
        if variables is not None:
            payload["variables"] = variables
        if operation_name is not None:
            payload["operationName"] = operation_name
        if extensions is not None:
            payload["extensions"] = extensions
        await self.send({"id": id, "type": "subscribe", "payload": payload})
        await self.settle()
        return id

    async def settle(self) -> None:
        """Return when the server has handled all sent messages: sends a ping and waits for its
        answer.
        """
        await self.send({"type": "ping"})
        while (message := await self._next_message())["type"] != "pong":
            self._received.append(message)

    @property
    def has_received(self) -> bool:
        """Whether a message waits for `receive`; call `settle` before."""
        return bool(self._received)

    async def complete(self, id: str) -> None:
        """End a subscription from this side."""
        await self.send({"id": id, "type": "complete"})
        await self.settle()

    async def send(self, message: dict[str, Any] | str | bytes) -> None:
        """Send a message; text and bytes go as they are."""
        if isinstance(message, dict):
            message = json.dumps(message)
        await self.socket.send(message)

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""
        return self._received.popleft() if self._received else await self._next_message()

    async def receive_next(self, id: str | None = None) -> dict[str, Any]:
        """Return the payload of the next message, which must be a `next`."""
        message = await self.receive()
        assert message["type"] == "next", message
        assert id is None or message["id"] == id, message
        return message["payload"]

    async def receive_data(self, id: str | None = None) -> Any:
        """Return the data of the next message, which has to be a `next` without errors."""
        payload = await self.receive_next(id)
        assert "errors" not in payload, payload
        return payload["data"]

    async def receive_errors(self, id: str | None = None) -> list[dict[str, Any]]:
        """Return the errors of the next message, which has to be an `error`."""
        message = await self.receive()
        assert message["type"] == "error", message
        assert id is None or message["id"] == id, message
        return message["payload"]

    async def expect_close(self, code: int, reason: str | None = None) -> str:
        """Wait for the server's close, after no further message; return its reason."""
        assert not self._received, self._received
        try:
            message = await asyncio.wait_for(self.socket.recv(), PATIENCE)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, f"the socket ended without a close: {closed}"
            assert closed.rcvd.code == code, closed.rcvd
            if reason is not None:
                assert closed.rcvd.reason == reason
            return closed.rcvd.reason
        raise AssertionError(f"a message came instead of the close: {message!r}")

    def kill(self) -> None:
        """End the connection like a lost network: without a close frame."""
        self.socket.transport.abort()

    async def close(self) -> None:
        """Close the socket."""
        await self.socket.close()

    async def _next_message(self) -> dict[str, Any]:
        text = await asyncio.wait_for(self.socket.recv(), PATIENCE)
        assert isinstance(text, str), "messages of the protocol are text frames"
        return json.loads(text)
