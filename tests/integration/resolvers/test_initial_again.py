"""`initial=` that fails is called again, and until it succeeds no id lets a client skip it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from support import eventually

from fraiseql_subs import GraphQLError, History, SubscriptionManager, subscription

BEGIN: dict = {"resume": {}}
FEED = "subscription { feed }"


class Database:
    """Has a value, and fails as often as it is told."""

    def __init__(self, failures: float) -> None:
        self.value = 10
        self.failures = failures
        self.calls = 0
        self.fault: Callable[[], BaseException] = lambda: ConnectionError("too many clients")

    async def read(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.fault()
        return self.value


def feed_of(read, name: str = "feed", **options):
    @subscription(channel="feed", initial=read, name=name, **options)
    async def feed(event) -> int:
        return event.data

    return feed


def id_of(result) -> str | None:
    return ((result.extensions or {}).get("resume") or {}).get("id")


async def test_an_initial_value_that_fails_is_made_again_and_the_client_is_told_once(caplog):
    database = Database(failures=2)
    async with SubscriptionManager([feed_of(database.read)]) as manager:
        async with manager.subscribe(FEED) as results:
            failed = await anext(results)
            assert failed.errors[0]["message"] == "Internal server error"
            assert (await anext(results)).data == {"feed": 10}
            assert database.calls == 3
            await manager.publish("feed", 11)
            assert (await anext(results)).data == {"feed": 11}
        assert manager.metrics().resolver_errors == 2
    assert "too many clients" in caplog.text


async def test_results_before_the_initial_value_have_no_id():
    """Otherwise a client would come back with one, and never have the state before it."""
    database = Database(failures=float("inf"))
    async with SubscriptionManager([feed_of(database.read)]) as manager:
        async with manager.subscribe(FEED, extensions=BEGIN) as results:
            assert (await anext(results)).extensions == {"resume": {"missed": False}}
            failed = await anext(results)
            assert failed.errors and id_of(failed) is None
            await manager.publish("feed", 11)
            event = await anext(results)
            assert event.data == {"feed": 11} and id_of(event) is None
            database.failures, database.value = 0, 11
            value = await anext(results)
            assert value.data == {"feed": 11} and id_of(value)
        await manager.publish("feed", 12)
        returned = {"resume": {"after": id_of(value)}}
        async with manager.subscribe(FEED, extensions=returned) as results:
            assert (await anext(results)).data == {"feed": 12}


async def test_after_missed_events_the_initial_value_is_made_until_it_succeeds():
    database = Database(failures=0)
    manager = SubscriptionManager([feed_of(database.read)], history=History(events=2))
    async with manager:
        async with manager.subscribe(FEED, extensions=BEGIN) as results:
            await anext(results)
            last = id_of(await anext(results))
        for number in range(5):
            await manager.publish("feed", number)
        database.failures = database.calls + 2
        returned = {"resume": {"after": last}}
        async with manager.subscribe(FEED, extensions=returned) as results:
            assert (await anext(results)).extensions == {"resume": {"missed": True}}
            assert (await anext(results)).errors
        # It has nothing to come back with but the old id.
        async with manager.subscribe(FEED, extensions=returned) as results:
            assert (await anext(results)).extensions == {"resume": {"missed": True}}
            while (result := await anext(results)).errors:
                pass
            assert result.data == {"feed": 10}


@pytest.mark.parametrize("ends", [False, True])
async def test_it_is_not_called_again_after_an_error_for_the_client_or_the_end(ends):
    final, failing = Database(failures=float("inf")), Database(failures=float("inf"))
    if not ends:
        final.fault = lambda: GraphQLError("there is no such customer")
    resolvers = [feed_of(final.read), feed_of(failing.read, name="other")]
    async with SubscriptionManager(resolvers) as manager:
        results = manager.subscribe(FEED, extensions=BEGIN)
        others = manager.subscribe("subscription { other }")
        await anext(results)
        failed = await anext(results)
        # The error for the client is the value: it has an id.
        assert failed.errors and bool(id_of(failed)) is not ends
        if ends:
            await results.aclose()
        await anext(others)
        await eventually(lambda: failing.calls > 2, "the other one is called again")
        assert final.calls == 1
        await results.aclose()
        await others.aclose()


async def test_an_initial_value_that_takes_too_long_is_made_again():
    calls = 0

    async def slow() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return 10

    async with SubscriptionManager([feed_of(slow, timeout=0.2)]) as manager:
        async with manager.subscribe(FEED) as results:
            while (result := await anext(results)).errors:
                assert "did not answer within" in result.errors[0]["message"]
            assert result.data == {"feed": 10}


async def test_a_generator_that_fails_on_its_way_begins_again():
    calls = 0

    async def parts() -> AsyncIterator[int]:
        nonlocal calls
        calls += 1
        yield 1
        if calls == 1:
            raise ConnectionError
        yield 2

    async with SubscriptionManager([feed_of(parts)]) as manager:
        async with manager.subscribe(FEED) as results:
            assert (await anext(results)).data == {"feed": 1}
            assert (await anext(results)).errors
            assert [(await anext(results)).data["feed"] for _ in range(2)] == [1, 2]
