"""Calls that await an otherwise unreferenced future are not garbage collected."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from support import eventually

from fraiseql_subs import Identity, Limits, Security, SubscriptionManager, passthrough, subscription
from fraiseql_subs.adapters._tasks import Peer


class Waiting:
    """Waits for a future that only the waiting task references."""

    def __init__(self) -> None:
        self._future: Any = lambda: None
        self.has_ended = False

    async def wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._future = weakref.ref(future)
        try:
            await future
        finally:
            self.has_ended = True
            self.was_completed = future.done() and not future.cancelled()

    async def go_on(self) -> None:
        """Run the garbage collector while it waits, then let it go on."""
        await eventually(lambda: self._future() is not None, "it waits")
        for _ in range(3):
            gc.collect()
            await asyncio.sleep(0)
        assert not self.has_ended, "it was collected"
        self._future().set_result(None)
        await eventually(lambda: self.has_ended, "it has gone on")
        assert self.was_completed


class Awaitable:
    """An awaitable that is not a coroutine."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def __await__(self) -> Generator[Any, None, Identity]:
        yield from self._waiting.wait().__await__()
        return Identity("ada")


feed = passthrough("feed", int, channel="events")


def echoing(name: str, initial: Any) -> Any:
    @subscription(channel="events", name=name, initial=initial)
    async def echo(event) -> int:
        return event.data

    return echo


async def acknowledged(manager: SubscriptionManager, waiting: Waiting) -> None:
    connection = manager._core.connect(["graphql-transport-ws"], Peer())
    connection.receive_text('{"type":"connection_init"}')
    await waiting.go_on()
    while isinstance(batch := connection.take(), asyncio.Future):
        await batch
    assert batch == [b'{"type":"connection_ack"}']
    connection.closed()


@pytest.mark.parametrize("kind", ["coroutine", "awaitable"])
async def test_authenticate(kind):
    waiting = Waiting()

    async def authenticate(params):
        if kind == "coroutine":
            await waiting.wait()
            return Identity("ada")
        return await Awaitable(waiting)

    security, limits = Security(authenticate=authenticate), Limits(connection_init_timeout=600)
    async with SubscriptionManager([feed], security=security, limits=limits) as manager:
        await acknowledged(manager, waiting)


async def test_a_hook_is_cancelled_with_its_manager():
    waiting = Waiting()

    async def authenticate(params):
        await waiting.wait()

    async with SubscriptionManager([feed], security=Security(authenticate=authenticate)) as manager:
        connection = manager._core.connect(["graphql-transport-ws"], Peer())
        connection.receive_text('{"type":"connection_init"}')
        await eventually(lambda: waiting._future() is not None, "it waits")
    await eventually(lambda: waiting.has_ended, "it is cancelled")
    assert not waiting.was_completed
    connection.closed()


async def test_a_hook_that_is_cancelled_before_its_first_step_was_awaited():
    """Otherwise Python warns of a coroutine that "was never awaited"."""

    async def authenticate(params):
        raise AssertionError("it has no first step")

    def start_cancelled(loop, coroutine, **options):
        task = asyncio.Task(coroutine, loop=loop, **options)
        task.cancel()
        return task

    event_loop = asyncio.get_running_loop()
    async with SubscriptionManager([feed], security=Security(authenticate=authenticate)) as manager:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            event_loop.set_task_factory(start_cancelled)
            connection = manager._core.connect(["graphql-transport-ws"], Peer())
            connection.receive_text('{"type":"connection_init"}')
            while isinstance(batch := connection.take(), asyncio.Future):
                await batch
            event_loop.set_task_factory(None)
            gc.collect()
        connection.closed()
    assert batch == [(4403, "Forbidden")]
    assert [str(warning.message) for warning in warned] == []


@pytest.mark.parametrize("kind", ["resolver", "initial", "initial_stream", "stream"])
async def test_a_call(kind):
    waiting = Waiting()

    async def initial():
        await waiting.wait()
        return 1

    async def initial_stream():
        await waiting.wait()
        yield 1

    @subscription(channel="events")
    async def resolver(event) -> int:
        await waiting.wait()
        return 1

    @subscription
    async def stream() -> AsyncIterator[int]:
        await waiting.wait()
        yield 1

    declared = {
        "resolver": resolver,
        "stream": stream,
        "initial": echoing("initial", initial),
        "initial_stream": echoing("initial_stream", initial_stream),
    }[kind]
    async with SubscriptionManager([declared]) as manager:
        async with manager.subscribe(f"subscription {{ {kind} }}") as results:
            if kind == "resolver":
                await manager.publish("events", 1)
            await waiting.go_on()
            assert (await anext(results)).data == {kind: 1}


@pytest.mark.parametrize("kind", ["resolver", "stream"])
async def test_the_clean_up_of_a_call_whose_client_has_left(kind):
    waiting, started = Waiting(), asyncio.Event()

    @subscription(channel="events")
    async def resolver(event) -> int:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await waiting.wait()

    @subscription
    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await waiting.wait()

    declared = {"resolver": resolver, "stream": stream}[kind]
    async with SubscriptionManager([declared]) as manager:
        async with manager.subscribe(f"subscription {{ {kind} }}") as results:
            await manager.publish("events", 1)
            await (started.wait() if kind == "resolver" else anext(results))
        await waiting.go_on()


@pytest.mark.parametrize("which", ["context_getter", "resolver", "generator"])
async def test_a_given_schema(which):
    graphql = pytest.importorskip("graphql")
    waiting = Waiting()

    async def wait(name: str) -> None:
        if name == which:
            await waiting.wait()

    async def context_getter(context):
        await wait("context_getter")

    async def source(root, info):
        await wait("generator")
        yield {"value": 1}

    async def resolve(root, info):
        await wait("resolver")
        return 1

    field = graphql.GraphQLField(graphql.GraphQLInt, resolve=resolve, subscribe=source)
    schema = graphql.GraphQLSchema(
        query=graphql.GraphQLObjectType("Query", {"ok": graphql.GraphQLField(graphql.GraphQLInt)}),
        subscription=graphql.GraphQLObjectType("Subscription", {"value": field}),
    )
    async with SubscriptionManager(schema=schema, context_getter=context_getter) as manager:
        async with manager.subscribe("subscription { value }") as results:
            await waiting.go_on()
            assert (await anext(results)).data == {"value": 1}


async def test_no_task_is_kept_once_it_has_ended():
    tasks: weakref.WeakSet[Any] = weakref.WeakSet()
    begun = []

    @subscription(channel="events")
    async def resolver(event) -> int:
        tasks.add(asyncio.current_task())
        begun.append(event)
        await asyncio.sleep(0 if event.data else 3600)
        return 1

    @subscription
    async def stream() -> AsyncIterator[int]:
        tasks.add(asyncio.current_task())
        yield 1

    async with SubscriptionManager([resolver, stream]) as manager:
        for data in (1, 0):
            async with manager.subscribe("subscription { resolver }") as results:
                await manager.publish("events", data)
                if data:
                    await anext(results)
                count = 2 - data
                await eventually(lambda c=count: len(begun) == c, "it has begun")
        async with manager.subscribe("subscription { stream }") as results:
            assert [result.data async for result in results] == [{"stream": 1}]

        def are_gone() -> bool:
            gc.collect()
            return not tasks

        await eventually(are_gone, "no task is kept")
