"""Managers whose event loop has ended, is stopped, or runs in another thread."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import uvloop
from starlette.applications import Starlette
from starlette.routing import Mount
from support import PATIENCE, eventually_sync

with warnings.catch_warnings():
    # It asks for another HTTP client than the one that is there.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

from fraiseql_subs import ConfigurationError, Event, SubscriptionManager, subscription
from fraiseql_subs.adapters.asgi import GraphQLApp

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@subscription(channel="numbers")
async def number(event: Event) -> int:
    await asyncio.sleep(0)
    return event.data


@subscription
async def endless() -> AsyncIterator[int]:
    count = 0
    while True:
        yield count
        count += 1
        await asyncio.sleep(0)


@pytest.fixture(params=LOOPS)
def new_loop(request) -> Callable[[], asyncio.AbstractEventLoop]:
    return LOOPS[request.param]


@pytest.fixture
def manager() -> Iterator[SubscriptionManager]:
    manager = SubscriptionManager([number, endless])
    yield manager
    asyncio.run(manager.close())


@pytest.fixture
def silence(caplog, capfd) -> Iterator[None]:
    """Fail on any log record, warning or text on standard error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    assert caplog.text == ""
    assert capfd.readouterr().err == ""


async def bounded(awaitable: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaitable, PATIENCE)


async def first(manager: SubscriptionManager, value: int) -> Any:
    """Return the result of one event; leaves the manager open."""
    async with manager.subscribe("subscription { number }") as stream:
        await manager.publish("numbers", value)
        return (await anext(stream)).data["number"]


def run(loop: asyncio.AbstractEventLoop, main: Awaitable[Any]) -> Any:
    return loop.run_until_complete(bounded(main))


def test_each_asyncio_run_finds_a_manager_that_the_last_one_left_open(manager, silence):
    assert [asyncio.run(bounded(first(manager, n))) for n in range(3)] == [0, 1, 2]


def test_each_anyio_run_finds_a_manager_that_the_last_one_left_open(manager, silence):
    assert [anyio.run(first, manager, n) for n in range(3)] == [0, 1, 2]


def test_loops_that_are_closed_with_everything_under_way(manager, new_loop, silence):
    """`close` without an end of the tasks: streams and calls that wait, a server that listens."""

    async def leave_open() -> None:
        for document in ("subscription { endless }", "subscription { number }"):
            stream = await manager.subscribe(document).__aenter__()
            kept.append(stream)
        await manager.serve(port=0).__aenter__()
        assert (await anext(kept[-2])).data == {"endless": 0}

    for value in range(3):
        kept: list[Any] = []
        loop = new_loop()
        run(loop, leave_open())
        loop.close()
        loop = new_loop()
        assert run(loop, first(manager, value)) == value
        loop.close()


def test_a_manager_moves_from_a_stopped_loop_to_the_running_one(manager, new_loop):
    standing, other = new_loop(), new_loop()
    assert run(standing, first(manager, 1)) == 1
    assert run(other, first(manager, 2)) == 2
    # And back, also without another one in between.
    assert run(standing, first(manager, 3)) == 3
    assert run(standing, first(manager, 4)) == 4
    standing.close()
    other.close()


def test_subscriptions_of_an_ended_loop_end(manager, new_loop):
    async def subscribe() -> Any:
        return await manager.subscribe("subscription { number }").__aenter__()

    for close in (True, False):
        loop = new_loop()
        stream = run(loop, subscribe())
        if close:
            loop.close()
        other = new_loop()
        assert run(other, first(manager, 1)) == 1
        with pytest.raises(StopAsyncIteration):
            run(other, stream.__anext__())
        loop.close()
        other.close()


CALLS = {
    "publish": lambda manager: manager.publish("numbers", 1),
    "publish_many": lambda manager: manager.publish_many([("numbers", 1)]),
    "subscribe": lambda manager: first(manager, 1),
    "close": lambda manager: manager.close(),
    "disconnect": lambda manager: manager.disconnect(tenant_id="a"),
    "start": lambda manager: manager.start(),
    "publish_event": lambda manager: manager.executor.publish_event("numbers", 1),
    "register": lambda manager: manager.executor.register_subscription("subscription { number }"),
}


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize("call", CALLS)
def test_nothing_hangs_after_the_loop_has_ended(call, is_closed, manager, new_loop):
    loop, other = new_loop(), new_loop()
    run(loop, first(manager, 1))
    if is_closed:
        loop.close()

    async def main() -> None:
        await CALLS[call](manager)

    run(other, main())
    loop.close()
    other.close()


def test_serving_works_again_on_the_next_loop(manager, new_loop):
    async def serve(enter_only: bool) -> int:
        server = manager.serve(port=0)
        await server.__aenter__()
        if not enter_only:
            await server.__aexit__(None, None, None)
        return server.port

    loop = new_loop()
    port = run(loop, serve(enter_only=True))
    loop.close()

    async def connect() -> None:
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)

    # The server of the ended loop does not listen any more.
    asyncio.run(connect())
    loop = new_loop()
    assert run(loop, serve(enter_only=False))
    loop.close()


@contextmanager
def loop_in_a_thread(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Any]:
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_loop_in_another_thread_that_is_gone(manager, new_loop):
    with loop_in_a_thread(new_loop) as loop:
        asyncio.run_coroutine_threadsafe(first(manager, 1), loop).result(PATIENCE)
    assert asyncio.run(bounded(first(manager, 2))) == 2


def test_a_loop_that_runs_in_another_thread_is_published_to_and_not_taken_over(manager, new_loop):
    with loop_in_a_thread(new_loop) as loop:
        asyncio.run_coroutine_threadsafe(manager.start(), loop).result(PATIENCE)

        async def main() -> None:
            # Calls work from every loop; the resolvers run on the one of the start.
            assert await first(manager, 3) == 3
            with pytest.raises(ConfigurationError, match="event loop of another thread"):
                await manager.start()
            with pytest.raises(ConfigurationError, match="make a manager for each event loop"):
                async with manager:
                    pass
            assert await first(manager, 4) == 4

        asyncio.run(bounded(main()))


def test_what_waits_on_one_loop_ends_with_the_loop_of_the_manager(manager, new_loop):
    """A stream that is iterated on another loop does not wait for ever."""
    waiting = threading.Event()
    found: list[Any] = []

    async def iterate() -> None:
        async with manager.subscribe("subscription { number }") as stream:
            asyncio.get_running_loop().call_soon(waiting.set)
            found.extend([result async for result in stream])

    with loop_in_a_thread(new_loop) as loop:
        asyncio.run_coroutine_threadsafe(manager.start(), loop).result(PATIENCE)
        thread = threading.Thread(target=lambda: asyncio.run(bounded(iterate())))
        thread.start()
        waiting.wait(PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert found == []


def test_a_manager_is_closed_from_another_loop(manager, new_loop):
    ended = threading.Event()

    async def stream() -> None:
        async for _ in manager.subscribe("subscription { endless }"):
            pass
        ended.set()

    with loop_in_a_thread(new_loop) as loop:
        asyncio.run_coroutine_threadsafe(stream(), loop)
        eventually_sync(lambda: manager.metrics().results_sent, "the stream runs")
        asyncio.run(bounded(manager.close(drain=0)))
        assert ended.wait(PATIENCE)


def test_an_app_under_a_test_client_for_each_test(silence):
    manager = SubscriptionManager([number])
    app = Starlette(routes=[Mount("/graphql", GraphQLApp(manager))])
    for value in range(3):
        client = TestClient(app)
        subprotocols = ["graphql-transport-ws"]
        with client.websocket_connect("/graphql/", subprotocols=subprotocols) as socket:
            socket.send_json({"type": "connection_init"})
            assert socket.receive_json()["type"] == "connection_ack"
            payload = {"query": "subscription { number }"}
            socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
            eventually_sync(lambda: manager.metrics().subscriptions, "it is subscribed")
            socket.portal.call(manager.publish, "numbers", value)
            assert socket.receive_json()["payload"] == {"data": {"number": value}}
    asyncio.run(manager.close())


def test_calls_that_are_queued_while_the_loop_ends_make_no_noise(new_loop, silence):
    """Events are queued for resolvers, and tasks are created and suspended."""
    manager = SubscriptionManager([number, endless])

    async def main() -> list[Any]:
        streams = [manager.subscribe("subscription { number }") for _ in range(20)]
        streams.append(manager.subscribe("subscription { endless }"))
        for stream in streams:
            await stream.__aenter__()
        await manager.publish_many(("numbers", value) for value in range(500))
        await anext(streams[0])
        return streams

    for is_tidy in (True, False):
        loop = new_loop()
        streams = run(loop, main())
        if is_tidy:
            loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        del streams
        gc.collect()
    asyncio.run(manager.close())


def test_clean_up_of_generators_runs_when_their_loop_is_closed(new_loop, silence):
    ended = []

    @subscription
    async def watched() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.append("watched")

    @subscription
    async def stubborn() -> AsyncIterator[int]:
        try:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    yield 1
                    await asyncio.Event().wait()
        finally:
            ended.append("stubborn")

    manager = SubscriptionManager([watched, stubborn])

    async def main() -> None:
        for field in ("watched", "stubborn"):
            streams.append(manager.subscribe(f"subscription {{ {field} }}"))
            await anext(streams[-1])

    streams: list[Any] = []
    loop = new_loop()
    run(loop, main())
    loop.close()
    assert sorted(ended) == ["stubborn", "watched"]
    asyncio.run(manager.close())


async def test_run_inside_a_loop_says_what_to_do(silence):
    manager = SubscriptionManager([number])
    with pytest.raises(ConfigurationError, match=r"async with manager\.serve\(\.\.\.\)"):
        manager.run(port=0)


def test_a_server_refuses_to_start_with_a_manager_of_a_loop_in_another_thread(manager, new_loop):
    with loop_in_a_thread(new_loop) as loop:
        asyncio.run_coroutine_threadsafe(manager.start(), loop).result(PATIENCE)

        async def main() -> None:
            told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
            answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
            told.put_nowait({"type": "lifespan.startup"})
            await GraphQLApp(manager)({"type": "lifespan"}, told.get, answers.put)
            answer = answers.get_nowait()
            assert answer["type"] == "lifespan.startup.failed"
            assert "event loop of another thread" in answer["message"]

        asyncio.run(bounded(main()))
