"""Transcripts of a protocol: what a client does, and what it must see.

A step is an object with one member:

- `send`: a message; `send_text`, `send_binary`: as they are; `send_fragments`: parts of one text
  message, with `{"ping": ...}` and `{"pong": ...}` frames between them
- `receive`: the next message, exactly; `close`: the close code and reason of the server
- `publish`: channel and data; `close_server`: the manager closes
- `wait_for_authentication`, `let_in`: the hook was entered; the hook accepts
- `pause`: seconds in which a timer could fire that must not

In what is expected `{"$errors": n}` is a list of n GraphQL errors with texts of any kind; a reason
may be `{"$starts": ..., "$ends": ..., "$max_bytes": ...}`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from protocol_client import PATIENCE, ProtocolClient
from websockets.frames import Frame, Opcode

from fraiseql_subs import SubscriptionManager


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the transcripts of a folder by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


class Run:
    """One transcript against one server."""

    def __init__(self, client: ProtocolClient, manager: SubscriptionManager, door: Any) -> None:
        self.client = client
        self.manager = manager
        self.door = door
        self.closing: asyncio.Future[None] | None = None

    async def play(self, steps: list[dict[str, Any]]) -> None:
        """Carry out the steps; fails at the first that is not as expected."""
        for number, step in enumerate(steps, 1):
            ((kind, value),) = step.items()
            try:
                await getattr(self, kind)(value)
            except AssertionError as error:
                raise AssertionError(f"step {number}, {step}: {error}") from error
        if self.closing is not None:
            await self.closing

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

    async def publish(self, event: dict[str, Any]) -> None:
        await self.manager.publish(event["channel"], event["data"])

    async def close_server(self, _: Any) -> None:
        self.closing = asyncio.ensure_future(self.manager.close())

    async def wait_for_authentication(self, _: Any) -> None:
        await asyncio.wait_for(self.door.entered.wait(), PATIENCE)

    async def let_in(self, _: Any) -> None:
        self.door.opened.set()

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def matches(actual: Any, expected: Any) -> bool:
    """Compare exactly but for the markers."""
    if isinstance(expected, dict):
        if "$errors" in expected:
            return _are_errors(actual, expected["$errors"])
        if "$starts" in expected:
            return (
                actual.startswith(expected["$starts"])
                and actual.endswith(expected.get("$ends", ""))
                and len(actual.encode()) <= expected.get("$max_bytes", 123)
            )
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(matches(actual[key], expected[key]) for key in expected)
        )
    return actual == expected and type(actual) is type(expected)


def _are_errors(actual: Any, count: int) -> bool:
    return (
        isinstance(actual, list)
        and len(actual) == count
        and all(isinstance(e.get("message"), str) and e["message"] for e in actual)
        and all(e.keys() <= {"message", "locations", "path", "extensions"} for e in actual)
    )
