"""What other programs write to Redis where the bus is: it is skipped, and the stream goes on."""

from __future__ import annotations

from functools import partial

import producer
import pytest
from deployment import STREAMS, Deployment
from producer import Producer
from promises import check

pytestmark = pytest.mark.faults

STREAM = STREAMS[0]

envelope = partial(producer.envelope, tenant=STREAM.tenant, channel=STREAM.channel)

VALID = b'{"id": "x", "number": 1, "part": 0}'

UNREADABLE = {
    "nothing": b"",
    "zeros": bytes(100),
    "another version": envelope(VALID, version=9),
    "a part of the head": envelope(VALID)[:12],
    "a head that is longer than all": b"\x01\x00\xff\xff" + envelope(VALID)[4:],
    "no JSON": envelope(b'{"id": '),
    "no UTF-8": envelope(b'"\xff\xfe"'),
    "a number that is none": envelope(b'{"part": 1e999}'),
    "deep lists": envelope(b"[" * 10_000 + b"]" * 10_000),
}

OF_OTHERS = {
    "the event of another tenant": envelope(VALID, tenant="other"),
    "the event of another channel": envelope(VALID, channel="c9"),
}

LARGE = {"20 MB": envelope(b'"' + b"x" * 20_000_000 + b'"')}

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


async def counts(deployment: Deployment, name: str) -> list[int]:
    """Return a counter of each node."""
    return [await node.server.metric(name) for node in deployment.nodes]


async def test_events_that_cannot_be_read_are_skipped(redis, deploy):
    """X1: they are counted, and the next one is delivered."""
    deployment = await deploy(redis, clients=40)
    await deployment.settle()
    foreign = await Producer.of(redis, STREAM)
    for poison in [*UNREADABLE.values(), *OF_OTHERS.values(), *LARGE.values()]:
        await foreign.append(poison)
        for _ in range(2):
            await deployment.ledger.confirmed(STREAM)
    await deployment.settle()
    check(deployment, nothing_missed=True)
    for count in await counts(deployment, "bus_unreadable"):
        assert count >= len(UNREADABLE)
    for count in await counts(deployment, "bus_other_stream"):
        assert count >= len(OF_OTHERS)
    for node in deployment.nodes:
        assert "panicked" not in node.server.log


async def test_events_that_cannot_be_read_are_skipped_when_gaps_are_filled(redis, deploy):
    """X1, in history."""
    deployment = await deploy(redis, clients=40)
    poisons = [*UNREADABLE.values(), *OF_OTHERS.values(), *LARGE.values()]
    async with deployment.traffic() as traffic:
        await traffic.accepts(1)
        foreign = await Producer.of(redis, STREAM)
        for poison in poisons:
            for node in deployment.nodes:
                node.proxy.cut()
            await foreign.append(poison)
        await traffic.accepts()
    await deployment.settle()
    check(deployment, nothing_missed=True)


async def test_messages_that_are_no_events_are_skipped(redis, deploy):
    """X1, published beside the bus."""
    deployment = await deploy(redis, clients=40, nodes=1)
    await deployment.settle()
    foreign = await Producer.of(redis, STREAM)
    for message in MESSAGES:
        assert await foreign.say(message) == 1
        for _ in range(2):
            await deployment.ledger.confirmed(STREAM)
    await deployment.settle()
    check(deployment)
