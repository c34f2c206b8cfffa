"""A batch from a thread without an event loop is published as a whole, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fraiseql_subs import BusError, PublishError, SubscriptionManager, passthrough

ROOM = 4096
"""Events that the bus accepts before its queue is full (count)."""


def make_manager() -> SubscriptionManager:
    return SubscriptionManager([passthrough("feed", Any, channel="feed")])


def batch(first: int, count: int) -> list[tuple[str, int]]:
    return [("feed", number) for number in range(first, first + count)]


async def test_a_batch_that_can_never_have_room_is_refused_and_nothing_is_published():
    async with make_manager() as manager:
        with pytest.raises(BusError, match=r"at most 4096 .* not 20000") as e:
            await asyncio.to_thread(manager.publish_many, batch(0, 20_000))
        assert str(e.value).startswith("nothing was published")
        assert not e.value.retryable
        assert (await manager.publish("feed", 0)).offset == 1


async def test_a_batch_that_fits_is_published_whole():
    async with make_manager() as manager:
        receipts = await (await asyncio.to_thread(manager.publish_many, batch(0, ROOM)))
        assert [receipt.offset for receipt in receipts] == list(range(1, ROOM + 1))


async def test_batches_that_are_tried_again_are_published_once():
    async with make_manager() as manager:
        published = 0

        def publish() -> None:
            nonlocal published
            while published < 40_000:
                try:
                    manager.publish_many(batch(published, 4000))
                except BusError as error:
                    assert error.retryable
                    assert str(error).startswith("nothing was published")
                else:
                    published += 4000

        await asyncio.to_thread(publish)
        assert (await manager.publish("feed", 0)).offset == 40_001


async def test_a_batch_on_the_event_loop_waits_for_the_bus():
    async with make_manager() as manager:
        receipts = await manager.publish_many(batch(0, 20_000))
        assert [receipt.offset for receipt in receipts] == list(range(1, 20_001))


async def test_a_batch_with_a_fault_is_not_published_at_all():
    async with make_manager() as manager:
        for events in ([("feed", 1), ("", 2)], [("feed", 1), ("feed", object())]):
            with pytest.raises(PublishError):
                manager.publish_many(events)
        assert await manager.publish_many([]) == []
        assert (await manager.publish("feed", 0)).offset == 1
