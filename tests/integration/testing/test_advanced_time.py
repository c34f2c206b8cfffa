"""`fraiseql_subs.testing.Clock`: time that a test advances."""

from __future__ import annotations

import asyncio

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
from fraiseql_subs.testing import Clock, ConnectionEnded, TestClient

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
                async with connection.subscribe(DOCUMENT) as second:
                    with pytest.raises(ValidationError, match="too many operations"):
                        await second.next()
                await clock.advance(HOUR)
                async with connection.subscribe(DOCUMENT) as third:
                    await client.publish("orders", 3)
                    assert await third.next() == {"order": 3}


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
