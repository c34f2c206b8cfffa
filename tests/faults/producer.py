"""A program without this package, which writes events to Redis where the bus has them.

It follows `docs/reference/envelope.md`; the keys are those of `docs/how-to/redis.md`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from support.ledger import StreamName
from support.redis_server import RedisServer

APPEND = """
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
local position = redis.call('HGET', KEYS[1], 'epoch') .. '-' .. offset
redis.call('XADD', KEYS[2], offset .. '-0', 'e', ARGV[2])
redis.call('PUBLISH', ARGV[1], position .. ' ' .. ARGV[2])
return position
"""
"""Writes any bytes as the next event of a stream."""


def extension(key: int, value: bytes = b"") -> bytes:
    """Write an extension of the head."""
    return struct.pack("<BH", key, len(value)) + value


def envelope(
    data: bytes,
    *,
    tenant: str,
    channel: str,
    event_id: str = "x",
    version: int = 1,
    flags: int = 0,
    extensions: bytes = b"",
) -> bytes:
    """Write an envelope without a type."""
    fields = [_text(event_id), b"\xff", _text(tenant), _text(channel), struct.pack("<QI", 0, 0)]
    head = b"".join(fields) + extensions
    return struct.pack("<BBH", version, flags, len(head)) + head + data


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


@dataclass(frozen=True)
class Producer:
    """Writes to one stream.

    Attributes:
        channel: That of pub/sub.
        counter: Key of the counter.
        history: Key of the history.
    """

    redis: RedisServer
    stream: StreamName
    channel: str
    counter: str
    history: str

    @classmethod
    async def of(cls, redis: RedisServer, stream: StreamName) -> Producer:
        """Find the names of a stream, which a node subscribes to."""
        channels = (await redis.command("PUBSUB", "CHANNELS")).split()
        end = f"}}:c:{stream.tenant}:{stream.channel}"
        (channel,) = [name for name in channels if name.endswith(end)]
        start, _, name = channel.partition("}:c:")
        return cls(redis, stream, channel, f"{start}}}:s:{name}", f"{start}}}:h:{name}")

    async def append(self, event: bytes) -> str:
        """Write bytes as the next event; return its position."""
        answer = await self.redis.command(
            "EVAL", APPEND, "2", self.counter, self.history, self.channel, last=event
        )
        assert answer.rpartition("-")[2].isdigit(), answer
        return answer

    async def say(self, message: bytes) -> int:
        """Publish bytes on the channel, and nothing else; return how many received them."""
        return int(await self.redis.command("PUBLISH", self.channel, last=message))
