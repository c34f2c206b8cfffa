"""`initial=`: a value before any event, and no event lost or duplicated in between."""

from __future__ import annotations

import asyncio

import pytest

from fraiseql_subs import Context, GraphQLError, SubscriptionManager, subscription


class Counter:
    """A state, and events about its changes."""

    def __init__(self) -> None:
        self.value = 0
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def count(self, manager: SubscriptionManager) -> None:
        self.value += 1
        await manager.publish("counter", self.value)

    def subscription(self, **options):
        async def initial() -> int:
            value = self.value
            self.started.set()
            await self.go_on.wait()
            return value

        @subscription(channel="counter", initial=initial, **options)
        async def counter(event) -> int:
            return event.data

        return counter


async def test_the_initial_value_comes_before_any_event(serve, connect):
    counter = Counter()
    manager = SubscriptionManager([counter.subscription()])
    client = await connect((await serve(manager)).url)
    await counter.count(manager)
    id = await client.subscribe("subscription { counter }")
    assert await client.receive_data(id) == {"counter": 1}
    await counter.count(manager)
    assert await client.receive_data(id) == {"counter": 2}


async def test_events_while_the_initial_value_is_made_follow_it(within):
    counter = Counter()
    counter.go_on.clear()
    async with SubscriptionManager([counter.subscription(concurrency=8)]) as manager:
        await counter.count(manager)
        stream = manager.subscribe("subscription { counter }")
        first = asyncio.ensure_future(anext(stream))
        await within(counter.started.wait())
        for _ in range(3):
            await counter.count(manager)
        counter.go_on.set()
        assert (await first).data == {"counter": 1}
        assert [(await anext(stream)).data["counter"] for _ in range(3)] == [2, 3, 4]


async def test_subscribers_that_join_a_running_publisher_miss_and_repeat_nothing():
    counter, last = Counter(), 2_000
    async with SubscriptionManager([counter.subscription()]) as manager:

        async def follow() -> list[int]:
            seen: list[int] = []
            async for result in manager.subscribe("subscription { counter }"):
                seen.append(result.data["counter"])
                if seen[-1] == last:
                    break
            return seen

        followers = []
        for number in range(last):
            if number % 100 == 0:
                followers.append(asyncio.ensure_future(follow()))
            await counter.count(manager)
            await asyncio.sleep(0)
        for seen in await asyncio.gather(*followers):
            assert seen == list(range(seen[0], last + 1))


async def test_it_receives_variables_context_and_arguments():
    def initial(variables: dict, context: Context, user_id: int) -> str:
        return f"{variables} {context.value} {user_id}"

    @subscription(channel="orders.{userId}", initial=initial)
    async def orders(event, *, user_id: int) -> str:
        return "event"

    async with SubscriptionManager([orders]) as manager:
        stream = manager.subscribe("subscription { orders(userId: 7) }", context="here")
        assert (await anext(stream)).data == {"orders": "{'userId': 7} here 7"}


async def test_an_initial_value_that_fails_is_an_error_and_events_go_on(caplog):
    async def initial() -> int:
        raise GraphQLError("not yet")

    @subscription(channel="counter", initial=initial)
    async def counter(event) -> int:
        return event.data

    async with SubscriptionManager([counter]) as manager:
        stream = manager.subscribe("subscription { counter }")
        result = await anext(stream)
        assert result.errors[0]["message"] == "not yet"
        assert result.errors[0]["path"] == ["counter"]
        await manager.publish("counter", 1)
        assert (await anext(stream)).data == {"counter": 1}


async def test_an_initial_value_that_never_comes_is_ended_by_the_timeout():
    async def never() -> int:
        await asyncio.Event().wait()
        return 0

    @subscription(channel="counter", initial=never, timeout=1.0, name="late")
    async def late(event) -> int:
        return event.data

    async with SubscriptionManager([late]) as manager:
        stream = manager.subscribe("subscription { late }")
        first = await anext(stream)
        assert "did not answer within 1 s" in first.errors[0]["message"]
        await manager.publish("counter", 1)
        assert (await anext(stream)).data == {"late": 1}


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_results_leave_in_the_order_of_their_events(concurrency):
    running = most = 0

    @subscription(channel="numbers", concurrency=concurrency)
    async def numbers(event) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(event.data % 5):
            await asyncio.sleep(0)
        running -= 1
        return event.data

    async with SubscriptionManager([numbers]) as manager:
        stream = manager.subscribe("subscription { numbers }")
        first = asyncio.ensure_future(anext(stream))
        async for _ in manager.subscribe("{ __typename }"):
            pass
        await manager.publish_many(("numbers", number) for number in range(500))
        seen = [(await first).data["numbers"]]
        while len(seen) < 500:
            seen.append((await anext(stream)).data["numbers"])
    assert seen == list(range(500))
    assert most == concurrency
