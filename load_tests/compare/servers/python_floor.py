"""Python's floor: one loop of asyncio that writes a ready frame to every subscribed socket.

It knows of HTTP, WebSocket and graphql-transport-ws what the load client needs, parses no GraphQL
and answers every subscription with the event's data as published, filtered by the variable `key`.
With `--uvloop` it runs on uvloop, with `--bus` the same events come from a channel of Redis, by
redis-py and hiredis if that is installed. The same in Rust is `peers/src/bin/floor.rs`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from control import BACKLOG, SNAPSHOT, obey, parser, print_ready

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT = 0x81
CLOSE = 0x88
PING = 0x89
PONG = 0x8A

Publish = Callable[[str, dict[str, Any]], Awaitable[object]]
Subscribed = defaultdict[tuple[int | None, str], set[asyncio.WriteTransport]]


def frame(opcode: int, payload: bytes) -> bytes:
    """Make a frame of a server; its payload has less than 65,536 bytes."""
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    return bytes((opcode, 126)) + length.to_bytes(2, "big") + payload


def result(name: str, field: str, text: str) -> bytes:
    """Make the frame of a result from the JSON of its field."""
    payload = f'{{"data":{{"{field}":{text}}}}}'
    return frame(TEXT, f'{{"id":{json.dumps(name)},"type":"next","payload":{payload}}}'.encode())


class Client(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, subscribed: Subscribed) -> None:
        self._subscribed = subscribed
        self._received = b""
        self._is_open = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        """Forget the subscriptions."""
        for sockets in self._subscribed.values():
            sockets.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answer a handshake and each whole frame."""
        self._received += data
        if not self._is_open:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._transport.write(handshake(head))
            self._is_open, self._received = True, rest
        while (taken := take_frame(self._received)) is not None:
            opcode, payload, self._received = taken
            if opcode == TEXT:
                self._obey(json.loads(payload))
            elif opcode == PING:
                self._transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self._transport.close()

    def _obey(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "connection_init":
                self._transport.write(frame(TEXT, b'{"type":"connection_ack"}'))
            case "ping":
                self._transport.write(frame(TEXT, b'{"type":"pong"}'))
            case "subscribe":
                if "snapshot" in message["payload"]["query"]:
                    self._transport.write(result(message["id"], "snapshot", json.dumps(SNAPSHOT)))
                    return
                key = (message["payload"].get("variables") or {}).get("key")
                self._subscribed[key, message["id"]].add(self._transport)
            case "complete":
                for (_, name), sockets in self._subscribed.items():
                    if name == message["id"]:
                        sockets.discard(self._transport)


def handshake(head: bytes) -> bytes:
    """Make the answer to the request that opens a WebSocket."""
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    named = {name.lower(): value for name, value in headers.items()}
    digest = hashlib.sha1(named[b"sec-websocket-key"] + GUID).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def take_frame(received: bytes) -> tuple[int, bytes, bytes] | None:
    """Take the first frame of a client if it is there as a whole: opcode, payload, and the rest."""
    if len(received) < 2:
        return None
    length, start = received[1] & 0x7F, 2
    if length == 126:
        length, start = int.from_bytes(received[2:4], "big"), 4
    mask, payload = received[start : start + 4], received[start + 4 : start + 4 + length]
    if len(payload) < length or len(mask) < 4:
        return None
    plain = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return received[0], plain, received[start + 4 + length :]


async def follow(bus: str, publish: Publish) -> None:
    """Publish what comes in by the channel of Redis, until cancelled."""
    from redis.asyncio import Redis

    async with Redis.from_url(bus) as redis, redis.pubsub() as channel:
        await channel.subscribe("feed")
        print_ready()
        async for message in channel.listen():
            if message["type"] == "message":
                event = json.loads(message["data"])
                await publish(event["channel"], event["data"])


async def main(port: int, control: int | None, bus: str | None) -> None:
    """Serve until killed; events come from `control`, or from `bus`."""
    subscribed: Subscribed = defaultdict(set)

    async def publish(_: str, data: dict[str, Any]) -> None:
        key = data.get("key")
        text = json.dumps(data, separators=(",", ":"))
        for (wanted, name), sockets in subscribed.items():
            if sockets and wanted in (None, key):
                ready = result(name, "feed", text)
                for socket in sockets:
                    socket.write(ready)

    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Client(subscribed), "127.0.0.1", port, backlog=BACKLOG)
    if bus is not None:
        await follow(bus, publish)
    elif control is not None:
        await obey(control, publish)


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--uvloop", action="store_true")
    options = arguments.parse_args()
    running = main(options.port, options.control, options.bus)
    if options.uvloop:
        import uvloop

        uvloop.run(running)
    else:
        asyncio.run(running)
