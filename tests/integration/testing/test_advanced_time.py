"""`fraiseql_subs.testing.Clock`: time that a test advances."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.tokens import SECRET, token

from fraiseql_subs import (
    JWT,
    ConnectionParams,
    Event,
    History,
    Identity,
    Rates,
    Security,
    SubscriptionManager,
    ValidationError,
    subscription,
)
from fraiseql_subs._core import advance_clock
from fraiseql_subs.testing import Clock, ConnectionEnded, TestClient, TestSubscription

HOUR = 3600.0


@subscription(channel="orders")
async def order(event: Event[int]) -> int:
    return event.data


DOCUMENT = "subscription { order }"


async def test_events_age():
    manager = SubscriptionManager([order], history=History(seconds=HOUR))
    with Clock() as clock:
        async with TestClient(manager) as client:
            receipts = [await client.publish("orders", number) for number in (1, 2)]
            after = {"resume": {"after": receipts[0].event_id}}
            await clock.advance(HOUR - 60)
            async with client.subscribe(DOCUMENT, extensions=after) as resumed:
                assert await resumed.next() == {"order": 2}
            await clock.advance(120)
            async with client.subscribe(DOCUMENT, extensions=after) as late:
                result = await late.next_result()
                assert result.extensions is not None and result.extensions["resume"]["missed"]


@pytest.mark.parametrize("by", ["token", "identity"])
async def test_a_connection_ends_with_its_identity(by):
    with Clock() as clock:

        async def authenticate(params: ConnectionParams) -> Identity:
            return params.identity or Identity("ada", expires_at=clock.time() + HOUR)

        signed = JWT(key=SECRET, algorithms=["HS256"]) if by == "token" else None
        security = Security(authenticate=authenticate, jwt=signed)
        client = TestClient(SubscriptionManager([order], security=security))
        bearer = {"authorization": f"Bearer {token(exp=clock.time() + HOUR)}"}
        headers = bearer if by == "token" else {}
        async with client:
            async with client.connect(headers=headers) as connection:
                async with connection.subscribe(DOCUMENT) as orders:
                    await clock.advance(HOUR - 60)
                    await client.publish("orders", 1)
                    assert await orders.next() == {"order": 1}
                    await clock.advance(120)
                    assert (await connection.wait_closed()).code == 4403
            if by == "token":
                with pytest.raises(ConnectionEnded):
                    async with client.connect(headers=headers):
                        pass
                again = {"authorization": f"Bearer {token(exp=clock.time() + HOUR)}"}
                async with client.connect(headers=again):
                    pass
    # The clock of the day is right again.
    async with client, client.connect(headers=headers):
        pass


async def test_rates_are_full_again():
    security = Security(rates=Rates(subscribes="1/h"))
    with Clock() as clock:
        async with TestClient(SubscriptionManager([order], security=security)) as client:
            async with client.connect() as connection:
                async with connection.subscribe(DOCUMENT):
                    pass
                with pytest.raises(ValidationError, match="too many operations"):
                    async with connection.subscribe(DOCUMENT):
                        raise AssertionError("a refused subscription is entered")
                await clock.advance(HOUR)
                async with connection.subscribe(DOCUMENT) as third:
                    await client.publish("orders", 3)
                    assert await third.next() == {"order": 3}


async def test_several_that_advance_at_once_take_their_turns():
    with Clock() as clock:
        loop, seen = asyncio.get_running_loop(), []
        for due in (1, 2, 3, 4, 5):
            loop.call_later(due, seen.append, due)
        await asyncio.gather(clock.advance(3), clock.advance(0), clock.advance(3))
        assert (clock.elapsed, seen) == (6, [1, 2, 3, 4, 5])


async def test_a_clock_that_is_left_while_it_is_advanced():
    with Clock() as clock:
        asyncio.get_running_loop().call_later(1, lambda: None)
        advancing = asyncio.ensure_future(clock.advance(2))
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="the clock is not entered"):
        await advancing


@pytest.mark.parametrize("is_connection", [False, True])
async def test_what_waits_for_a_result_waits_in_real_time(is_connection):
    @subscription(channel="orders")
    async def slow(event: Event[int]) -> int:
        await asyncio.sleep(HOUR)
        return event.data

    with Clock() as clock:
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(TestClient(SubscriptionManager([slow])))
            connection = await stack.enter_async_context(client.connect())
            subscribing = connection if is_connection else client
            results = await stack.enter_async_context(
                subscribing.subscribe("subscription { slow }")
            )
            waiting = asyncio.ensure_future(results.next())
            closing = asyncio.ensure_future(connection.wait_closed())
            await client.publish("orders", 1)
            await clock.advance(HOUR)
            assert await waiting == {"slow": 1}
            await clock.advance(HOUR)
            assert not closing.done()
            with pytest.raises(AssertionError, match=r"^no result has come in 0\.01 s$"):
                await results.next(timeout=0.01)
            await client.close()
            assert (await closing).code == 1001


async def test_timers_run_in_order_at_their_own_time():
    with Clock() as clock:
        loop, seen = asyncio.get_running_loop(), []
        begin = loop.time()

        def see(name: str) -> None:
            seen.append((name, round(loop.time() - begin)))

        loop.call_later(20, see, "second")
        loop.call_later(10, see, "first")
        cancelled = loop.call_later(15, see, "cancelled")
        cancelled.cancel()
        late = loop.call_at(begin + 100, see, "late")

        async def limited() -> None:
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 30)
            except asyncio.TimeoutError:
                see("timeout")

        waiting = asyncio.create_task(limited())
        await asyncio.sleep(0)
        await clock.advance(50)
        assert seen == [("first", 10), ("second", 20), ("timeout", 30)]
        assert clock.elapsed == 50
        await waiting
        late.cancel()
        with pytest.raises(ValueError, match="cannot go back"):
            await clock.advance(-1)


@subscription(channel="orders")
async def late_order(event: Event[int]) -> int:
    await asyncio.sleep(10)
    await asyncio.sleep(10)
    return event.data


async def test_what_is_about_to_sleep_is_seen():
    woken = []

    async def remind() -> None:
        await asyncio.sleep(60)
        woken.append(1)

    with Clock() as clock:
        reminding = asyncio.create_task(remind())
        await clock.advance(61)
        assert woken == [1]
        await reminding


async def test_resolvers_sleep_in_advanced_time():
    manager = SubscriptionManager([late_order])
    with Clock() as clock:
        async with TestClient(manager) as client:
            async with client.subscribe("subscription { lateOrder }") as orders:
                for number in range(30):
                    await client.publish("orders", number)
                    await clock.advance(21)
                    assert await orders.next() == {"lateOrder": number}


async def test_what_a_timer_publishes_is_delivered_before_the_next_one():
    manager = SubscriptionManager([order, late_order])
    seen = []

    async def publish(client: TestClient) -> None:
        for number in range(3):
            await asyncio.sleep(100)
            await client.publish("orders", number)

    async def note(orders: TestSubscription) -> None:
        async for result in orders:
            assert result.data is not None
            seen.append((result.data["lateOrder"], round(clock.elapsed)))

    with Clock() as clock:
        async with TestClient(manager) as client:
            async with client.subscribe("subscription { lateOrder }") as orders:
                tasks = [asyncio.create_task(publish(client)), asyncio.create_task(note(orders))]
                await clock.advance(400)
                assert seen == [(0, 120), (1, 220), (2, 320)]
            # Both end: all is published, and the subscription has ended.
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_timers_from_before_the_clock_run_in_order():
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(HOUR)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    with Clock() as clock:
        await clock.advance(24 * HOUR + 60)
    ticking.cancel()
    assert ticks == 24


async def test_many_clocks_on_one_loop_add_nothing_to_it():
    loop = asyncio.get_running_loop()
    with Clock() as clock:
        await clock.advance(1)
    first = loop.time
    begin = loop.time()
    for _ in range(1200):
        with Clock() as clock:
            await clock.advance(1)
    assert loop.time is first
    assert 1200 <= loop.time() - begin < 1800


async def test_a_clock_that_is_entered_again_begins_at_zero():
    loop, clock = asyncio.get_running_loop(), Clock()
    for _ in range(2):
        with clock:
            assert clock.elapsed == 0
            begin = loop.time()
            await clock.advance(1000)
            assert clock.elapsed == 1000 and round(loop.time() - begin, -2) == 1000


async def test_steps_below_a_millisecond_count():
    manager = SubscriptionManager([order], history=History(seconds=60))
    async with TestClient(manager) as client:
        receipts = [await client.publish("orders", number) for number in (1, 2)]
        for _ in range(100_000):
            advance_clock(0.0009)
        after = {"resume": {"after": receipts[0].event_id}}
        async with client.subscribe(DOCUMENT, extensions=after) as late:
            result = await late.next_result()
            assert result.extensions is not None and result.extensions["resume"]["missed"]


@pytest.mark.parametrize(
    "seconds", [float("inf"), float("nan"), -1.0, 101 * 365 * 24 * HOUR], ids=str
)
async def test_time_without_end_is_refused_before_it_passes(seconds):
    loop = asyncio.get_running_loop()
    with Clock() as clock:
        before = loop.time()
        with pytest.raises(ValueError, match="seconds is"):
            await clock.advance(seconds)
        assert clock.elapsed == 0 and loop.time() - before < HOUR


async def test_one_clock_at_a_time_and_only_inside_its_block():
    with Clock():
        with pytest.raises(RuntimeError, match="another clock"):
            with Clock():
                pass
    with pytest.raises(RuntimeError, match="not entered"):
        await Clock().advance(1)


def test_an_event_loop_without_it_is_refused():
    uvloop = pytest.importorskip("uvloop")

    async def enter() -> None:
        with pytest.raises(RuntimeError, match="uvloop cannot be advanced"):
            with Clock():
                pass

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(enter())
    finally:
        loop.close()
