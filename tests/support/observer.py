"""Clients that record what they receive: one subscription each. Hundreds can run at once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from support.ledger import StreamName
from support.raw_http import handshake
from support.raw_websocket import CLOSE, PING, PONG, TEXT, frame, message
from support.waiting import PATIENCE

QUERY = """
subscription ($channel: String!, $part: Int!) {
  event(channel: $channel, part: $part) { id number part }
}
"""


@dataclass(frozen=True)
class Received:
    """An event that was received."""

    id: str
    number: int
    part: int
    position: str


@dataclass(frozen=True)
class Missed:
    """The client was told that events are missing."""

    position: str


@dataclass
class Observation:
    """What one subscription has received, over one or more connections.

    Attributes:
        name: Of the client, for failures.
        confirmed: Place in the ledger when the subscription was confirmed. Events that are
            published from there on have to be received.
        log: Events and notices, in the order in which they were received.
        faults: Anything else that was received.
        last: The newest id for resuming; "" before the first.
    """

    name: str
    stream: StreamName
    part: int
    confirmed: int | None = None
    log: list[Received | Missed] = field(default_factory=list)
    faults: list[Any] = field(default_factory=list)
    last: str = ""

    def take(self, payload: dict[str, Any]) -> None:
        """Record the payload of a `next`."""
        resume = (payload.get("extensions") or {}).get("resume") or {}
        self.last = resume.get("id") or self.last
        if payload.get("errors"):
            self.faults.append(payload)
        elif resume.get("missed"):
            self.log.append(Missed(self.last))
        elif payload.get("data"):
            event = payload["data"]["event"]
            self.log.append(Received(event["id"], event["number"], event["part"], self.last))

    @property
    def received(self) -> list[Received]:
        """The events."""
        return [item for item in self.log if isinstance(item, Received)]

    @property
    def missed(self) -> int:
        """How often the client was told that events are missing."""
        return sum(isinstance(item, Missed) for item in self.log)

    def has(self, event_id: str) -> bool:
        """Tell whether an event was received; checks the newest first."""
        return any(
            isinstance(item, Received) and item.id == event_id for item in reversed(self.log)
        )

    def count(self, event_id: str) -> int:
        """Tell how often an event was received."""
        return Counter(item.id for item in self.received)[event_id]

    @property
    def variables(self) -> dict[str, Any]:
        """Those of its operation."""
        return {"channel": self.stream.channel, "part": self.part}


class Observer(asyncio.Protocol):
    """A connection of graphql-transport-ws with one subscription, which records its results."""

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self.is_closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._is_upgraded = False
        self._began = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, url: str, observation: Observation) -> Observer:
        """Connect and subscribe, after the last position if there is one.

        Returns when the subscription has begun. The caller has to set `observation.confirmed`.
        """
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, self = await loop.create_connection(lambda: cls(observation), parts.hostname, parts.port)
        await asyncio.wait_for(self._began, PATIENCE)
        return self

    def close(self) -> None:
        """End the connection as a lost network does."""
        assert self._transport is not None
        self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(handshake())
        transport.write(
            message(
                {"type": "connection_init", "payload": {"tenant": self.observation.stream.tenant}}
            )
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed.set()
        if not self._began.done():
            self._began.set_exception(ConnectionError(f"the server has ended it: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_upgraded:
            head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not separator:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_upgraded, self._buffer = True, bytearray(rest)
        while (found := self._next_frame()) is not None:
            self._take(*found)

    def _next_frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return None
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + length])
        del buffer[: start + length]
        return opcode, payload

    def _take(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        if opcode == TEXT:
            self._receive(json.loads(payload))
        elif opcode == PING:
            self._transport.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self._transport.close()

    def _receive(self, received: dict[str, Any]) -> None:
        assert self._transport is not None
        kind = received["type"]
        if kind == "connection_ack":
            self._transport.write(message(self._subscribe()))
            # The server answers after the first message of a subscription that resumes.
            self._transport.write(message({"type": "ping"}))
        elif kind == "next":
            self.observation.take(received["payload"])
            self._begin(is_first=True)
        elif kind == "ping":
            self._transport.write(message({"type": "pong"}))
        elif kind == "pong":
            # A subscription that resumes and has missed nothing is sent no message.
            self._begin(is_first=bool(self._after))
        else:
            self.observation.faults.append(received)
            self._begin(is_first=True)

    def _subscribe(self) -> dict[str, Any]:
        self._after = self.observation.last
        payload = {
            "query": QUERY,
            "variables": self.observation.variables,
            "extensions": {"resume": {"after": self._after} if self._after else {}},
        }
        return {"type": "subscribe", "id": "1", "payload": payload}

    def _begin(self, *, is_first: bool) -> None:
        if is_first and not self._began.done():
            self._began.set_result(None)
