"""`CancelledError` and `GeneratorExit` that the application itself raises are faults."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator
from typing import Any

import graphql
import pytest
from support import eventually

from fraiseql_subs import (
    Event,
    Scalar,
    Security,
    SubscriptionManager,
    ValidationError,
    subscription,
)

OWN = pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit])


def ours(caplog: Any) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "fraiseql_subs"]


def check_logged(caplog: Any, kind: type[BaseException], what: str) -> None:
    (record,) = ours(caplog)
    assert record.levelname == "ERROR" and what in record.getMessage()
    raised: BaseException | None = record.exc_info[1]
    while raised is not None and not isinstance(raised, kind):
        raised = raised.__cause__
    # Python 3.10 raises the cancellation again without a traceback.
    while raised is not None and raised.__traceback__ is None:
        raised = raised.__context__
    assert raised is not None


async def inner_task() -> None:
    """Await a task that other code has cancelled."""
    task = asyncio.ensure_future(asyncio.Event().wait())
    task.cancel()
    await task


@pytest.mark.parametrize("is_async", [False, True])
@OWN
async def test_own_cancellation_in_a_resolver(kind, is_async, caplog):
    if is_async:

        @subscription(channel="c")
        async def value(event: Event) -> int | None:
            raise kind
    else:

        @subscription(channel="c")
        def value(event: Event) -> int | None:
            raise kind

    manager = SubscriptionManager([value])
    async with manager, manager.subscribe("subscription { value }") as stream:
        for _ in range(2):
            await manager.publish("c", 1)
            (error,) = (await anext(stream)).errors
            assert error["message"] == "Internal server error"
        assert manager.metrics().resolver_errors == 2
        check_logged(caplog, kind, "the resolver of value raised")


async def test_own_cancellation_of_a_task_that_a_resolver_awaits(caplog):
    @subscription(channel="c")
    async def value(event: Event) -> int | None:
        await asyncio.sleep(0)
        await inner_task()
        return 1

    manager = SubscriptionManager([value])
    async with manager, manager.subscribe("subscription { value }") as stream:
        await manager.publish("c", 1)
        assert (await anext(stream)).errors is not None
        check_logged(caplog, asyncio.CancelledError, "the resolver of value raised")


@OWN
async def test_own_cancellation_in_an_initial_value(kind, caplog):
    async def first() -> int:
        raise kind

    @subscription(channel="c", initial=first)
    def value(event: Event) -> int | None:
        return event.data

    manager = SubscriptionManager([value])
    async with manager, manager.subscribe("subscription { value }") as stream:
        assert (await anext(stream)).errors is not None
        await manager.publish("c", 2)
        assert (await anext(stream)).data == {"value": 2}
        check_logged(caplog, kind, "the resolver of value raised")


@OWN
async def test_own_cancellation_in_a_source_stream_ends_it_with_an_error(kind, caplog):
    @subscription
    async def values() -> AsyncIterator[int]:
        yield 1
        if kind is asyncio.CancelledError:
            await inner_task()
        raise kind

    async with SubscriptionManager([values]) as manager:
        stream = manager.subscribe("subscription { values }")
        assert (await anext(stream)).data == {"values": 1}
        with pytest.raises(ValidationError, match="Internal server error") as ended:
            await anext(stream)
        assert isinstance(ended.value.__cause__, kind)
        check_logged(caplog, kind, "the resolver of values raised")


@OWN
async def test_own_cancellation_in_an_attribute_and_in_a_serializer(kind, caplog):
    class Thing:
        @property
        def broken(self) -> int:
            raise kind

    def serialize(value: object) -> object:
        raise kind

    sdl = """
        scalar Odd
        type Query { ok: Boolean }
        type Thing { broken: Int odd: Odd }
        type Subscription { thing: Thing }
    """

    @subscription(channel="c")
    def thing(event: Event) -> Any:
        return Thing() if event.data else {"odd": 1}

    manager = SubscriptionManager([thing], schema=sdl, scalars=[Scalar("Odd", serialize)])
    async with manager, manager.subscribe("subscription { thing { broken odd } }") as stream:
        for data in (True, False):
            await manager.publish("c", data)
            assert (await anext(stream)).errors is not None
    problems = [record.getMessage() for record in ours(caplog)]
    assert any("reading Thing.broken raised" in problem for problem in problems)
    assert any("serializing Thing.odd raised" in problem for problem in problems)


@OWN
async def test_own_cancellation_in_an_existing_schema(kind, caplog):
    async def fail(*_: Any) -> int:
        raise kind

    schema = graphql.build_schema("type Query { q: Int }")
    schema.query_type.fields["q"].resolve = fail
    async with SubscriptionManager(schema=schema) as manager:
        with pytest.raises(ValidationError, match="Internal server error"):
            await anext(manager.subscribe("{ q }"))
        assert "raised" in ours(caplog)[0].getMessage()


@OWN
async def test_own_cancellation_in_authenticate_refuses_the_client(kind, caplog, serve, connect):
    async def authenticate(params: Any) -> None:
        if kind is asyncio.CancelledError:
            await inner_task()
        raise kind

    @subscription(channel="c")
    def value(event: Event) -> int: ...

    manager = SubscriptionManager([value], security=Security(authenticate=authenticate))
    server = await serve(manager)
    client = await connect(server.url, init=False)
    await client.send({"type": "connection_init"})
    await client.expect_close(4403)
    check_logged(caplog, kind, "authenticate raised; the client was refused")


@dataclasses.dataclass
class Waiting:
    begun: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    ended: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def test_cancellation_by_a_disconnect_is_not_a_fault(caplog, within):
    calls, streams = Waiting(), Waiting()

    @subscription(channel="c")
    async def value(event: Event) -> int:
        await calls.wait()
        return 1

    @subscription
    async def values() -> AsyncIterator[int]:
        await streams.wait()
        yield 1

    async with SubscriptionManager([value, values]) as manager:
        async with (
            manager.subscribe("subscription { value }"),
            manager.subscribe("subscription { values }"),
        ):
            await manager.publish("c", 1)
            await within(calls.begun.wait())
            await within(streams.begun.wait())
        await within(calls.ended.wait())
        await within(streams.ended.wait())
    assert ours(caplog) == []


@pytest.mark.parametrize("how", ["timeout", "close", "the end of the loop", "a closed loop"])
def test_cancellation_by_the_server_is_not_a_fault(how, caplog):
    calls = Waiting()
    timeout = 0.1 if how == "timeout" else None

    @subscription(channel="c", timeout=timeout)
    async def value(event: Event) -> int:
        await calls.wait()
        return 1

    @subscription
    async def values() -> AsyncIterator[int]:
        await calls.wait()
        yield 1

    manager = SubscriptionManager([value, values])

    async def main() -> None:
        async with manager.subscribe("subscription { values }"):
            stream = manager.subscribe("subscription { value }")
            await stream.__aenter__()
            await manager.publish("c", 1)
            await eventually(calls.begun.is_set, "the call has begun")
            if how == "timeout":
                assert "did not answer" in (await anext(stream)).errors[0]["message"]
            if how == "close":
                await manager.close(drain=0)
            if how == "a closed loop":
                asyncio.get_running_loop().stop()
                await asyncio.sleep(0)

    if how == "a closed loop":
        loop = asyncio.new_event_loop()
        task = loop.create_task(main())
        loop.run_forever()
        task.cancel()
        loop.close()
        task._log_destroy_pending = False
        # Another loop finds it closed while one of its tasks runs.
        asyncio.run(start_again(manager))
    else:
        asyncio.run(main())
    assert calls.ended.is_set()
    assert [r for r in ours(caplog) if "raised" in r.getMessage()] == []


async def start_again(manager: SubscriptionManager) -> None:
    async with manager:
        await manager.publish("c", 1)
