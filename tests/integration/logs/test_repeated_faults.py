"""A fault that repeats is logged once, and then counted."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry
from support import PATIENCE, eventually

from fraiseql_subs import (
    ConnectionParams,
    Event,
    Scalar,
    Security,
    SubscriptionManager,
    passthrough,
    subscription,
)

SUBSCRIBERS = 20
EVENTS = 10


def fail(*_: Any) -> Any:
    raise RuntimeError("broken")


def faults(caplog) -> list[logging.LogRecord]:
    """The records with a traceback, or about a value that does not fit."""
    return [
        r
        for r in caplog.records
        if r.name == "fraiseql_subs" and "more since" not in r.getMessage()
    ]


def counts(caplog) -> list[Any]:
    """Return the counts in the log."""
    return [r.args[-1] for r in caplog.records if "more since" in r.msg]


@dataclasses.dataclass
class Thing:
    name: str

    broken = property(fail)


class Serializes:
    serialize = staticmethod(fail)


SDL = """
    scalar Odd
    type Thing { name: String broken: Int }
    type Query { ok: Boolean }
    type Subscription { thing: Thing count: Int odd: Odd }
"""


@subscription(channel="events", name="count")
def sync_resolver(event: Event) -> Any:
    return fail()


@subscription(channel="events", name="count")
async def async_resolver(event: Event) -> Any:
    await asyncio.sleep(0)
    return fail()


@subscription(channel="events", name="count")
def misfits(event: Event) -> Any:
    return f"no number {event.offset}"


@subscription(channel="events", name="thing")
def attributes(event: Event) -> Any:
    return Thing("a")


@subscription(channel="events", name="odd")
def serializers(event: Event) -> Any:
    return 1


KINDS = {
    "sync resolver": (sync_resolver, "{ count }"),
    "async resolver": (async_resolver, "{ count }"),
    "misfit": (misfits, "{ count }"),
    "attribute": (attributes, "{ thing { name broken } }"),
    "serializer": (serializers, "{ odd }"),
    "passthrough": (passthrough("count", channel="events"), "{ count }"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_one_record_for_many_subscribers_and_events(kind, caplog):
    function, selection = KINDS[kind]
    odd = Scalar("Odd", serialize=fail, parse=str)
    manager = SubscriptionManager([function], schema=SDL, scalars=[odd])
    async with manager:
        streams = [manager.subscribe(f"subscription {selection}") for _ in range(SUBSCRIBERS)]
        for stream in streams:
            await stream.__aenter__()
        await manager.publish_many(("events", f"no number {n}") for n in range(EVENTS))
        for stream in streams:
            for _ in range(EVENTS):
                assert (await anext(stream)).errors
        metrics = manager.metrics()
        await eventually(lambda: faults(caplog), "the fault is logged")
    assert len(faults(caplog)) == 1
    if kind == "passthrough":
        # Equal passthroughs are projected once.
        assert metrics.field_errors == EVENTS
    else:
        assert metrics.resolver_errors + metrics.field_errors == SUBSCRIBERS * EVENTS
        # The remaining count is logged when the manager ends.
        assert counts(caplog) == [SUBSCRIBERS * EVENTS - 1]


async def test_an_initial_value_that_raises(caplog):
    @subscription(channel="events", initial=lambda: fail())
    def value(event: Event) -> int:
        return 1

    async with SubscriptionManager([value]) as manager:
        for _ in range(5):
            async with manager.subscribe("subscription { value }") as stream:
                assert (await anext(stream)).errors
    assert len(faults(caplog)) == 1
    assert counts(caplog) == [4]


async def test_a_source_stream_that_raises(caplog):
    @subscription
    async def value() -> AsyncIterator[int]:
        yield 1
        fail()

    async with SubscriptionManager([value]) as manager:
        for _ in range(5):
            with pytest.raises(Exception, match="Internal server error"):
                async for _ in manager.subscribe("subscription { value }"):
                    pass
        assert manager.metrics().resolver_errors == 5
    assert len(faults(caplog)) == 1
    assert counts(caplog) == [4]


async def test_authenticate_hooks_that_raise(serve, connect, caplog):
    @subscription(channel="events")
    def value(event: Event) -> int:
        return 1

    async def authenticate(params: ConnectionParams) -> None:
        fail()

    manager = SubscriptionManager([value], security=Security(authenticate=authenticate))
    server = await serve(manager)
    for _ in range(5):
        client = await connect(server.url, init=False)
        await client.send({"type": "connection_init"})
        await client.expect_close(4403)
    assert len([r for r in faults(caplog) if "authenticate raised" in r.getMessage()]) == 1
    await manager.close()
    assert counts(caplog) == [4]


async def test_resolvers_and_context_getters_of_a_given_schema(caplog):
    @strawberry.type
    class Query:
        @strawberry.field
        def broken(self) -> int | None:
            return fail()

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def value(self) -> AsyncIterator[int]:
            yield 1

    schema = strawberry.Schema(Query, subscription=Subscription)
    async with SubscriptionManager(schema=schema) as manager:
        for index in range(5):
            # A client cannot turn one fault into many by aliases.
            async with manager.subscribe(f"{{ alias{index}: broken }}") as stream:
                assert (await anext(stream)).errors
    assert len(faults(caplog)) == 1
    caplog.clear()
    async with SubscriptionManager(schema=schema, context_getter=fail) as manager:
        for _ in range(5):
            with pytest.raises(Exception, match="Internal server error"):
                async with manager.subscribe("{ broken }") as stream:
                    await anext(stream)
    assert len(faults(caplog)) == 1


async def test_different_faults_are_told_apart(caplog):
    @subscription(channel="events")
    def value(event: Event) -> int:
        if event.data == 1:
            raise KeyError("one line")
        if event.data == 2:
            raise ValueError("another")
        raise KeyError("the third")

    async with (
        SubscriptionManager([value]) as manager,
        manager.subscribe("subscription { value }") as stream,
    ):
        for data in (1, 2, 3, 1, 2, 3):
            await manager.publish("events", data)
            await anext(stream)
    assert len(faults(caplog)) == 3


PROGRAM = """
import asyncio, sys
from fraiseql_subs import Event, SubscriptionManager, subscription

class Thing:
    @property
    def value(self):
        raise {exception}

SDL = "type Query {{ ok: Boolean }} type Subscription {{ sync: Int suspended: Int thing: Thing }} type Thing {{ value: Int }}"

@subscription(channel="events")
def sync(event: Event):
    raise {exception}

@subscription(channel="events")
async def suspended(event: Event):
    await asyncio.sleep(0)
    raise {exception}

@subscription(channel="events")
def thing(event: Event):
    return Thing()

async def main():
    async with SubscriptionManager([sync, suspended, thing], schema=SDL) as manager:
        async with manager.subscribe("subscription {{ {selection} }}") as stream:
            await manager.publish("events", 1)
            await asyncio.wait_for(asyncio.Event().wait(), 30)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(7)
"""  # noqa: E501


@pytest.mark.parametrize("selection", ["sync", "suspended", "thing { value }"])
@pytest.mark.parametrize("exception", ["SystemExit(7)", "KeyboardInterrupt()"])
def test_exit_and_interrupt_end_the_program(exception, selection):
    program = PROGRAM.format(exception=exception, selection=selection)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=3 * PATIENCE
    )
    assert ended.returncode == 7, ended.stderr
