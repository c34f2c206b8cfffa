"""Random cancels, disconnects, exceptions and timeouts: every call ends exactly once."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing

import psutil
import pytest
from support.protocol_client import ProtocolClient

from fraiseql_subs import (
    SKIP,
    Event,
    GraphQLError,
    Limits,
    SubscriptionManager,
    subscription,
)

EVENTS = 1_500


class Ledger:
    """The calls that began, and how often each ended."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.began: list[int] = []
        self.ended: Counter[int] = Counter()

    async def work(self, number: int) -> int:
        call = len(self.began)
        self.began.append(number)
        try:
            return await self._behave(number)
        finally:
            self.ended[call] += 1

    async def _behave(self, number: int) -> int:
        chance = self.random.random()
        if chance < 0.6:
            return number
        if chance < 0.8:
            for _ in range(self.random.randrange(5)):
                await asyncio.sleep(0)
            return number
        if chance < 0.88:
            raise GraphQLError("refused")
        if chance < 0.94:
            return SKIP
        if chance < 0.99:
            await asyncio.sleep(self.random.random() * 0.01)
            return number
        await asyncio.Event().wait()
        return number

    def check(self) -> None:
        assert len(self.ended) == len(self.began)
        assert set(self.ended.values()) <= {1}


def subscriptions(ledger: Ledger) -> list:
    @subscription(channel="numbers", timeout=0.05)
    async def single(event: Event) -> int | None:
        return await ledger.work(event.data)

    @subscription(channel="numbers", timeout=0.05, concurrency=8)
    async def parallel(event: Event) -> int | None:
        return await ledger.work(event.data)

    @subscription(channel="numbers", timeout=0.05, shared=True)
    async def together(event: Event) -> int | None:
        return await ledger.work(event.data)

    @subscription
    async def stream() -> AsyncIterator[int]:
        call = len(ledger.began)
        ledger.began.append(0)
        try:
            number = 0
            while True:
                number += 1
                yield number
                await asyncio.sleep(0.001)
        finally:
            ledger.ended[call] += 1

    return [single, parallel, together, stream]


FIELDS = ("single", "parallel", "together", "stream")


class Crowd:
    """Subscribers that come and go at random."""

    def __init__(self, manager: SubscriptionManager, chance: random.Random) -> None:
        self.manager = manager
        self.chance = chance
        self.received: list[list[int]] = []

    def note(self, values: list[int | None]) -> None:
        self.received.append([value for value in values if value is not None])

    async def in_process(self) -> None:
        field = self.chance.choice(FIELDS)
        seen: list[int | None] = []
        async with aclosing(self.manager.subscribe(f"subscription {{ {field} }}")) as stream:
            for _ in range(self.chance.randrange(30)):
                result = await anext(stream)
                seen.append(result.data[field] if result.errors is None else None)
        self.note(seen)

    async def cancelled(self) -> None:
        task = asyncio.ensure_future(self.in_process())
        await asyncio.sleep(self.chance.random() * 0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def socket(self, client: ProtocolClient) -> None:
        seen: dict[str, list[int | None]] = {}
        for field in self.chance.sample(FIELDS, 3):
            seen[await client.subscribe(f"subscription {{ value: {field} }}")] = []
        for _ in range(self.chance.randrange(40)):
            message = await client.receive()
            payload = message["payload"]
            seen[message["id"]].append(None if "errors" in payload else payload["data"]["value"])
        end = self.chance.choice(["complete", "abort", "close"])
        if end == "complete":
            for id in seen:
                await client.complete(id)
        elif end == "abort":
            client.socket.transport.abort()
        await client.close()
        for values in seen.values():
            self.note(values)


@pytest.mark.parametrize("seed", range(3))
async def test_every_call_ends_once_whatever_happens(seed, serve, connect, caplog, within):
    ledger = Ledger(seed)
    limits = Limits(slow_consumer="drop_oldest")
    manager = SubscriptionManager(subscriptions(ledger), workers=2, limits=limits)
    await manager.start()
    server = await serve(manager)
    crowd = Crowd(manager, ledger.random)

    async def churn() -> None:
        for kind in ledger.random.choices(["in_process", "cancelled", "socket"], k=12):
            if kind == "socket":
                await crowd.socket(await connect(server.url))
            else:
                await getattr(crowd, kind)()

    actors = [asyncio.ensure_future(churn()) for _ in range(12)]
    number = 0
    while number < EVENTS or not all(actor.done() for actor in actors):
        await manager.publish("numbers", number)
        number += 1
        await asyncio.sleep(0)
    await asyncio.gather(*actors)
    await manager.close(drain=5.0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    await within(asyncio.gather(*left, return_exceptions=True))
    ledger.check()
    assert len(ledger.began) > EVENTS / 10
    assert len(crowd.received) > 50
    for seen in crowd.received:
        assert seen == sorted(set(seen))
    # A timeout is reported to the client, and is not logged as a fault.
    assert "Traceback" not in caplog.text


async def test_calls_that_resist_cancellation_do_not_hold_up_those_after_them(within):
    released = asyncio.Event()

    @subscription(channel="numbers", timeout=1.0)
    async def stubborn(event: Event) -> int:
        while event.data == 0 and not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return event.data

    manager = SubscriptionManager([stubborn])
    async with manager, manager.subscribe("subscription { stubborn }") as stream:
        await manager.publish_many([("numbers", number) for number in range(3)])
        assert "did not answer" in (await anext(stream)).errors[0]["message"]
        assert (await anext(stream)).data == {"stubborn": 1}
        assert (await anext(stream)).data == {"stubborn": 2}
        released.set()


@pytest.mark.alone
async def test_many_events_through_resolvers_leave_memory_as_it_was():
    @subscription(channel="numbers")
    async def doubled(event: Event) -> int:
        return event.data * 2

    manager = SubscriptionManager([doubled])
    async with manager, manager.subscribe("subscription { doubled }") as stream:

        async def flow(count: int) -> int:
            for start in range(0, count, 500):
                await manager.publish_many(("numbers", n) for n in range(start, start + 500))
                for n in range(start, start + 500):
                    assert (await anext(stream)).data["doubled"] == n * 2
            gc.collect()
            return psutil.Process().memory_info().rss

        before = await flow(10_000)
        assert await flow(40_000) - before < 4 * 1024 * 1024
