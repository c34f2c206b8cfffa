"""`initial=` as a generator: several values before any event, in order, and no event lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support import eventually

from fraiseql_subs import SKIP, Context, GraphQLError, SubscriptionManager, subscription


class Feed:
    """Initial values that the test controls, and events that count on."""

    def __init__(self) -> None:
        self.steps: asyncio.Queue[Any] = asyncio.Queue()
        self.has_begun = asyncio.Event()
        self.has_ended = asyncio.Event()

    def subscription(self, **options: Any) -> Any:
        async def initial():
            self.has_begun.set()
            try:
                while (step := await self.steps.get()) is not None:
                    if isinstance(step, Exception):
                        raise step
                    yield step
            finally:
                self.has_ended.set()

        @subscription(channel="c", initial=initial, **options)
        async def changed(event) -> int:
            return event.data

        return changed


async def test_values_are_sent_as_they_come_and_before_any_event(within):
    feed = Feed()
    async with SubscriptionManager([feed.subscription(concurrency=4)]) as manager:
        stream = manager.subscribe("subscription { changed }")
        first = asyncio.ensure_future(anext(stream))
        await within(feed.has_begun.wait())
        feed.steps.put_nowait(1)
        assert (await within(first)).data == {"changed": 1}
        await manager.publish_many([("c", 10), ("c", 11)])
        feed.steps.put_nowait(2)
        assert (await within(anext(stream))).data == {"changed": 2}
        for step in (3, None):
            feed.steps.put_nowait(step)
        found = [(await within(anext(stream))).data["changed"] for _ in range(3)]
        assert found == [3, 10, 11]


async def test_subscribers_of_a_running_publisher_miss_and_repeat_nothing():
    state = {"last": 0}

    async def initial():
        last = state["last"]
        for number in range(max(1, last - 2), last + 1):
            yield number
            await asyncio.sleep(0)

    @subscription(channel="c", initial=initial)
    async def changed(event) -> int:
        return event.data

    async with SubscriptionManager([changed]) as manager:

        async def follow() -> list[int]:
            seen: list[int] = []
            async for result in manager.subscribe("subscription { changed }"):
                seen.append(result.data["changed"])
                if seen[-1] == 1000:
                    break
            return seen

        followers = []
        for number in range(1, 1001):
            if number % 100 == 5:
                followers.append(asyncio.ensure_future(follow()))
            state["last"] = number
            await manager.publish("c", number)
            await asyncio.sleep(0)
        for seen in await asyncio.gather(*followers):
            assert seen == list(range(seen[0], 1001))


async def test_a_plain_generator_and_arguments():
    def initial(count: int, context: Context, variables: dict):
        for number in range(count):
            yield f"{number} {context.value} {variables}"

    @subscription(channel="c", initial=initial)
    async def changed(event, *, count: int) -> str:
        return "event"

    async with SubscriptionManager([changed]) as manager:
        stream = manager.subscribe("subscription { changed(count: 2) }", context="here")
        found = [(await anext(stream)).data["changed"] for _ in range(2)]
        assert found == ["0 here {'count': 2}", "1 here {'count': 2}"]
        await manager.publish("c", 1)
        assert (await anext(stream)).data == {"changed": "event"}


@pytest.mark.parametrize("steps", [[], [SKIP], [1, SKIP]])
async def test_one_that_yields_little_is_followed_by_events(steps):
    async def initial():
        for step in steps:
            yield step

    @subscription(channel="c", initial=initial)
    async def changed(event) -> int:
        return event.data

    async with SubscriptionManager([changed]) as manager:
        async with manager.subscribe("subscription { changed }") as stream:
            for step in steps:
                if step is not SKIP:
                    assert (await anext(stream)).data == {"changed": step}
            await manager.publish("c", 10)
            assert (await anext(stream)).data == {"changed": 10}


async def test_one_that_fails_is_an_error_and_events_follow(within):
    feed = Feed()
    async with SubscriptionManager([feed.subscription()]) as manager:
        stream = manager.subscribe("subscription { changed }")
        for step in (1, GraphQLError("no more")):
            feed.steps.put_nowait(step)
        assert (await within(anext(stream))).data == {"changed": 1}
        (error,) = (await within(anext(stream))).errors
        assert (error["message"], error["path"]) == ("no more", ["changed"])
        await manager.publish("c", 10)
        assert (await within(anext(stream))).data == {"changed": 10}


async def test_a_client_that_leaves_ends_it(within):
    feed = Feed()
    async with SubscriptionManager([feed.subscription()]) as manager:
        async with manager.subscribe("subscription { changed }") as stream:
            feed.steps.put_nowait(1)
            await within(anext(stream))
        await within(feed.has_ended.wait())


async def test_one_that_takes_too_long_for_a_value_is_ended_and_events_follow(within):
    feed = Feed()
    async with SubscriptionManager([feed.subscription(timeout=1.0)]) as manager:
        stream = manager.subscribe("subscription { changed }")
        feed.steps.put_nowait(1)
        results = [await within(anext(stream))]
        # On a busy machine, the first value may be late too.
        while results[-1].errors is None:
            results.append(await within(anext(stream)))
        assert all(result.data == {"changed": 1} for result in results[:-1])
        assert results[-1].errors[0]["path"] == ["changed"]
        await within(feed.has_ended.wait())
        await manager.publish("c", 10)
        assert (await within(anext(stream))).data == {"changed": 10}


async def test_it_waits_for_a_client_that_does_not_read(within):
    made = 0

    async def initial():
        nonlocal made
        for number in range(10_000):
            made = number + 1
            yield number

    @subscription(channel="c", initial=initial)
    async def changed(event) -> int:
        return event.data

    async with SubscriptionManager([changed]) as manager:
        async with manager.subscribe("subscription { changed }") as stream:
            await eventually(lambda: made > 0, "the generator to begin")
            await manager.publish("c", -1)
            assert made < 10_000
            found = [(await within(anext(stream))).data["changed"] for _ in range(10_001)]
            assert found == [*range(10_000), -1]


async def test_over_a_socket(serve, connect):
    async def initial():
        yield 1
        yield 2

    @subscription(channel="c", initial=initial)
    async def changed(event) -> int:
        return event.data

    manager = SubscriptionManager([changed])
    client = await connect((await serve(manager)).url)
    id = await client.subscribe("subscription { changed }")
    assert await client.receive_data(id) == {"changed": 1}
    assert await client.receive_data(id) == {"changed": 2}
    await manager.publish("c", 3)
    assert await client.receive_data(id) == {"changed": 3}
