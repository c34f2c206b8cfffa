"""Publishing that is repeated: one event, one place, in order."""

from __future__ import annotations

import asyncio

import pytest
from deployment import PUBLISHER, STREAMS
from promises import check

from fraiseql_subs import PublishError

pytestmark = pytest.mark.faults

STREAM = STREAMS[0]


async def test_an_event_is_published_a_hundred_times_over_several_links(redis, deploy):
    """R19."""
    deployment = await deploy(redis)
    entry = deployment.ledger.begin(STREAM, part=0)
    positions = []
    for attempt in range(100):
        sending = asyncio.ensure_future(deployment.ledger.send(entry))
        if attempt in (25, 50, 75):
            deployment.publisher_proxy.cut()
        try:
            positions.append((await sending).position)
        except PublishError as error:
            assert error.retryable
    assert len(positions) >= 97
    assert len(set(positions)) == 1
    entry.outcome, entry.position = "ok", positions[0]
    await deployment.settle()
    check(deployment, nothing_missed=True)
    same = [
        one for one in deployment.observations if (one.stream, one.part) == (STREAM, entry.part)
    ]
    assert same
    assert {one.count(entry.id) for one in same} == {1}


@pytest.mark.parametrize("way", ["to_server", "to_client"])
async def test_a_batch_is_broken_on_its_way(redis, deploy, way):
    """R20: the batch, or the answer to it."""
    deployment = await deploy(redis, publish_timeout=20.0)
    await deployment.settle()
    for left in (1, 50, 300, 2_000) if way == "to_server" else (1, 2, 10, 40):
        for connection in deployment.publisher_proxy.with_word(PUBLISHER):
            getattr(connection, way).left = left
        entries = [deployment.ledger.begin(stream) for _ in range(10) for stream in STREAMS]
        batch = deployment.ledger.settle_batch(entries)
        later = [deployment.ledger.publish(stream) for stream in STREAMS]
        await asyncio.gather(batch, *later)
        assert {entry.outcome for entry in entries} == {"ok"}
    await deployment.settle()
    check(deployment, nothing_missed=True)
    assert not deployment.ledger.with_outcome("unknown", "not_sent")


async def test_a_batch_is_answered_in_part_when_time_is_over(redis, deploy):
    """What its publisher was told holds for each of its events."""
    deployment = await deploy(redis, publish_timeout=1.0)
    await deployment.settle()
    redis.pause()
    try:
        entries = [deployment.ledger.begin(stream) for _ in range(10) for stream in STREAMS]
        await deployment.ledger.settle_batch(entries)
        assert {entry.outcome for entry in entries} <= {"unknown", "not_sent"}
    finally:
        redis.resume()
    await deployment.settle()
    check(deployment, nothing_missed=True)
