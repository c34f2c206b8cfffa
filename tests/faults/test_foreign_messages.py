"""What other programs write to Redis where the bus is: it is skipped, and the stream goes on."""

from __future__ import annotations

import struct

import pytest
from deployment import STREAMS
from promises import check

pytestmark = pytest.mark.faults

STREAM = STREAMS[0]

APPEND = """
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
local epoch = redis.call('HGET', KEYS[1], 'epoch')
redis.call('XADD', KEYS[2], offset .. '-0', 'e', ARGV[2])
redis.call('PUBLISH', ARGV[1], epoch .. '-' .. offset .. ' ' .. ARGV[2])
return offset
"""
"""Writes any bytes as the next event of a stream."""


def envelope(
    data: bytes, *, tenant: str = STREAM.tenant, channel: str = STREAM.channel, version: int = 1
) -> bytes:
    """Write an envelope, as `docs/reference/envelope.md` describes it."""
    # An id, no type, then the two.
    fields = [b"\x01x", b"\xff"]
    fields += [bytes([len(text)]) + text.encode() for text in (tenant, channel)]
    head = b"".join(fields) + struct.pack("<QI", 0, 0)
    return bytes([version, 0]) + struct.pack("<H", len(head)) + head + data


VALID = b'{"id": "x", "number": 1, "part": 0}'

ENVELOPES = {
    "nothing": b"",
    "zeros": bytes(100),
    "another version": envelope(VALID, version=9),
    "a part of the head": envelope(VALID)[:12],
    "a head that is longer than all": b"\x01\x00\xff\xff" + envelope(VALID)[4:],
    "the event of another tenant": envelope(VALID, tenant="other"),
    "the event of another channel": envelope(VALID, channel="c9"),
    "no JSON": envelope(b'{"id": '),
    "no UTF-8": envelope(b'"\xff\xfe"'),
    "20 MB": envelope(b'"' + b"x" * 20_000_000 + b'"'),
    "a number that is none": envelope(b'{"part": 1e999}'),
    "deep lists": envelope(b"[" * 10_000 + b"]" * 10_000),
}

MESSAGES = [
    b"",
    b"hello",
    b"abc-7",
    b"zzzz-7 " + envelope(VALID),
    b"zzzz-99999999999999999999999999 x",
    b"zzzz- x",
    bytes(range(256)),
]
"""What is published on the channel of a stream, and is no event."""


async def names(redis) -> tuple[str, str, str]:
    """Return the channel of the stream, and the keys of its counter and of its history."""
    channels = (await redis.command("PUBSUB", "CHANNELS")).split()
    (channel,) = [name for name in channels if name.endswith(f"c:{STREAM.tenant}:{STREAM.channel}")]
    start, _, name = channel.partition("}:c:")
    return channel, f"{start}}}:s:{name}", f"{start}}}:h:{name}"


async def test_events_that_cannot_be_read_are_skipped(redis, deploy):
    """X1."""
    deployment = await deploy(redis, clients=40)
    await deployment.settle()
    channel, counter, history = await names(redis)
    for what, poison in ENVELOPES.items():
        answer = await redis.command("EVAL", APPEND, "2", counter, history, channel, last=poison)
        assert answer.isdigit(), f"{what}: {answer}"
        for _ in range(2):
            await deployment.ledger.confirmed(STREAM)
    await deployment.settle()
    check(deployment)
    for node in deployment.nodes:
        assert "panicked" not in node.server.log


async def test_events_that_cannot_be_read_are_skipped_when_gaps_are_filled(redis, deploy):
    """X1, in history."""
    deployment = await deploy(redis, clients=40)
    async with deployment.traffic() as traffic:
        await traffic.accepts(1)
        channel, counter, history = await names(redis)
        for poison in ENVELOPES.values():
            for node in deployment.nodes:
                node.proxy.cut()
            await redis.command("EVAL", APPEND, "2", counter, history, channel, last=poison)
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_messages_that_are_no_events_are_skipped(redis, deploy):
    """X1, published beside the bus."""
    deployment = await deploy(redis, clients=40, nodes=1)
    await deployment.settle()
    channel, _, _ = await names(redis)
    for message in MESSAGES:
        assert int(await redis.command("PUBLISH", channel, last=message)) == 1
        for _ in range(2):
            await deployment.ledger.confirmed(STREAM)
    await deployment.settle()
    check(deployment)
