"""Runs nodes, and clients of them, for measurements."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import websockets

NODE = Path(__file__).with_name("node.py")

PATIENCE = 30.0
"""Longest wait for an answer (seconds)."""

QUERY = """subscription ($channel: String!, $userId: Int) {
  feed(channel: $channel, userId: $userId) { id userId status total note }
}"""


class Node:
    """A node in a process of its own; `async with Node(redis.url) as node`.

    Args:
        bus: URL of its bus.
        has_history: Whether it keeps events for clients that return.
        table: Table of PostgreSQL whose rows are events.
        arguments: Further arguments of its program.

    Attributes:
        url: Where clients connect.
    """

    def __init__(
        self,
        bus: str,
        *,
        has_history: bool = True,
        table: str | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self._command = [sys.executable, str(NODE), "--bus", bus, *arguments]
        if not has_history:
            self._command.append("--no-history")
        if table is not None:
            self._command += ["--table", table]
        self.url = ""

    async def __aenter__(self) -> Node:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe
        )
        self.url = await self._read()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def wait(self) -> float:
        """Wait until it has ended; return when (seconds since the epoch)."""
        await self._process.wait()
        return time.time()

    async def _read(self) -> str:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if not line:
            raise SystemExit(f"a node has ended: {' '.join(self._command)}")
        return line.decode().strip()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def publish(self, count: int) -> None:
        """Make it publish a batch to the channel `feed`; does not wait for it."""
        self._tell(f"publish {count}")

    async def stats(self) -> dict[str, Any]:
        """Ask for its CPU time, its clock and its counters."""
        self._tell("stats")
        return json.loads(await self._read())

    async def until(self, events: int) -> dict[str, Any]:
        """Ask for the same once it has broadcast so many events since its start, or no more come.

        CPU time and clock are those of the last event.
        """
        self._tell(f"until {events}")
        return json.loads(await self._read())


class Client:
    """A connection to a node; `async with Client(node) as client`."""

    def __init__(self, node: Node) -> None:
        self._connecting = websockets.connect(
            node.url.replace("http://", "ws://"),
            subprotocols=["graphql-transport-ws"],
            max_queue=None,
            ping_interval=None,
            compression=None,
        )
        self._subscribed = 0

    async def __aenter__(self) -> Client:
        self._socket = await self._connecting
        await self._send({"type": "connection_init"})
        assert (await self.receive())["type"] == "connection_ack"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._socket.close()

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Wait for the next message."""
        return json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE))

    async def take(self, count: int) -> None:
        """Wait for so many messages."""

        async def take() -> None:
            for _ in range(count):
                await self._socket.recv()

        await asyncio.wait_for(take(), PATIENCE)

    async def subscribe(
        self, channel: str, *, user: int | None = None, resume: dict[str, str] | None = None
    ) -> str:
        """Subscribe to a channel; return the subscription's id.

        Args:
            channel: Its name.
            user: Whose orders are wanted; None: all.
            resume: The extension of that name; None: none.
        """
        self._subscribed += 1
        name = str(self._subscribed)
        variables = {"channel": channel} if user is None else {"channel": channel, "userId": user}
        payload: dict[str, Any] = {"query": QUERY, "variables": variables}
        if resume is not None:
            payload["extensions"] = {"resume": resume}
        await self._send({"id": name, "type": "subscribe", "payload": payload})
        return name

    async def complete(self, name: str) -> None:
        """End a subscription, and wait until the node has read that."""
        await self._send({"id": name, "type": "complete"})
        await self._send({"type": "ping"})
        while (await self.receive())["type"] != "pong":
            pass

    async def begin(self, channel: str, user: int | None = None) -> None:
        """Subscribe, and wait until the engine delivers the channel to the node."""
        await self.begin_all([channel], user)

    async def begin_all(self, channels: list[str], user: int | None = None) -> None:
        """Subscribe to channels, and wait until the engine delivers all of them to the node."""
        for channel in channels:
            await self.subscribe(channel, user=user, resume={})
        for _ in channels:
            first = await self.receive()
            assert first["payload"]["extensions"]["resume"]["missed"] is False, first
