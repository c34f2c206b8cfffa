"""Redis is away, hangs, or comes back with other data: publishers and subscribers are told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from declared import node
from nodes import managers, take
from returning import BEGIN, after
from support import PATIENCE, eventually
from support.redis_server import RedisServer

from fraiseql_subs import PublishError, SubscriptionManager

FEED = "subscription { feed }"


@pytest.fixture
async def away(tmp_path: Path) -> Any:
    """A Redis that has a port, and is not started."""
    redis = RedisServer(tmp_path)
    await redis.start()
    await redis.kill()
    yield redis
    await redis.kill()


async def result(results: Any) -> Any:
    return await asyncio.wait_for(anext(results), PATIENCE)


async def told(results: Any) -> dict[str, Any]:
    """Return the `resume` extension of the next result, which is not one of an event."""
    next_one = await result(results)
    assert next_one.data is None, next_one
    return next_one.extensions["resume"]


def in_a_thread(manager: SubscriptionManager) -> Any:
    """Publish from a thread without an event loop."""
    return asyncio.to_thread(manager.publish, "feed", 1)


# Publishers.


@pytest.mark.parametrize("by", [lambda manager: manager.publish("feed", 1), in_a_thread])
async def test_a_publisher_that_waits_is_told_once_its_time_is_over(by, away):
    async with node(away.url, publish_timeout=0.2) as manager:
        with pytest.raises(PublishError, match="engine") as failed:
            await by(manager)
        assert failed.value.retryable and failed.value.outcome == "not_sent"


@pytest.mark.parametrize("by", [lambda manager: manager.publish("feed", 1), in_a_thread])
async def test_a_publisher_that_does_not_wait_is_told_at_once(by, away):
    async with node(away.url, publish_timeout=3600, on_unavailable="fail") as manager:
        with pytest.raises(PublishError, match="cannot be reached") as failed:
            await asyncio.wait_for(by(manager), PATIENCE)
        assert failed.value.retryable and failed.value.outcome == "not_sent"


async def test_a_publisher_that_waits_publishes_once_redis_is_there(away, within):
    async with node(away.url, publish_timeout=PATIENCE) as manager:
        under_way = asyncio.gather(*[_publish(manager, number) for number in range(20)])
        await asyncio.sleep(0)
        await away.start()
        offsets = [receipt.offset for receipt in await within(under_way)]
        assert offsets == list(range(1, 21))


async def _publish(manager: SubscriptionManager, data: int) -> Any:
    return await manager.publish("feed", data)


async def test_events_that_are_queued_are_published_in_order_once_redis_is_there(away):
    async with node(away.url, on_unavailable="queue") as manager:
        receipts = [await manager.publish("feed", number) for number in range(100)]
        receipts += await manager.publish_many([("feed", number) for number in range(100, 110)])
        assert {receipt.position for receipt in receipts} == {None}
        assert len({receipt.event_id for receipt in receipts}) == 110
        await away.start()
        async with node(away.url) as other:
            # An event that waits for room in the queue has its place in the order.
            async with other.subscribe(FEED) as results:
                await manager.publish("feed", 110)
                received = await take(results, 1)
                while received[-1] != 110:
                    received += await take(results, 1)
            assert received == list(range(received[0], 111))
            again = await other.publish("feed", 0, event_id=receipts[0].event_id)
            assert again.offset == 1


async def test_what_was_told_as_failed_may_be_tried_again(away):
    """It is one event, however often it is tried with the id of the first attempt."""
    async with node(away.url, publish_timeout=0.1) as manager:
        for _ in range(3):
            with pytest.raises(PublishError):
                await manager.publish("feed", 1, event_id="mine")
        await away.start()
        for _ in range(100):
            try:
                receipt = await manager.publish("feed", 1, event_id="mine")
                break
            except PublishError as error:
                assert error.retryable
        assert receipt.offset == 1
        assert (await manager.publish("feed", 2)).offset == 2


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_events_that_are_queued_do_not_hold_up_an_end_that_is_hurried(
    is_cancelled, away, within
):
    manager = node(away.url, on_unavailable="queue", publish_timeout=3600)
    await manager.publish("feed", 1)
    closing = asyncio.ensure_future(manager.close(drain=3600))
    await eventually(lambda: not manager.is_ready(), "it drains")
    if is_cancelled:
        closing.cancel()
    else:
        await within(manager.close(drain=0))
    await within(asyncio.wait([closing]))


async def test_queued_events_wait_no_longer_than_the_shortest_drain(away, within):
    joined, alone = (node(away.url, on_unavailable="queue", publish_timeout=3600) for _ in range(2))
    for manager in (joined, alone):
        await manager.publish("feed", 1)
    closing = asyncio.ensure_future(joined.close(drain=3600))
    await eventually(lambda: not joined.is_ready(), "it drains")
    ends = [asyncio.ensure_future(alone.close(drain=0.8))]
    ends.append(asyncio.ensure_future(joined.close(drain=0)))
    await within(asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED))
    assert ends[1].done() and not ends[0].done()
    await within(asyncio.wait([closing, *ends]))


async def test_an_event_without_an_answer_is_one_event_when_it_is_tried_again(redis):
    async with managers(redis.url, publish_timeout=0.2) as (a, b), b.subscribe(FEED) as results:
        await a.publish("feed", 0)
        redis.pause()
        with pytest.raises(PublishError) as failed:
            await a.publish("feed", 1, event_id="mine")
        assert failed.value.retryable and failed.value.outcome == "unknown"
        redis.resume()
        for _ in range(100):
            try:
                receipt = await a.publish("feed", 1, event_id="mine")
                break
            except PublishError as error:
                assert error.retryable
        assert receipt.offset == 2
        await b.publish("feed", 2)
        assert await take(results, 3) == [0, 1, 2]


async def test_threads_wait_for_redis_as_well(redis):
    async with managers(redis.url, publish_timeout=PATIENCE) as (a, b):
        async with b.subscribe(FEED) as results:
            redis.pause()
            publishing = asyncio.ensure_future(in_a_thread(a))
            await asyncio.sleep(0)
            redis.resume()
            await asyncio.wait_for(publishing, PATIENCE)
            assert await take(results, 1) == [1]


# Subscribers.


async def until(results: Any, number: int) -> list[Any]:
    """Return the results up to the event with a number: numbers, and None for missing events."""
    received: list[Any] = []
    while number not in received:
        each = await result(results)
        if each.data is None:
            assert each.extensions["resume"]["missed"] is True
        received.append(each.data and each.data["feed"])
    return received


async def test_a_subscription_of_the_time_without_redis_works_once_it_is_there(away):
    """Its interest was not ready, so a client that asks is told that events may be missing."""
    async with node(away.url, publish_timeout=PATIENCE) as a:
        asking, silent = a.subscribe(FEED, extensions=BEGIN), a.subscribe(FEED)
        await asyncio.gather(asking.__aenter__(), silent.__aenter__())
        async with asking, silent:
            assert (await told(asking))["missed"] is False
            await away.start()
            async with node(away.url, publish_timeout=PATIENCE) as b:
                await b.publish("feed", 1)
                await a.publish("feed", 2)
                # Events from before its interest was ready may be missing.
                assert (await told(asking))["missed"] is True
                await b.publish("feed", 3)
                received = await until(asking, 3)
                assert [number for number in received if number] in ([3], [2, 3], [1, 2, 3])
                assert (await until(silent, 3)) in ([3], [2, 3], [1, 2, 3])


async def test_a_client_that_returns_while_redis_is_away_is_answered_once_it_is_there(away):
    async with node(away.url, publish_timeout=PATIENCE) as a:
        results = a.subscribe(FEED, extensions=after("0123456789abcdef-1"))
        entering = asyncio.ensure_future(results.__aenter__())
        await asyncio.sleep(0)
        await away.start()
        await asyncio.wait_for(entering, PATIENCE)
        assert (await told(results))["missed"] is True
        receipt = await a.publish("feed", 1)
        while (received := await result(results)).data is None:
            assert received.extensions["resume"]["missed"] is True
        assert received.data == {"feed": 1}
        assert received.extensions["resume"]["id"] == receipt.position
        await results.aclose()


async def test_clients_that_return_while_redis_hangs_miss_nothing(redis):
    async with managers(redis.url, publish_timeout=PATIENCE) as (a, b):
        first = await a.publish("feed", 0)
        await a.publish_many([("feed", 1), ("feed", 2)])
        redis.pause()
        results = b.subscribe(FEED, extensions=after(first.position))
        entering = asyncio.ensure_future(results.__aenter__())
        await asyncio.sleep(0)
        publishing = asyncio.ensure_future(_publish(a, 3))
        await asyncio.sleep(0)
        redis.resume()
        await asyncio.wait_for(entering, PATIENCE)
        assert await take(results, 3) == [1, 2, 3]
        await publishing
        await results.aclose()


@pytest.mark.parametrize("field", ["feed", "shared", "counted"])
async def test_subscribers_miss_nothing_when_links_are_cut(field, redis):
    async with managers(redis.url) as nodes:
        streams = [each.subscribe(f"subscription {{ {field} }}") for each in nodes]
        for stream in streams:
            await stream.__aenter__()
        for number in range(1, 101):
            await nodes[number % 2].publish("feed", number)
            if number % 20 == 0:
                await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            if number % 33 == 0:
                await redis.command("CLIENT", "KILL", "TYPE", "normal")
        for stream in streams:
            assert await take(stream, 101 if field == "counted" else 100) == (
                [0] * (field == "counted") + list(range(1, 101))
            )
            await stream.aclose()


async def test_subscribers_miss_nothing_when_redis_hangs(redis):
    async with managers(redis.url, publish_timeout=PATIENCE) as (a, b):
        async with a.subscribe(FEED) as of_a, b.subscribe(FEED) as of_b:
            for number in range(5):
                redis.pause()
                publishing = asyncio.gather(_publish(a, number), _publish(b, number))
                await asyncio.sleep(0)
                redis.resume()
                await asyncio.wait_for(publishing, PATIENCE)
            expected = [number for number in range(5) for _ in range(2)]
            assert await take(of_a, 10) == await take(of_b, 10) == expected


async def test_subscribers_are_told_when_redis_comes_back_without_its_data(redis):
    async with managers(redis.url, publish_timeout=PATIENCE) as nodes:
        streams = [each.subscribe(FEED, extensions=BEGIN) for each in nodes]
        for stream in streams:
            await stream.__aenter__()
            assert (await told(stream))["missed"] is False
        await nodes[0].publish("feed", 1)
        for stream in streams:
            assert (await result(stream)).data == {"feed": 1}
        await redis.kill()
        await redis.start()
        await nodes[0].publish("feed", 2)
        for stream in streams:
            assert (await told(stream))["missed"] is True
        receipt = await nodes[1].publish("feed", 3)
        for stream in streams:
            assert (await until(stream, 3)) in ([3], [2, 3])
            await stream.aclose()
        # Both have the new epoch.
        for each in nodes:
            async with each.subscribe(FEED, extensions=after(receipt.position)) as results:
                await nodes[0].publish("feed", 4)
                assert await take(results, 1) == [4]
                receipt = await nodes[0].publish("feed", 5)


async def test_subscribers_go_on_when_redis_forgets_its_scripts(redis):
    async with managers(redis.url) as (a, b), b.subscribe(FEED) as results:
        for number in range(3):
            await redis.command("SCRIPT", "FLUSH")
            await a.publish("feed", number)
            assert await take(results, 1) == [number]


async def test_subscribers_are_told_when_redis_forgets_its_data(redis):
    async with managers(redis.url) as (a, b), b.subscribe(FEED, extensions=BEGIN) as results:
        assert (await told(results))["missed"] is False
        await a.publish("feed", 1)
        assert await take(results, 1) == [1]
        await redis.command("FLUSHALL")
        await a.publish("feed", 2)
        assert (await told(results))["missed"] is True
        await a.publish("feed", 3)
        assert (await until(results, 3)) in ([3], [2, 3])


async def test_an_event_that_comes_is_delivered_also_when_it_is_the_first_of_a_numbering(redis):
    """A client that does not ask about missing events is not told of them."""
    async with managers(redis.url) as (a, b), b.subscribe(FEED, extensions=BEGIN) as asking:
        assert (await told(asking))["missed"] is False
        async with b.subscribe(FEED) as silent:
            await a.publish("feed", 1)
            assert await take(asking, 1) == [1]
            await redis.command("FLUSHALL")
            await a.publish("feed", 2)
            assert (await told(asking))["missed"] is True
            # Its node knows the new epoch now.
            await a.publish("feed", 3)
            assert await until(asking, 3) == [2, 3]
            assert await until(silent, 3) == [1, 2, 3]


async def test_what_redis_keeps_over_a_restart_is_sent_or_told(tmp_path):
    options = {"appendonly": "yes", "appendfsync": "always"}
    async with RedisServer(tmp_path, options) as redis:
        async with node(redis.url, publish_timeout=PATIENCE) as a:
            first = await a.publish("feed", 0)
            await a.publish_many([("feed", 1), ("feed", 2)])
            await redis.kill()
            await redis.start()
            async with a.subscribe(FEED, extensions=after(first.position)) as results:
                await a.publish("feed", 3)
                first_result = await result(results)
                await a.publish("feed", 4)
                received = [first_result.data and first_result.data["feed"]]
                received += await until(results, 4)
        # In order and complete, up to the notice that events are missing.
        whole = received[: received.index(None)] if None in received else received
        assert whole == [1, 2, 3, 4][: len(whole)]
