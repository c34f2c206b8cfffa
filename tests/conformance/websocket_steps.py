"""Steps of the WebSocket protocols.

- `send`: a message; `send_text`, `send_binary`: as they are; `send_fragments`: parts of one text
  message, with `{"ping": ...}` and `{"pong": ...}` frames between them
- `receive`: the next message, exactly; `close`: the close code and reason of the server
- `leave`: the socket is closed without a close frame
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from application import Application
from support.protocol_client import ProtocolClient
from transcript import Run, matches
from typing_extensions import Self
from websockets.frames import Frame, Opcode


class WebSocketRun(Run):
    """One transcript over one socket."""

    def __init__(self, application: Application, client: ProtocolClient) -> None:
        super().__init__(application)
        self.client = client

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, application: Application, url: str, subprotocol: str
    ) -> AsyncIterator[Self]:
        """Connect a client that has not sent a message yet."""
        client = await ProtocolClient.connect(url, subprotocols=[subprotocol])
        try:
            assert client.socket.subprotocol == subprotocol
            yield cls(application, client)
        finally:
            await client.close()

    async def send(self, message: Any) -> None:
        await self.client.send(message)

    send_text = send

    async def send_binary(self, text: str) -> None:
        await self.client.send(text.encode())

    async def send_fragments(self, parts: list[Any]) -> None:
        write = self.client.socket.transport.write
        opcode = Opcode.TEXT
        for index, part in enumerate(parts):
            if isinstance(part, dict):
                ((control, payload),) = part.items()
                frame = Frame(Opcode[control.upper()], payload.encode())
            else:
                frame = Frame(opcode, part.encode(), fin=index == len(parts) - 1)
                opcode = Opcode.CONT
            write(frame.serialize(mask=True))

    async def receive(self, expected: Any) -> None:
        message = await self.client.receive()
        assert matches(message, expected), f"received {message}"

    async def close(self, expected: dict[str, Any]) -> None:
        reason = await self.client.expect_close(expected["code"])
        assert matches(reason, expected["reason"]), f"the reason was {reason!r}"

    async def leave(self, _: Any) -> None:
        self.client.socket.transport.abort()
